begin;
\ir ../fixtures.psql

select plan(31);

create function pg_temp.put_back(p_filename text, p_attempts integer, p_minutes integer)
returns uuid
language plpgsql
as $function$
declare
    v_document_id constant uuid := pg_temp.add_document(p_filename);
    v_token constant uuid := pg_temp.claim(v_document_id, 'w-' || p_filename);
begin
    update ocr_queue as q
    set
        attempts = p_attempts,
        started_at = clock_timestamp() - interval '9 hours',
        heartbeat_at = clock_timestamp() - make_interval(mins => p_minutes)
    where q.document_id = v_document_id;
    return v_token;
end;
$function$;
select pg_temp.put_back('stuck', 1, 31) as stuck_token \gset
select pg_temp.put_back('used up', 3, 31) as used_up_token \gset
select pg_temp.put_back('alive', 1, 1) as alive_token \gset
select pg_temp.put_back('jobless', 1, 31) as jobless_token \gset
delete from ocr_queue as q using documents as d
where d.id = q.document_id and d.filename = 'jobless';
select enqueue_ocr_job(
    pg_temp.add_document('waiting'), 5, now() - interval '9 days'
) as job \gset
select pg_temp.complete(pg_temp.add_document('completed')) as token \gset
select pg_temp.kill(pg_temp.add_document('failed')) as token \gset
delete from ocr_job_history;
select d.id as stuck from documents as d where d.filename = 'stuck' \gset

select is(
    reset_stuck_ocr_jobs(30),
    (select count(*)::integer from documents as d where d.filename in ('stuck', 'used up', 'jobless')),
    'exactly what find_stuck_ocr_jobs() finds is reset, and counted'
);
select is(
    (
        select string_agg(
            d.filename || ': ' || pg_temp.state(d.id), ', ' order by d.filename
        )
        from documents as d
    ),
    'alive: processing / processing 1 of 3, '
    'completed: completed / no job, '
    'failed: failed / failed 1 of 3, '
    'jobless: pending / pending 0 of 3, '
    'stuck: pending / pending 1 of 3, '
    'used up: failed / failed 3 of 3, '
    'waiting: pending / pending 0 of 3',
    'to pending, or to failed where attempts are used up, '
    'document and job together (G5, G9)'
);
select results_eq(
    $$
        select d.filename, h.outcome, h.worker_id, h.attempt, h.error
        from ocr_job_history as h
        inner join documents as d on d.id = h.document_id
        order by d.filename
    $$,
    $$
        values
        ('jobless', 'expired', null::text, null::integer, 'reset: no sign of life for 30 minutes'),
        ('stuck', 'expired', 'w-stuck', 1, 'reset: no sign of life for 30 minutes'),
        ('used up', 'expired', 'w-used up', 3, 'reset: no sign of life for 30 minutes')
    $$,
    'each attempt is in the history (G10)'
);
select is(
    (select d.ocr_error from documents as d where d.filename = 'used up'),
    'reset: no sign of life for 30 minutes',
    'and the failed document says why'
);
select results_eq(
    format(
        $$
            select q.worker_id, q.started_at, q.lease_expires_at, d.ocr_lease_token
            from documents as d
            inner join ocr_queue as q on q.document_id = d.id
            where d.id = %L
        $$,
        :'stuck'
    ),
    $$values (null::text, null::timestamptz, null::timestamptz, null::uuid)$$,
    'nothing of the lease is left'
);
select is(reset_stuck_ocr_jobs(30), 0, 'a second reset finds nothing');
select is(
    (
        select count(*)
        from claim_ocr_jobs('w-new', 10) as c
        where c.filename in ('stuck', 'jobless')
    ),
    2::bigint,
    'what was reset is claimed again'
);

