-- Objects of a caller's own under the names that the package's functions use. Each
-- attack is made twice: on the package, where it fails, and on a copy of the function
-- that it is aimed at without its guard, where it succeeds: an attack that could not
-- succeed would prove nothing.

begin;
\ir ../functions/fixtures.psql
\ir attempts.psql

select plan(22);

-- given: a document that an honest worker holds, and a schema of the attacker's
select pg_temp.add_document('honest.pdf') as document \gset
select pg_temp.claim(:'document', 'honest') as token \gset
create schema evil authorization hostile_worker;
create table evil.loot (found text);
alter table evil.loot owner to hostile_worker;
select gen_random_uuid() as forged \gset

create function pg_temp.loot()
returns text
language sql
as $function$
    select coalesce(string_agg(l.found, ' ' order by l.found), '') from evil.loot as l;
$function$;
create function pg_temp.release(p_search_path text)
returns text
language sql
as $function$
    select pg_temp.attempt(
        'hostile_worker',
        format(
            'select public.release_ocr_job(%L, %L)',
            current_setting('test.document'), current_setting('test.forged')
        ),
        p_search_path
    );
$function$;
select
    set_config('test.document', :'document', true),
    set_config('test.forged', :'forged', true)
\g /dev/null

-- Functions of the same name, which notice whose rights they have.

select is(
    pg_temp.attempt('hostile_worker', $$
        create function evil.lock_live_lease(uuid, uuid) returns boolean
        language plpgsql as $f$
            begin
                insert into evil.loot values ('function as ' || current_user);
                return false;
            end
        $f$;
        create function evil.check_lease_arguments(uuid, uuid) returns void
        language plpgsql as $f$
            begin
                insert into evil.loot values ('helper as ' || current_user);
            end
        $f$;
        create function evil.now() returns timestamptz
        language sql as $f$select timestamptz '-infinity'$f$;
        create function evil.eq(uuid, uuid) returns boolean
        language sql as $f$select true$f$;
        create operator evil.= (leftarg = uuid, rightarg = uuid, function = evil.eq);
        create table evil.documents (id uuid, ocr_lease_token uuid);
        create table evil.ocr_queue (id uuid);
        create type evil.ocr_result as (document_id uuid);
        grant all on all tables in schema evil to public;
        grant usage on schema evil to public;
    $$),
    'done',
    'a worker may have a schema of its own, with functions, operators, tables and types'
);
select is(
    pg_temp.release('evil, pg_catalog, public'), 'false',
    'a lease is not forged by functions that the caller has before ours in search_path'
);
select is(
    pg_temp.release('pg_temp, evil, public'), 'false', 'nor behind pg_temp'
);
select is(pg_temp.loot(), '', 'and none of them is called');
select is(
    pg_temp.attempt(
        'hostile_worker', $$select count(*) from public.claim_ocr_jobs('h', 10)$$,
        'evil, pg_catalog, public'
    ),
    '0',
    'a claim takes no notice of them'
);
select is(
    pg_temp.attempt(
        'hostile_worker',
        format(
            $$
                select u.outcome from public.update_ocr_batch_safe(
                    '[{"document_id": "%s", "expected_filename": "honest.pdf",
                    "ocr_text": "x y", "confidence": 90, "word_count": 2,
                    "processing_time_ms": 1, "lease_token": "%s"}]'
                ) as u
            $$,
            :'document', :'forged'
        ),
        'evil, pg_catalog, public'
    ),
    'stale_lease',
    'nor does a batch, of types'
);
select is(
    pg_temp.attempt('an_operator', 'select public.refresh_ocr_stats()', 'evil, public'),
    'true',
    'nor a refresh'
);
select is(
    pg_temp.state(:'document'), 'processing / processing 1 of 3',
    'the honest worker has its job'
);

savepoint unpinned;
alter function release_ocr_job reset search_path;
select is(
    pg_temp.release('evil, pg_catalog, public'), 'false',
    'without a pinned search_path'
);
select is(
    pg_temp.loot(),
    format('function as %s helper as %s', current_user, current_user),
    'code of the attacker''s runs with the rights of the owner'
);
rollback to savepoint unpinned;

savepoint unpinned;
alter function lock_live_lease reset search_path;
alter function release_ocr_job reset search_path;
drop function evil.lock_live_lease(uuid, uuid);
drop table evil.documents;
select is(
    pg_temp.release('evil, pg_catalog, public'), 'true',
    'its operator makes every token the right one'
);
select is(
    pg_temp.state(:'document'), 'pending / pending 0 of 3',
    'so that the honest worker loses its job'
);
rollback to savepoint unpinned;

-- Temporary tables, which come first unless pg_temp is named last.

select is(
    pg_temp.attempt('hostile_worker', format(
        $$
            create temporary table documents as
            select %L::uuid as id, %L::uuid as ocr_lease_token;
            create temporary table ocr_settings (id boolean, default_lease interval);
            create temporary table ocr_queue (id uuid, document_id uuid, status text);
            create temporary table ocr_queue_state (id boolean, paused_at timestamptz);
            create temporary sequence ocr_claim_whole_clock;
            create temporary table ocr_stats (id uuid);
            create type pg_temp.ocr_result as (document_id uuid);
            create domain pg_temp.ocr_id_types as text check (false);
            grant all on documents, ocr_settings, ocr_queue, ocr_queue_state to public
        $$,
        :'document', :'forged'
    )),
    'done',
    'a worker may have temporary tables and types'
);
select is(
    pg_temp.release('public'), 'false',
    'a lease is not forged by a temporary table of documents'
);
select is(
    pg_temp.release('pg_temp, public'), 'false', 'wherever the caller''s pg_temp stands'
);
select is(
    pg_temp.attempt(
        'hostile_worker', $$select count(*) from public.claim_ocr_jobs('h', 10)$$
    ),
    '0',
    'a claim takes no notice of temporary tables'
);
select is(
    pg_temp.attempt('an_operator', $$select set_ocr_setting('default_lease', '1 h')$$),
    '',
    'nor does a change of a setting'
);
select is(
    (select s.default_lease from public.ocr_settings as s), interval '1 hour',
    'which arrives in the table'
);
select is(
    pg_temp.attempt('an_operator', 'select refresh_ocr_stats()'), 'true',
    'nor does a refresh'
);
select pg_temp.attempt('an_operator', format(
    'create temporary table %I (id integer)',
    'ocr_job_history_' || to_char(
        now() at time zone 'UTC' + interval '40 months', '"y"YYYY"m"MM'
    )
))
\g /dev/null
select pg_temp.attempt('an_operator', 'select create_ocr_history_partitions(40)')
\g /dev/null
select is(
    (
        select count(*)::integer
        from pg_inherits as i
        where i.inhparent = 'public.ocr_job_history'::regclass
    ),
    42,
    'a month whose name is taken by a temporary table gets its partition, too'
);

savepoint unpinned;
alter function lock_live_lease set search_path = public;
select is(
    pg_temp.release('public'), 'true',
    'with a search_path that does not name pg_temp, a forged lease is taken for live'
);
select is(
    (select d.ocr_status from public.documents as d), 'pending',
    'so that the honest worker loses its job'
);
rollback to savepoint unpinned;

select * from finish();
rollback;
