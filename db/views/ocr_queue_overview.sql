create or replace view ocr_queue_overview as
select
    q.status,
    q.priority,
    count(*) as jobs,
    count(*) filter (where q.status = 'pending' and q.run_after <= now()) as due_jobs,
    min(q.run_after) filter (where q.status = 'pending' and q.run_after <= now())
        as oldest_due_at,
    min(q.run_after) filter (where q.status = 'pending' and q.run_after > now())
        as next_due_at
from ocr_queue as q
group by q.status, q.priority;

comment on view ocr_queue_overview is
'The queue now: jobs by status and priority.';
comment on column ocr_queue_overview.status is 'Status of the jobs.';
comment on column ocr_queue_overview.priority is
'Their priority, 0 (last) to 10 (first).';
comment on column ocr_queue_overview.jobs is 'Number of jobs.';
comment on column ocr_queue_overview.due_jobs is
'Pending jobs that may be claimed now; the others wait out a backoff or a time.';
comment on column ocr_queue_overview.oldest_due_at is
'Since when the oldest of the due jobs has been due.';
comment on column ocr_queue_overview.next_due_at is
'When the next of the waiting jobs becomes due.';
