begin;
\ir ../functions/fixtures.psql

select plan(2);

select is_empty('select * from ocr_queue_overview', 'no jobs, no rows');
insert into documents (filename) select 'page ' || n from generate_series(1, 6) as n;
select enqueue_ocr_job(d.id, c.priority, now() + c.due)
from (
    values
    ('page 1', 5, interval '-1 hour'), ('page 2', 5, interval '-2 hours'),
    ('page 3', 5, interval '1 hour'), ('page 4', 5, interval '2 hours'),
    ('page 5', 9, interval '0')
) as c (filename, priority, due)
inner join documents as d on d.filename = c.filename \g /dev/null
select pg_temp.kill(d.id) from documents as d where d.filename = 'page 6' \g /dev/null
select results_eq(
    $$
        select
            o.status, o.priority, o.jobs, o.due_jobs, o.oldest_due_at, o.next_due_at
        from ocr_queue_overview as o
        order by o.status, o.priority
    $$,
    $$
        values
        ('failed', 10, 1::bigint, 0::bigint, null::timestamptz, null::timestamptz),
        ('pending', 5, 4, 2, now() - interval '2 hours', now() + interval '1 hour'),
        ('pending', 9, 1, 1, now(), null)
    $$,
    'jobs by status and priority, those that are due and those that wait'
);

select * from finish();
rollback;