-- Fencing: the job is a second worker's by now.
select pg_temp.snapshot() as before \gset
select is(
    update_ocr_safe(:'stuck', 'stuck', 'late', 90, 1, 1, :'stuck_token'),
    false,
    'the late write after reset and reclaim is refused (G2)'
);
select is(
    fail_ocr_job(:'stuck', :'stuck_token', 'late'), 'stale_lease', 'the late failure'
);
select is(
    report_ocr_progress(:'stuck', :'stuck_token', 1, 2), false, 'the late progress'
);
select is(release_ocr_job(:'stuck', :'stuck_token'), false, 'the late release');
select is_empty(
    format(
        'select * from extend_ocr_leases(array[%L::uuid], array[%L::uuid])',
        :'stuck', :'stuck_token'
    ),
    'the late extension'
);
select is(pg_temp.snapshot(), :'before', 'and none changes anything');
select is(
    (
        select update_ocr_safe(d.id, d.filename, 'new', 90, 1, 1, d.ocr_lease_token)
        from documents as d
        where d.id = :'stuck'
    ),
    true,
    'the second worker writes'
);

-- A heartbeat keeps a job from being reset, however old its start.
select is(
    (select pg_temp.state(d.id) from documents as d where d.filename = 'alive'),
    'processing / processing 1 of 3',
    'a fresh heartbeat with a start hours ago is not stuck'
);
select is(reset_stuck_ocr_jobs(), 0, 'the threshold is 30 minutes by default');
update ocr_queue set heartbeat_at = now() - interval '16 minutes'
where status = 'processing';
select is(
    reset_stuck_ocr_jobs(15) > 0, true, 'after 16 minutes 15 are over'
);

-- A processing document whose job is back in the queue.
select pg_temp.put_back('torn', 2, 1) as torn_token \gset
update ocr_queue as q
set status = 'pending', lease_expires_at = null, started_at = null, worker_id = null
from documents as d
where d.id = q.document_id and d.filename = 'torn';
select is(
    reset_stuck_ocr_jobs(30), 1, 'a processing document whose job is pending is reset'
);
select is(
    (select pg_temp.state(d.id) from documents as d where d.filename = 'torn'),
    'pending / pending 2 of 3',
    'and agrees with its job (G5)'
);

select pg_temp.snapshot() as before \gset
select throws_ok(
    format('select reset_stuck_ocr_jobs(%s)', c.arguments), '22023', c.message,
    format('reset_stuck_ocr_jobs(%s) is refused (22023)', c.arguments)
)
from (
    values
    ('null', 'p_threshold_minutes must be between 1 and 525600, not null'),
    ('0', 'p_threshold_minutes must be between 1 and 525600, not 0'),
    ('-60', 'p_threshold_minutes must be between 1 and 525600, not -60'),
    ('525601', 'p_threshold_minutes must be between 1 and 525600, not 525601'),
    ('2147483647', 'p_threshold_minutes must be between 1 and 525600, not 2147483647')
) as c (arguments, message);
select is(pg_temp.snapshot(), :'before', 'a bad threshold changes nothing');

-- A job that has exhausted its attempts, alone: the specification's trap.
delete from documents;
select pg_temp.put_back('last attempt', 3, 60) as token \gset
select is(reset_stuck_ocr_jobs(30), 1, 'a stuck last attempt is reset');
select is(
    (select pg_temp.state(d.id) from documents as d),
    'failed / failed 3 of 3',
    'to failed: it would be claimed for ever otherwise (G9)'
);
select is_empty($$select * from claim_ocr_jobs('w-new')$$, 'and is not claimed again');
select is(
    (select count(*) from ocr_incidents as i where i.reason <> 'stale_lease'),
    0::bigint,
    'a reset is no incident'
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
select reset_stuck_ocr_jobs() as reset \gset
select is((select count(*) from woken), 0::bigint, 'a reset of nothing wakes nobody');
select pg_temp.claim(pg_temp.add_document()) as token \gset
delete from woken;
update ocr_queue
set
    started_at = started_at - interval '2 hours',
    heartbeat_at = heartbeat_at - interval '2 hours';
select reset_stuck_ocr_jobs() as reset \gset
select is((select count(*) from woken), 1::bigint, 'a reset wakes the workers');

select * from finish();
rollback;
