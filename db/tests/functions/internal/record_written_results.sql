-- What it writes of one attempt is in triggers/trigger_cleanup_completed_ocr_queue.sql;
-- here, that of many at once each gets its own.

begin;
\ir ../fixtures.psql
select plan(8);

-- given: three documents that were completed, and the jobs that they had
insert into documents (filename, file_hash, created_at)
select
    format('page %s.png', n),
    repeat(n::text, 64),
    now() + n * interval '1 second'
from generate_series(1, 3) as n;
insert into ocr_queue (document_id, priority, run_after)
select
    d.id,
    right(d.file_hash, 1)::integer,
    now() - right(d.file_hash, 1)::integer * interval '1 minute'
from documents as d;
select c.job_id from claim_ocr_jobs('w-one', 3) as c \g /dev/null
create temporary table jobs as select q.*, q as job from ocr_queue as q;
-- plain SQL may leave a dead job beside the live one
insert into jobs (status, job)
select
    'failed',
    jsonb_populate_record(
        j.job,
        jsonb_build_object(
            'id', gen_random_uuid(), 'status', 'failed', 'worker_id', 'w-dead'
        )
    )
from jobs as j;
create temporary table tokens as
select d.id, d.ocr_lease_token as token from documents as d;
select count(*) from update_ocr_arrays_safe(
    (select array_agg(d.id order by d.filename) from documents as d),
    array['page 1.png', 'page 2.png', 'page 3.png'],
    array['a', 'a b', 'a b c'],
    array[10, 20, 30],
    array[1, 2, 3],
    array[100, 200, 300],
    (select array_agg(d.ocr_lease_token order by d.filename) from documents as d),
    null,
    array['engine 1', null, 'engine 3']
) \g /dev/null
delete from ocr_job_history;

-- when: for two of the three
select record_written_results(
    (
        select array_agg(d.id order by d.filename desc)
        from documents as d
        where d.filename <> 'page 2.png'
    ),
    (select array_agg(j.job order by j.status) from jobs as j)
) \g /dev/null

-- then
select results_eq(
    $$
        select
            d.filename, h.outcome, h.worker_id, h.engine, h.attempt, h.priority,
            h.queued_at = j.created_at, h.started_at = j.started_at,
            h.finished_at >= j.started_at,
            h.wait_ms = elapsed_ms(j.run_after, j.started_at),
            h.processing_time_ms, h.confidence, h.word_count, h.source_hash,
            h.lease_token = t.token, h.error_class, h.error
        from ocr_job_history as h
        inner join documents as d on d.id = h.document_id
        inner join tokens as t on t.id = d.id
        inner join jobs as j on j.id = h.job_id and j.document_id = d.id
        order by d.filename
    $$,
    $$
        values
        (
            'page 1.png', 'written', 'w-one', 'engine 1', 1, 1, true, true, true, true,
            100, 10::real, 1, repeat('1', 64), true, null::text, null::text
        ),
        (
            'page 3.png', 'written', 'w-one', 'engine 3', 1, 3, true, true, true, true,
            300, 30::real, 3, repeat('3', 64), true, null::text, null::text
        )
    $$,
    'each document has the row of its own job and its own result (G10)'
);
select is(
    (select count(*) from ocr_job_history),
    2::bigint,
    'and one row: no other document, and no dead job beside the live one'
);
select is(
    (select count(*) from ocr_job_history as h where h.worker_id = 'w-dead'),
    0::bigint,
    'the row is that of the live job'
);

-- Documents whose jobs were deleted under their workers.
delete from ocr_job_history;
select record_written_results(
    (select array_agg(d.id) from documents as d), null
) \g /dev/null
select results_eq(
    $$
        select
            d.filename, h.outcome, h.job_id, h.worker_id, h.attempt, h.priority,
            h.queued_at, h.started_at, h.wait_ms, h.processing_time_ms,
            h.lease_token = t.token
        from ocr_job_history as h
        inner join documents as d on d.id = h.document_id
        inner join tokens as t on t.id = d.id
        order by d.filename
    $$,
    $$
        select
            format('page %s.png', n), 'written', null::uuid, null::text, null::integer,
            null::integer, null::timestamptz, null::timestamptz, null::bigint,
            n * 100, true
        from generate_series(1, 3) as n
    $$,
    'a document without a job has its row all the same (G10)'
);
delete from ocr_job_history;
select record_written_results(
    (select array_agg(d.id) from documents as d),
    (
        select array_agg(j.job)
        from jobs as j
        where (j.job).status = 'failed' or (j.job).priority = 2
    )
) \g /dev/null
select results_eq(
    $$
        select d.filename, h.worker_id
        from ocr_job_history as h
        inner join documents as d on d.id = h.document_id
        order by d.filename
    $$,
    $$
        values
        ('page 1.png', null),
        ('page 2.png', 'w-one'),
        ('page 3.png', null)
    $$,
    'also where another of the batch has one, and where only a dead one is left'
);
delete from ocr_job_history;
select record_written_results('{}', '{}') \g /dev/null
select record_written_results(null, null) \g /dev/null
select record_written_results(array[gen_random_uuid()], null) \g /dev/null
select is(
    (select count(*) from ocr_job_history), 0::bigint, 'of no document there is no row'
);

-- The offers that use it: one row, whatever lies beside the job.
delete from documents;
select pg_temp.add_document() as beside \gset
select pg_temp.kill(:'beside') as token \gset
insert into ocr_queue (document_id) values (:'beside');
select c.lease_token as token from claim_ocr_jobs('w-two', 10) as c \gset
delete from ocr_job_history;
select update_ocr_safe(:'beside', 'scan.pdf', 'a', 90, 1, 1, :'token') as written \gset
select is(
    (
        select string_agg(concat_ws(' ', h.outcome, h.worker_id), ', ')
        from ocr_job_history as h
    ),
    'written w-two',
    'a result that is offered beside a dead job is once in the history'
);
select is(
    pg_temp.state(:'beside'), 'completed / no job', 'and dead jobs go with the live one'
);

select * from finish();
rollback;
