-- What one bad result may not do to the others is tested through its doors,
-- working/update_ocr_batch_safe.sql and working/update_ocr_arrays_safe.sql; here, how
-- often it goes to the database for it.

begin;
\ir ../fixtures.psql
select plan(24);

create temporary table results (document_id uuid, n integer, result ocr_result);

create function pg_temp.arrange_results(p_size integer)
returns void
language plpgsql
as $function$
begin
    delete from documents;
    delete from ocr_job_history;
    delete from ocr_incidents;
    insert into documents (filename, created_at)
    select format('page %s.png', n), now() + n * interval '1 second'
    from generate_series(1, p_size) as n;
    perform enqueue_pending_documents(p_size);
    truncate results;
    insert into results (document_id, n, result)
    select
        c.document_id,
        row_number() over (order by d.created_at)::integer as n,
        row(
            c.document_id, c.filename,
            'the text of ' || c.filename || ' of ten words and not of less',
            90, 12, 10, c.lease_token, null, null
        )::ocr_result as result
    from claim_ocr_jobs('w-batch', p_size) as c
    inner join documents as d on d.id = c.document_id;
end;
$function$;

create function pg_temp.results_array()
returns ocr_result []
language sql
as $function$
    select array_agg(r.result order by r.n) from results as r;
$function$;

create function pg_temp.results_json()
returns json
language sql
as $function$
    select json_agg(r.result order by r.n) from results as r;
$function$;

-- Counts the statements that write documents, and the rows that they try to write.
create temporary sequence statements;
create temporary sequence tries;
create function pg_temp.count_statement()
returns trigger
language plpgsql
as $function$
begin
    perform nextval('statements');
    return null;
end;
$function$;
create trigger test_count before update on documents
for each statement execute function pg_temp.count_statement();
create function pg_temp.raise_at_result()
returns trigger
language plpgsql
as $function$
begin
    perform nextval('tries');
    if new.filename like current_setting('test.filename', true) then
        raise exception using
            errcode = current_setting('test.errcode'), message = 'not this one';
    end if;
    return new;
end;
$function$;
create trigger test_raise before update on documents
for each row when (new.ocr_status = 'completed')
execute function pg_temp.raise_at_result();

-- A batch of which all are good.

select pg_temp.arrange_results(10);
select setval('statements', 1, false);
create temporary table answers as
select o.*
from offer_ocr_batch(pg_temp.results_array())
    with ordinality as o (document_id, outcome, detail, n);
select results_eq(
    'select a.n, a.document_id, a.outcome, a.detail from answers as a',
    $$
        select r.n::bigint, r.document_id, 'written', null::text
        from results as r
        order by r.n
    $$,
    'one row for each result, in order'
);
select is(
    nextval('statements'), 2::bigint, 'a whole batch is written by one statement'
);
select is(
    (
        select count(*)
        from documents as d
        where d.ocr_text like 'the text of ' || d.filename || ' %'
    ),
    10::bigint,
    'each document has its own text (G1)'
);
select is(
    (select count(*) from ocr_job_history as h where h.outcome = 'written'),
    10::bigint,
    'and its row in the history (G10)'
);
select is_empty('select * from offer_ocr_batch(''{}'')', 'no results, no outcomes');
select is_empty(
    'select * from offer_ocr_batch(null, ''[]'')', 'nor where none could be read'
);

-- One that raises among them: each is offered alone.

select pg_temp.arrange_results(10);
set local test.filename = 'page 4.png';
set local test.errcode = '23514';
select setval('statements', 1, false);
truncate answers;
insert into answers
select o.*
from offer_ocr_batch(pg_temp.results_array())
    with ordinality as o (document_id, outcome, detail, n);
-- the batch, the ten, and the document of the job that is failed
select is(
    nextval('statements'), 13::bigint, 'one that raises: each is offered by itself'
);
select results_eq(
    'select a.n, a.document_id, a.outcome, a.detail from answers as a',
    $$
        select
            r.n::bigint,
            r.document_id,
            case when r.n = 4 then 'rejected_by_database' else 'written' end,
            case when r.n = 4 then '23514: not this one' end
        from results as r
        order by r.n
    $$,
    'it is rejected_by_database with SQLSTATE and message, the others are written'
);
select results_eq(
    $$
        select d.filename, pg_temp.state(d.id), h.outcome, h.error_class, h.error
        from documents as d
        left join ocr_job_history as h on h.document_id = d.id
        where d.filename in ('page 3.png', 'page 4.png', 'page 5.png')
        order by d.filename
    $$,
    $$
        values
        ('page 3.png', 'completed / no job', 'written', null, null),
        (
            'page 4.png', 'pending / pending 1 of 3', 'retry', 'document',
            '23514: not this one'
        ),
        ('page 5.png', 'completed / no job', 'written', null, null)
    $$,
    'its job is failed as document, and no other'
);
select is(
    (select string_agg(i.reason || ' ' || i.detail, ', ') from ocr_incidents as i),
    'rejected_by_database 23514: not this one',
    'and it leaves one incident: what was tried as a whole is undone (G10)'
);

