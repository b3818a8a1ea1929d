begin;
\ir ../fixtures.psql

select plan(18);

-- given: jobs by the age of start and heartbeat, and documents without a job
create function pg_temp.put_back(
    p_filename text, p_started interval, p_heartbeat interval
)
returns void
language plpgsql
as $function$
declare
    v_document_id constant uuid := pg_temp.add_document(p_filename);
begin
    perform pg_temp.claim(v_document_id, 'w-' || p_filename);
    update ocr_queue as q
    set
        started_at = clock_timestamp() - p_started,
        heartbeat_at = clock_timestamp() - p_heartbeat
    where q.document_id = v_document_id;
end;
$function$;
select pg_temp.put_back(c.filename, c.started, c.heartbeat)
from (
    values
    ('fresh', interval '1 minute', interval '1 minute'),
    ('long but alive', interval '9 hours', interval '1 minute'),
    ('29 minutes', interval '29 minutes 59 seconds', interval '29 minutes 59 seconds'),
    ('30 minutes', interval '30 minutes', interval '30 minutes'),
    ('lost', interval '9 hours', interval '2 hours'),
    ('no heartbeat', interval '3 hours', null)
) as c (filename, started, heartbeat) \g /dev/null
select pg_temp.claim(pg_temp.add_document('jobless')) as token \gset
delete from ocr_queue as q
using documents as d
where d.id = q.document_id and d.filename = 'jobless';
update documents set updated_at = clock_timestamp() - interval '7 minutes'
where filename = 'jobless';
select pg_temp.claim(pg_temp.add_document('job is pending')) as token \gset
update ocr_queue as q
set status = 'pending', lease_expires_at = null, started_at = null, worker_id = null
from documents as d
where d.id = q.document_id and d.filename = 'job is pending';
select enqueue_ocr_job(
    pg_temp.add_document('waiting'), 5, now() - interval '9 days'
) as job \gset
select pg_temp.complete(pg_temp.add_document('completed')) as token \gset
select pg_temp.kill(pg_temp.add_document('failed')) as token \gset
update ocr_queue set started_at = now() - interval '9 hours' where status = 'failed';
update documents
set updated_at = now() - interval '9 days', created_at = now() - interval '9 days'
where filename in ('waiting', 'completed', 'failed', 'fresh', 'long but alive');

select is(
    (select string_agg(s.filename, ', ') from find_stuck_ocr_jobs(30) as s),
    'no heartbeat, lost, 30 minutes, jobless, job is pending',
    'stuck: no sign of life for the threshold, or processing without such a job; '
    'longest first'
);
select results_eq(
    $$
        select
            s.filename, s.document_id = d.id, s.worker_id, s.started_at = q.started_at,
            s.minutes_stuck, s.last_heartbeat is not distinct from q.heartbeat_at
        from find_stuck_ocr_jobs(30) as s
        inner join documents as d on d.id = s.document_id
        inner join ocr_queue as q on q.document_id = d.id and q.status = 'processing'
        order by s.filename
    $$,
    $$
        values
        ('30 minutes', true, 'w-30 minutes', true, 30, true),
        ('lost', true, 'w-lost', true, 120, true),
        ('no heartbeat', true, 'w-no heartbeat', true, 180, true)
    $$,
    'each with worker, start, whole minutes since the last sign of life, and that'
);
select results_eq(
    $$
        select s.worker_id, s.started_at, s.minutes_stuck, s.last_heartbeat
        from find_stuck_ocr_jobs(30) as s
        where s.filename = 'jobless'
    $$,
    $$values (null::text, null::timestamptz, 7, null::timestamptz)$$,
    'a processing document without a job counts from its last change, whatever its age'
);
select is(
    (select string_agg(s.filename, ', ') from find_stuck_ocr_jobs() as s),
    (select string_agg(s.filename, ', ') from find_stuck_ocr_jobs(30) as s),
    'the threshold is 30 minutes by default'
);
select is(
    (select string_agg(s.filename, ', ' order by s.filename) from find_stuck_ocr_jobs(1) as s),
    '29 minutes, 30 minutes, fresh, job is pending, jobless, '
    'long but alive, lost, no heartbeat',
    'the shortest threshold'
);
select is(
    (select string_agg(s.filename, ', ' order by s.filename) from find_stuck_ocr_jobs(150) as s),
    'job is pending, jobless, no heartbeat',
    'a heartbeat counts, not the start'
);
select is(
    (select string_agg(s.filename, ', ' order by s.filename) from find_stuck_ocr_jobs(525600) as s),
    'job is pending, jobless',
    'the longest threshold'
);

-- Any sign of life ends it.
select report_ocr_progress(d.id, d.ocr_lease_token, 1, 2) from documents as d
where d.filename = 'lost' \g /dev/null
select e.document_id from documents as d
cross join lateral extend_ocr_leases(array[d.id], array[d.ocr_lease_token]) as e
where d.filename = 'no heartbeat' \g /dev/null
select is(
    (select string_agg(s.filename, ', ' order by s.filename) from find_stuck_ocr_jobs(30) as s),
    '30 minutes, job is pending, jobless',
    'progress and heartbeats are signs of life'
);
update documents set mime_type = 'image/png', updated_at = now()
where filename = '30 minutes';
select is(
    (select count(*) from find_stuck_ocr_jobs(30) as s where s.filename = '30 minutes'),
    1::bigint,
    'an unrelated update of the document is none'
);

select throws_ok(
    format('select * from find_stuck_ocr_jobs(%s)', c.arguments), '22023', c.message,
    format('find_stuck_ocr_jobs(%s) is refused (22023)', c.arguments)
)
from (
    values
    ('null', 'p_threshold_minutes must be between 1 and 525600, not null'),
    ('0', 'p_threshold_minutes must be between 1 and 525600, not 0'),
    ('-1', 'p_threshold_minutes must be between 1 and 525600, not -1'),
    ('-60', 'p_threshold_minutes must be between 1 and 525600, not -60'),
    ('525601', 'p_threshold_minutes must be between 1 and 525600, not 525601'),
    ('2147483647', 'p_threshold_minutes must be between 1 and 525600, not 2147483647'),
    ('-2147483648', 'p_threshold_minutes must be between 1 and 525600, not -2147483648')
) as c (arguments, message);
delete from documents;
select is_empty($$select * from find_stuck_ocr_jobs(30)$$, 'nothing is stuck');
select is(
    (
        select string_agg(
            p.parameter_name || ' ' || p.data_type, ', ' order by p.ordinal_position
        )
        from information_schema.parameters as p
        where
            p.specific_schema = current_schema()
            and p.specific_name like 'find\_stuck\_ocr\_jobs\_%'
            and p.parameter_mode = 'OUT'
    ),
    'document_id uuid, filename text, worker_id text, '
    'started_at timestamp with time zone, '
    'minutes_stuck integer, last_heartbeat timestamp with time zone',
    'its columns'
);

select * from finish();
rollback;
