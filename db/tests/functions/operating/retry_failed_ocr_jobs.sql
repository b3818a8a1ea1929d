begin;
\ir ../fixtures.psql

select plan(32);

-- given: five dead jobs, the second one dead for longest, and other states
insert into documents (filename) select 'dead ' || n from generate_series(1, 5) as n;
select pg_temp.kill(
    d.id,
    case when d.filename in ('dead 1', 'dead 2') then 'disk full' else 'no image' end
)
from documents as d \g /dev/null
update ocr_queue as q
set
    completed_at = now()
    - (array[3, 5, 1, 4, 2])[right(d.filename, 1)::integer] * interval '1 hour',
    priority = 8,
    max_attempts = 7,
    attempts = 7
from documents as d
where d.id = q.document_id;
create temporary table dead as select q.id, q.document_id from ocr_queue as q;
select pg_temp.complete(pg_temp.add_document('completed')) as token \gset
select pg_temp.claim(pg_temp.add_document('processing')) as token \gset
select enqueue_ocr_job(pg_temp.add_document('waiting')) as job \gset
select enqueue_ocr_job(pg_temp.add_document('cancelled')) as job \gset
select cancel_ocr_job(d.id, 'test') as cancelled from documents as d
where d.filename = 'cancelled' \gset

select is(retry_failed_ocr_jobs(2), 2, 'at most p_limit dead jobs are retried');
select is(
    (
        select string_agg(d.filename, ', ' order by d.filename)
        from documents as d
        where d.filename like 'dead%' and d.ocr_status = 'pending'
    ),
    'dead 2, dead 4',
    'the longest dead first; document and job together (G5)'
);
select results_eq(
    $$
        select distinct
            q.status, q.attempts, q.max_attempts, q.priority, q.started_at,
            q.completed_at, q.worker_id, q.run_after <= clock_timestamp(),
            q.run_after >= now()
        from ocr_queue as q
        inner join documents as d on d.id = q.document_id
        where d.filename in ('dead 2', 'dead 4')
    $$,
    $$
        values (
            'pending', 0, 7, 8, null::timestamptz, null::timestamptz, null::text,
            true, true
        )
    $$,
    'with all their attempts and their priority, due now'
);
select is(
    (
        select count(*)
        from ocr_queue as q
        inner join dead as x on x.id = q.id and x.document_id = q.document_id
    ),
    5::bigint,
    'each is the job that it was'
);
select is(retry_failed_ocr_jobs(100, 'disk%'), 1, 'only those whose error matches');
select is(
    (select pg_temp.state(d.id) from documents as d where d.filename = 'dead 1'),
    'pending / pending 0 of 7',
    'by LIKE'
);
select is(retry_failed_ocr_jobs(100, 'disk'), 0, 'which is the whole error');
select is(retry_failed_ocr_jobs(100, ''), 0, 'an empty pattern matches no error');
select is(retry_failed_ocr_jobs(), 2, 'without a pattern all that are left');
select is(retry_failed_ocr_jobs(), 0, 'then there is none');
select is(
    (
        select string_agg(
            d.filename || ': ' || pg_temp.state(d.id), ', ' order by d.filename
        )
        from documents as d
        where d.filename not like 'dead%'
    ),
    'cancelled: failed / no job, completed: completed / no job, '
    'processing: processing / processing 1 of 3, waiting: pending / pending 0 of 3',
    'all other documents are left alone'
);
select is(
    (select count(*) from claim_ocr_jobs('w-new', 100) as c where c.filename like 'dead%'),
    5::bigint,
    'what is retried is claimed'
);
delete from documents;

-- A completed document beside a dead job: never touched (G4).
select pg_temp.add_document('completed') as completed \gset
select pg_temp.complete(:'completed') as token \gset
insert into ocr_queue (document_id, status, attempts, completed_at)
values (:'completed', 'failed', 3, now());
select pg_temp.snapshot() as before \gset
select is(
    retry_failed_ocr_jobs(),
    0,
    'the dead job of a completed document is not retried (G4)'
);
select is(pg_temp.snapshot(), :'before', 'and nothing changes');
delete from documents;