-- A refusal by the rules is no error, and sends nobody the slow way.

select pg_temp.arrange_results(10);
set local test.filename = '';
update results as r
set result = jsonb_populate_record(r.result, '{"expected_filename": "other.png"}')
where r.n = 4;
select setval('statements', 1, false);
select is(
    (
        select string_agg(o.outcome, ' ')
        from offer_ocr_batch(pg_temp.results_array()) as o
    ),
    rtrim(
        repeat('written ', 3) || 'filename_mismatch ' || repeat('written ', 6)
    ),
    'one that the rules refuse leaves the others written'
);
select is(nextval('statements'), 2::bigint, 'by one statement');
select is(
    (select pg_temp.state(r.document_id) from results as r where r.n = 4),
    'processing / processing 1 of 3',
    'and its job goes on: only what the database rejects fails it'
);
select pg_temp.arrange_results(3);
update results as r
set result = jsonb_populate_record(r.result, '{"confidence": 101}')
where r.n = 2;
select setval('statements', 1, false);
select is(
    (
        select string_agg(o.outcome, ' ')
        from offer_ocr_batch(pg_temp.results_array()) as o
    ),
    'written rejected_by_database written',
    'one that is no result is rejected_by_database'
);
-- the batch, and the document of the job that is failed
select is(nextval('statements'), 3::bigint, 'without being offered by itself');

-- An error of the transaction is not the results'.

select pg_temp.arrange_results(3);
select pg_temp.snapshot() as before \gset
set local test.filename = 'page %.png';
set local test.errcode = '40001';
select setval('tries', 1, false);
select throws_ok(
    'select * from offer_ocr_batch(pg_temp.results_array())',
    '40001',
    'not this one',
    'a serialization failure goes through to the caller'
);
select is(nextval('tries'), 2::bigint, 'at once: no result is tried by itself');
select is(pg_temp.snapshot(), :'before', 'and nothing was written');
set local test.errcode = '53100';
select throws_ok(
    'select * from offer_ocr_batch(pg_temp.results_array())',
    '53100',
    'not this one',
    'and so does a full disk'
);

-- json that could not be read as a whole: what can be read of it is offered.

select pg_temp.arrange_results(3);
set local test.filename = '';
select is(
    (
        select string_agg(o.outcome, ' ')
        from offer_ocr_batch(
            null,
            (
                select json_agg(
                    case
                        when r.n = 2
                            then to_jsonb(r.result) || '{"word_count": "many"}'
                        else to_jsonb(r.result)
                    end
                    order by r.n
                )
                from results as r
            )
        ) as o
    ),
    'written rejected_by_database written',
    'where no array could be made of the json, each element is read by itself'
);
select pg_temp.arrange_results(3);
select setval('statements', 1, false);
select is(
    (
        select string_agg(o.outcome, ' ')
        from offer_ocr_batch(pg_temp.results_array(), pg_temp.results_json()) as o
    ),
    'written written written',
    'what could be read is offered as a whole'
);
select is(nextval('statements'), 2::bigint, 'and written by one statement');

-- What is waited for is locked before the savepoints, which would give it back (G12):
-- seen here by the lock on the text of the one that is rejected.

select pg_temp.arrange_results(2);
update ocr_settings set foreign_text_policy = 'refuse';
set local test.filename = 'page 2.png';
set local test.errcode = '23514';
select is(
    (
        select string_agg(o.outcome, ' ')
        from offer_ocr_batch(pg_temp.results_array()) as o
    ),
    'written rejected_by_database',
    'under the policy refuse: one is written, one rejected'
);
select is(
    (
        select count(*)
        from results as r
        cross join lateral hash_ocr_text((r.result).ocr_text) as h (hash)
        inner join pg_locks as l
            on
                l.locktype = 'advisory'
                and l.pid = pg_backend_pid()
                and l.objsubid = 1
                and (l.classid::bigint << 32) + l.objid::bigint = h.hash
    ),
    2::bigint,
    'and the texts of both are locked until the end of the transaction (G7, G12)'
);
update ocr_settings set foreign_text_policy = 'record';

select * from finish();
rollback;
