-- Policies of the application's own on its documents. Its roles see and change what the
-- policies let them, under the guards as ever; the package's functions run as the owner
-- of the table, whom policies concern only where they are forced.

begin;
\ir ../functions/fixtures.psql
\ir attempts.psql

select plan(27);

-- given: an application whose role sees the documents of one folder, and its result
create role an_application login;
grant select, insert, update, delete on documents to an_application;
create policy of_the_application on documents to an_application
using (file_path like '/in/mine%') with check (file_path like '/in/mine%');
alter table documents enable row level security;
select pg_temp.add_document('mine.pdf') as mine \gset
select pg_temp.add_document('theirs.pdf') as theirs \gset

-- plain SQL
select is(
    pg_temp.attempt(
        'an_application',
        $$select string_agg(d.filename, ' ' order by d.filename) from documents as d$$
    ),
    'mine.pdf',
    'a role sees the documents that its policies show'
);
select is(
    pg_temp.attempt(
        'an_application',
        $$with u as (update documents set mime_type = 'image/png' returning 1)
        select count(*) from u$$
    ),
    '1',
    'and changes those'
);
select is(
    pg_temp.attempt(
        'an_application',
        $$insert into documents (filename, file_path) values ('x', '/in/theirs')$$
    ),
    '42501',
    'and inserts no others'
);
select is(
    pg_temp.attempt(
        'an_application',
        $$
            insert into documents (
                filename, file_path, ocr_status, ocr_text, ocr_confidence,
                ocr_word_count, ocr_completed_at
            )
            values ('i', '/in/mine/i', 'completed', 'one two', 90, 2, now())
        $$
    ),
    'done',
    'and imports one with its result, although it may not call our functions'
);
select is(
    (
        select d.ocr_text_hash = hash_ocr_text('one two')
        from documents as d
        where d.filename = 'i'
    ),
    true,
    'whose text is known from then on (G7)'
);
select is(
    pg_temp.attempt('an_application', format(
        $$update documents set ocr_status = 'completed', ocr_text = 'x',
        ocr_confidence = 90, ocr_word_count = 1 where id = %L$$,
        :'mine'
    )),
    'OG002',
    'a result without a lease is refused to it (G8)'
);
select is(
    pg_temp.attempt(
        'an_application',
        $$update documents set ocr_text = 'x' where filename = 'i'$$
    ),
    'OG003',
    'and a change of a result (G4)'
);

-- the functions, called by who has no right on any table
select is(
    pg_temp.attempt('a_producer', 'select enqueue_pending_documents()'), '2',
    'a producer enqueues all documents, whatever the policies of others show'
);
select is(
    pg_temp.attempt(
        'honest_worker',
        $$select string_agg(c.filename, ' ' order by c.filename)
        from claim_ocr_jobs('w', 10) as c$$
    ),
    'mine.pdf theirs.pdf',
    'a worker claims them'
);
select is(
    pg_temp.attempt('an_application', $$
        update documents set file_path = '/in/mine/2.pdf' where filename = 'mine.pdf'
    $$),
    'done',
    'the application replaces a file under the worker'
);
select is(
    pg_temp.state(:'mine'), 'pending / pending 0 of 3',
    'which ends the lease, in tables that it has no right on (G1)'
);
select pg_temp.claim(:'mine', 'w') as token \gset
select is(
    pg_temp.attempt('honest_worker', format(
        $$select update_ocr_safe(%L, 'mine.pdf', 'one two three', 90, 3, 1, %L)$$,
        :'mine', :'token'
    )),
    'true',
    'a worker writes a result'
);
select is(
    pg_temp.attempt('a_monitor', 'select refresh_ocr_stats()')
    || pg_temp.attempt('a_monitor', 'select sum(s.documents) from ocr_stats as s'),
    'true3',
    'statistics count every document'
);
select is(
    pg_temp.attempt('an_application', $$
        with gone as (delete from documents returning 1) select count(*) from gone
    $$),
    '2',
    'the application deletes what it sees'
);
select is(
    pg_temp.state(:'theirs'), 'processing / processing 1 of 3',
    'and the work on the rest goes on'
);

