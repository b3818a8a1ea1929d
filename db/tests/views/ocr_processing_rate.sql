begin;
\ir ../functions/fixtures.psql

select plan(4);

select is_empty('select * from ocr_processing_rate', 'nothing has ended yet');
insert into ocr_job_history (
    document_id, outcome, finished_at, processing_time_ms, wait_ms
)
select
    gen_random_uuid(), c.outcome, date_trunc('minute', now()) - c.ago, c.ms, c.ms * 10
from (
    values
    ('written', interval '5 minutes', 100), ('written', interval '299 seconds', 200),
    ('failed', interval '5 minutes', 1000), ('retry', interval '5 minutes', 1000),
    ('expired', interval '5 minutes', 1000), ('released', interval '5 minutes', 1000),
    ('cancelled', interval '7 minutes', 1000), ('written', interval '61 minutes', 1000)
) as c (outcome, ago, ms);
select results_eq(
    $$
        select
            r.minute, r.completed_jobs, r.failed_jobs, r.retried_jobs,
            r.avg_processing_time_ms::integer, r.avg_wait_ms::integer
        from ocr_processing_rate as r
        order by r.minute desc
    $$,
    $$
        values
        (
            date_trunc('minute', now()) - interval '5 minutes', 2::bigint, 1::bigint,
            2::bigint, 150, 1500
        ),
        (date_trunc('minute', now()) - interval '7 minutes', 0, 0, 0, null, null)
    $$,
    'attempts of the last hour by minute; times are those of written results'
);
delete from ocr_job_history;
select pg_temp.complete(pg_temp.add_document()) as token \gset
select is(
    (select sum(r.completed_jobs) from ocr_processing_rate as r),
    1::numeric,
    'a job that is removed from the queue is counted'
);
select is((select count(*) from ocr_queue), 0::bigint, 'though it is gone');

select * from finish();
rollback;
