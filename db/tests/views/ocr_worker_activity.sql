begin;
\ir ../functions/fixtures.psql

select plan(3);

select is_empty('select * from ocr_worker_activity', 'nobody works');
insert into documents (filename) select 'page ' || n from generate_series(1, 4) as n;
select pg_temp.claim(d.id, case d.filename when 'page 1' then 'w-two' else 'w-one' end)
from documents as d
where d.filename <> 'page 4' \g /dev/null
select enqueue_pending_documents() as enqueued \gset
update ocr_queue as q
set
    started_at = now() - c.started,
    heartbeat_at = now() - c.heartbeat,
    lease_expires_at = now() + c.lease,
    progress_current = c.pages,
    progress_total = 10
from (
    values
    ('page 1', interval '1 hour', interval '1 minute', interval '5 minutes', null),
    ('page 2', interval '2 hours', interval '2 minutes', interval '3 minutes', 4),
    ('page 3', interval '3 minutes', null, interval '4 minutes', 1)
) as c (filename, started, heartbeat, lease, pages)
inner join documents as d on d.filename = c.filename
where q.document_id = d.id;
select results_eq(
    $$
        select
            a.worker_id, a.jobs_in_hand, a.oldest_started_at, a.last_heartbeat,
            a.next_lease_expires_at, a.pages_done, a.pages_total
        from ocr_worker_activity as a
        order by a.worker_id
    $$,
    $$
        values
        (
            'w-one', 2::bigint, now() - interval '2 hours',
            now() - interval '2 minutes', now() + interval '3 minutes', 5::bigint,
            20::bigint
        ),
        (
            'w-two', 1, now() - interval '1 hour', now() - interval '1 minute',
            now() + interval '5 minutes', null, 10
        )
    $$,
    'one row for each worker with leases, over all that it has in hand'
);
select update_ocr_safe(d.id, d.filename, 'a', 90, 1, 1, d.ocr_lease_token)
from documents as d
where d.ocr_status = 'processing' \g /dev/null
select is_empty('select * from ocr_worker_activity', 'who has finished is gone');

select * from finish();
rollback;