-- A role of the application that may change one column only.
create role a_clerk login;
grant select (id, filename, mime_type), update (mime_type) on documents to a_clerk;
create policy of_the_clerk on documents to a_clerk using (true);
select is(
    pg_temp.attempt('a_clerk', $$update documents set mime_type = 'image/gif'$$),
    'done',
    'the triggers need no right of whoever changes a column'
);
select is(
    pg_temp.attempt('a_clerk', $$update documents set ocr_lease_token = null$$),
    '42501',
    'and give none'
);

-- Policies that are forced on the owner, who is no superuser.
create role the_owner login;
do $do$
declare
    v_object record;
begin
    execute format('grant all on schema %I to the_owner', current_schema());
    for v_object in
        select format('routine %s', p.oid::regprocedure) as name
        from pg_proc as p
        where p.pronamespace = current_schema()::regnamespace
        union all
        select format('%s %s',
            case c.relkind
                when 'v' then 'view'
                when 'm' then 'materialized view'
                else 'table'
            end, c.oid::regclass)
        from pg_class as c
        where
            c.relnamespace = current_schema()::regnamespace
            and c.relkind in ('r', 'p', 'v', 'm')
        union all
        -- those of identity columns go with their tables
        select format('sequence %s', c.oid::regclass)
        from pg_class as c
        where
            c.relnamespace = current_schema()::regnamespace
            and c.relkind = 'S'
            and not exists (
                select from pg_depend as d
                where d.objid = c.oid and d.deptype in ('a', 'i')
                    and d.refclassid = 'pg_class'::regclass
            )
    loop
        execute format('alter %s owner to the_owner', v_object.name);
    end loop;
end
$do$;
select is(
    pg_temp.attempt('a_producer', $$
        select i.created from ingest_ocr_documents(json_build_array(json_build_object(
            'filename', 'new.pdf', 'file_hash', repeat('d', 64), 'file_size', 1
        ))) as i
    $$),
    'true',
    'policies do not concern an owner who is no superuser, either'
);
select d.id as new from documents as d where d.filename = 'new.pdf' \gset

alter table documents force row level security;
select is(
    pg_temp.attempt('a_producer', $$
        select i.created from ingest_ocr_documents(json_build_array(json_build_object(
            'filename', 'f.pdf', 'file_hash', repeat('f', 64), 'file_size', 1
        ))) as i
    $$),
    '42501',
    'unless they are forced: nothing is ingested'
);
select is(
    pg_temp.attempt('a_producer', format(
        'select requeue_document(%L, %L)', :'theirs', 'again'
    )),
    'OG001',
    'its documents are missing to the functions'
);
select is(
    pg_temp.attempt('honest_worker', $$select count(*) from claim_ocr_jobs('w', 9)$$),
    '0',
    'nothing is claimed'
);
select is(
    pg_temp.attempt('an_operator', $$
        select string_agg(distinct f.kind, ' ') from find_inconsistencies() as f
    $$),
    'orphaned_job',
    'to the validator every job has lost its document'
);
select is(
    pg_temp.attempt('an_operator', $$
        select r.affected from repair_database_consistency(false) as r
    $$),
    '0',
    'which a repair does not believe: no job is deleted (G9)'
);
select is(
    (select count(*)::integer from ocr_queue), 2, 'they are there'
);

create policy of_the_owner on documents to the_owner using (true) with check (true);
select is(
    pg_temp.attempt('honest_worker', $$select count(*) from claim_ocr_jobs('w', 9)$$),
    '1',
    'a policy that shows everything to the owner lets everything go on'
);
select is(
    pg_temp.attempt('an_operator', 'select count(*) from find_inconsistencies()'), '0',
    'and all is consistent'
);
alter table documents no force row level security;
insert into ocr_queue (document_id) values (:'new') on conflict do nothing;
set local session_replication_role = replica;
delete from documents where id = :'new';
reset session_replication_role;
select is(
    pg_temp.attempt('an_operator', $$
        select format('%s %s', r.kind, r.affected)
        from repair_database_consistency(false) as r
    $$),
    'orphaned_job 1',
    'a job whose document is really gone is deleted'
);

select * from finish();
rollback;
