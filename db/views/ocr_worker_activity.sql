create or replace view ocr_worker_activity as
select
    q.worker_id,
    count(*) as jobs_in_hand,
    min(q.started_at) as oldest_started_at,
    max(greatest(q.started_at, q.heartbeat_at)) as last_heartbeat,
    min(q.lease_expires_at) as next_lease_expires_at,
    sum(q.progress_current) as pages_done,
    sum(q.progress_total) as pages_total
from ocr_queue as q
where q.status = 'processing'
group by q.worker_id;

comment on view ocr_worker_activity is
'Who works on what now: one row per worker that holds a lease.';
comment on column ocr_worker_activity.worker_id is 'The worker.';
comment on column ocr_worker_activity.jobs_in_hand is 'Leases that it holds.';
comment on column ocr_worker_activity.oldest_started_at is
'When it claimed the oldest of them.';
comment on column ocr_worker_activity.last_heartbeat is 'Its last sign of life.';
comment on column ocr_worker_activity.next_lease_expires_at is
'When the first of its leases ends unless extended.';
comment on column ocr_worker_activity.pages_done is 'Pages reported as done.';
comment on column ocr_worker_activity.pages_total is 'Pages in all, where reported.';