-- Plain INSERTs beside dead jobs.
select pg_temp.add_document('beside') as beside \gset
select pg_temp.kill(:'beside') as token \gset
insert into ocr_queue (document_id) values (:'beside') on conflict do nothing;
select pg_temp.kill(pg_temp.add_document('plain')) as token \gset
select lives_ok(
    $$select retry_failed_ocr_jobs()$$,
    'a live job beside a dead one does not keep the others from being retried (G5)'
);
select is(
    (select pg_temp.state(d.id) from documents as d where d.filename = 'plain'),
    'pending / pending 0 of 3',
    'they are'
);
delete from documents;
select pg_temp.add_document('twice dead') as twice \gset
select pg_temp.kill(:'twice') as token \gset
insert into ocr_queue (document_id, status, attempts, completed_at, error_message)
values (:'twice', 'failed', 3, now(), 'no image');
select lives_ok(
    $$select retry_failed_ocr_jobs()$$,
    'a document with two dead jobs gets one live one (G5)'
);
select is(
    (
        select count(*) from ocr_queue as q
        where q.document_id = :'twice' and q.status = 'pending'
    ),
    1::bigint,
    'and no more'
);
delete from documents;

-- A document that plain SQL has made pending again.
insert into documents (filename) values ('first'), ('second');
select pg_temp.kill(d.id) from documents as d \g /dev/null
update ocr_queue as q set completed_at = now() - interval '1 day'
from documents as d
where d.id = q.document_id and d.filename = 'first';
update documents set ocr_status = 'pending' where filename = 'first';
select is(
    retry_failed_ocr_jobs(1),
    1,
    'a dead job that cannot be retried does not use up the limit'
);
delete from documents;

select pg_temp.kill(pg_temp.add_document()) as token \gset
select pg_temp.snapshot() as before \gset
select throws_ok(
    format('select retry_failed_ocr_jobs(%s)', c.arguments), '22023', c.message,
    format('retry_failed_ocr_jobs(%s) is refused (22023)', c.arguments)
)
from (
    values
    ('null', 'p_limit must be between 1 and 1000000, not null'),
    ('0', 'p_limit must be between 1 and 1000000, not 0'),
    ('-60', 'p_limit must be between 1 and 1000000, not -60'),
    ('1000001', 'p_limit must be between 1 and 1000000, not 1000001'),
    ('2147483647', 'p_limit must be between 1 and 1000000, not 2147483647')
) as c (arguments, message);
select is(pg_temp.snapshot(), :'before', 'a bad argument changes nothing');
select is(
    (select pg_temp.history(d.id) from documents as d), 'failed', 'a retry is no attempt'
);

-- Whoever waits for work is woken.
create temporary table woken (caller text);
create or replace function notify_ocr_workers()
returns void
language sql
as $function$
    insert into woken values ('');
$function$;
delete from documents;
select retry_failed_ocr_jobs() as retried \gset
select is((select count(*) from woken), 0::bigint, 'where nothing is retried nobody');
select pg_temp.add_document() as dead \gset
select pg_temp.kill(:'dead') as token \gset
update documents set updated_at = '2020-01-01' where id = :'dead';
delete from woken;
select retry_failed_ocr_jobs() as retried \gset
select is((select count(*) from woken), 1::bigint, 'by a dead job that starts again');
select is(
    (select d.updated_at >= now() from documents as d where d.id = :'dead'),
    true,
    'its document says when it changed'
);
select is(
    (select q.processing_time_ms from ocr_queue as q where q.document_id = :'dead'),
    null,
    'and the job has no time of an attempt'
);

-- A live job that plain SQL has put beside the dead one.
select pg_temp.kill(:'dead') as token \gset
insert into ocr_queue (document_id) values (:'dead');
select is(
    retry_failed_ocr_jobs(), 0, 'a document that has a live job is passed over (G5)'
);
select is(
    pg_temp.state(:'dead'),
    'failed / failed 1 of 3, pending 0 of 3',
    'with both its jobs'
);

select * from finish();
rollback;
