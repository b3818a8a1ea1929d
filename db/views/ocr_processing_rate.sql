-- The specification's query on ocr_queue.completed_at cannot see jobs that are
-- completed, since they are removed; the history can.

create or replace view ocr_processing_rate as
select
    date_trunc('minute', h.finished_at) as minute,
    count(*) filter (where h.outcome = 'written') as completed_jobs,
    count(*) filter (where h.outcome = 'failed') as failed_jobs,
    count(*) filter (where h.outcome in ('retry', 'expired')) as retried_jobs,
    avg(h.processing_time_ms) filter (where h.outcome = 'written')
        as avg_processing_time_ms,
    avg(h.wait_ms) filter (where h.outcome = 'written') as avg_wait_ms
from ocr_job_history as h
where h.finished_at > now() - interval '1 hour'
group by date_trunc('minute', h.finished_at);

comment on view ocr_processing_rate is
'Attempts that ended in the last hour, per minute; minutes without any have no row.';
comment on column ocr_processing_rate.minute is 'Start of the minute.';
comment on column ocr_processing_rate.completed_jobs is 'Results written.';
comment on column ocr_processing_rate.failed_jobs is 'Jobs that died.';
comment on column ocr_processing_rate.retried_jobs is
'Attempts that failed or expired and will be tried again.';
comment on column ocr_processing_rate.avg_processing_time_ms is
'Mean processing time of written results in milliseconds.';
comment on column ocr_processing_rate.avg_wait_ms is
'Mean wait of written results from due to claimed, in milliseconds.';
