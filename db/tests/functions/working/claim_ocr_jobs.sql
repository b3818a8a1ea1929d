begin;
\ir ../fixtures.psql

select plan(109);

-- What a claim gives and leaves behind.

insert into documents (id, filename, file_path, file_hash, file_size, mime_type)
values (
    '00000000-0000-0000-0000-000000000001', 'scan.pdf', '/in/scan.pdf', repeat('a', 64),
    4711, 'application/pdf'
);
select enqueue_ocr_job(
    '00000000-0000-0000-0000-000000000001', 7, now() - interval '1 minute', 4
) as job \gset
create temporary table claimed as select * from claim_ocr_jobs('w-one', 1, '2 minutes');
select results_eq(
    $$
        select
            c.job_id, c.document_id, c.filename, c.file_path, c.file_hash, c.file_size,
            c.mime_type, c.priority, c.attempt, c.max_attempts
        from claimed as c
    $$,
    format(
        $$
            values (
                %L::uuid, '00000000-0000-0000-0000-000000000001'::uuid, 'scan.pdf',
                '/in/scan.pdf', repeat('a', 64), 4711::bigint, 'application/pdf',
                7, 1, 4
            )
        $$,
        :'job'
    ),
    'a claim names job, document and file, the priority, the '
    'attempt and how many there are'
);
select results_eq(
    $$
        select d.ocr_status, d.ocr_lease_token, d.ocr_claims, d.updated_at >= now()
        from documents as d
    $$,
    $$select 'processing', c.lease_token, 1, true from claimed as c$$,
    'the document is processing under the lease token of the answer (G2, G5)'
);
select results_eq(
    $$
        select
            q.status, q.attempts, q.worker_id, q.lease_expires_at,
            q.started_at = q.heartbeat_at, q.started_at >= now(),
            q.lease_expires_at - q.started_at
        from ocr_queue as q
    $$,
    $$
        select
            'processing', 1, 'w-one', c.lease_expires_at, true, true,
            interval '2 minutes'
        from claimed as c
    $$,
    'the job is processing, by that worker, and the lease lasts p_lease'
);
select is_empty(
    $$select * from claim_ocr_jobs('w-two', 10)$$,
    'what one worker has claimed no other gets (G5)'
);
select is(
    (select pg_typeof(c.lease_token)::text from claimed as c), 'uuid', 'the token is a uuid'
);

-- A second claim of the same document gives another token and counts.

select pg_temp.take_over('00000000-0000-0000-0000-000000000001') as token \gset
select isnt(
    (select c.lease_token from claimed as c),
    :'token',
    'every claim gives a new token (G2)'
);
select is(
    (select d.ocr_claims from documents as d), 2, 'and is counted on the document'
);
select is(
    pg_temp.state('00000000-0000-0000-0000-000000000001'),
    'processing / processing 2 of 4',
    'the expired attempt was spent'
);
delete from documents;

-- Order: highest priority first, then oldest due.

insert into documents (filename)
values ('p5 old'), ('p5 new'), ('p9'), ('p0'), ('p10'), ('later'), ('p5 oldest');
select enqueue_ocr_job(d.id, c.priority, now() + c.due)
from (
    values
    ('p5 old', 5, interval '-2 hours'),
    ('p5 new', 5, interval '-1 hour'),
    ('p9', 9, interval '-1 minute'),
    ('p0', 0, interval '-9 days'),
    ('p10', 10, interval '0'),
    ('later', 10, interval '1 hour'),
    ('p5 oldest', 5, interval '-3 hours')
) as c (filename, priority, due)
inner join documents as d on d.filename = c.filename \g /dev/null
select is(
    (select string_agg(c.filename, ', ') from claim_ocr_jobs('w-one', 3) as c),
    'p10, p9, p5 oldest',
    'highest priority first, then oldest due, p_batch_size of them'
);
select is(
    (select string_agg(c.filename, ', ') from claim_ocr_jobs('w-one', 100) as c),
    'p5 old, p5 new, p0',
    'the next claim goes on; what is not due yet stays'
);
select is_empty(
    $$select * from claim_ocr_jobs('w-one', 100)$$, 'nothing is left that is due'
);
select is(
    (
        select pg_temp.state(d.id)
        from documents as d
        where d.filename = 'later'
    ),
    'pending / pending 0 of 3',
    'the job for later waits'
);
update ocr_queue set run_after = now() - interval '1 second' where status = 'pending';
select is(
    (select string_agg(c.filename, ', ') from claim_ocr_jobs('w-one') as c),
    'later',
    'until it is due; the batch size is 1 by default'
);
select is(
    (
        select q.lease_expires_at - q.started_at
        from ocr_queue as q
        inner join documents as d on d.id = q.document_id
        where d.filename = 'later'
    ),
    interval '5 minutes',
    'and the lease is that of the settings by default'
);
delete from documents;
update ocr_settings set default_lease = '7 minutes';
select pg_temp.claim(pg_temp.add_document()) as token \gset
select is(
    (select q.lease_expires_at - q.started_at from ocr_queue as q),
    interval '7 minutes',
    'as it is set'
);
update ocr_settings set default_lease = '5 minutes';
delete from documents;

-- Pause.

select enqueue_ocr_job(pg_temp.add_document()) as job \gset
select pause_ocr_queue('the scanner is cleaned') as paused \gset
select is_empty(
    $$select * from claim_ocr_jobs('w-one', 10)$$,
    'a claim returns nothing while the queue is paused'
);
select throws_like(
    $$select * from claim_ocr_jobs('w-one', 10, null, true)$$,
    'the queue is paused since % by %: the scanner is cleaned',
    'and says so to those who ask with p_raise_if_closed'
);
select throws_ok(
    $$select * from claim_ocr_jobs('w-one', 10, null, true)$$,
    'OG007',
    null,
    'by OG007'
);
select is(
    pg_temp.state((select d.id from documents as d)),
    'pending / pending 0 of 3',
    'the job waits'
);
select resume_ocr_queue() as resumed \gset
select isnt_empty(
    $$select * from claim_ocr_jobs('w-one', 10)$$, 'it is claimed after the pause'
);
delete from documents;

-- A pause does not keep expired leases from returning.

select pg_temp.add_document() as document \gset
select pg_temp.claim(:'document') as token \gset
update ocr_queue set lease_expires_at = now() - interval '1 second';
select setval('ocr_expiry_sweep_clock', 1);
select pause_ocr_queue('night') as paused \gset
select is_empty(
    $$select * from claim_ocr_jobs('w-two')$$, 'paused: nothing is claimed'
);
select is(
    pg_temp.state(:'document'),
    'pending / pending 1 of 3',
    'but an expired lease returns to the queue (G9)'
);
select resume_ocr_queue() as resumed \gset
delete from documents;

-- The largest number of jobs at a time.

insert into documents (filename) select 'page ' || n from generate_series(1, 10) as n;
select enqueue_pending_documents() as enqueued \gset
update ocr_settings set max_concurrent_jobs = 3;
select is(
    (select count(*) from claim_ocr_jobs('w-one', 2)),
    2::bigint,
    'max_concurrent_jobs: two of three places are taken'
);
select is(
    (select count(*) from claim_ocr_jobs('w-two', 5)), 1::bigint, 'the last one is taken'
);
select is(
    (select count(*) from claim_ocr_jobs('w-two', 5)), 0::bigint, 'no place is left'
);
select release_ocr_job(d.id, d.ocr_lease_token) as released
from documents as d
where d.ocr_status = 'processing'
limit 1 \gset
select is(
    (select count(*) from claim_ocr_jobs('w-two', 5)), 1::bigint, 'a place is free again'
);
update ocr_settings set max_concurrent_jobs = 1;
select is(
    (select count(*) from claim_ocr_jobs('w-two', 5)),
    0::bigint,
    'a limit below the number of running jobs lets no more through'
);
update ocr_settings set max_concurrent_jobs = null;
select is(
    (select count(*) from claim_ocr_jobs('w-two', 100)),
    7::bigint,
    'without the setting there is no limit'
);
delete from documents;

-- Expired leases.

insert into documents (filename) values ('left'), ('used up'), ('alive'), ('nobody''s');
select pg_temp.claim(d.id, 'w-dead') from documents as d
order by d.filename \g /dev/null
update ocr_queue as q set attempts = 3
from documents as d
where d.id = q.document_id and d.filename = 'used up';
update ocr_queue as q set lease_expires_at = now() - interval '1 second'
from documents as d
where d.id = q.document_id and d.filename in ('left', 'used up', 'nobody''s');
select setval(
    'ocr_expiry_sweep_clock',
    (extract(epoch from now() + interval '1 minute') * 1000)::bigint
);
select is_empty(
    $$select * from claim_ocr_jobs('w-new')$$,
    'claims look for expired leases now and then only'
);
update ocr_queue as q set run_after = '1990-01-01'
from documents as d
where d.id = q.document_id and d.filename = 'left';
savepoint attempt;
select setval(
    'ocr_expiry_sweep_clock',
    (extract(epoch from now() + interval '2 hours') * 1000)::bigint
);
select string_agg(c.filename, ', ') as filenames from claim_ocr_jobs('w-new') as c \gset
rollback to savepoint attempt;
select is(
    :'filenames'::text,
    'left',
    'unless the time of the next look was set by a clock that has been put back'
);
select setval(
    'ocr_expiry_sweep_clock',
    (extract(epoch from now() - interval '1 second') * 1000)::bigint
);
select is(
    (select string_agg(c.filename || ' ' || c.attempt, ', ') from claim_ocr_jobs('w-new') as c),
    'left 2',
    'an expired lease with attempts left is pending again, and '
    'claimed by the same call (G9)'
);
select is(
    (
        select string_agg(
            d.filename || ': ' || pg_temp.state(d.id), ', ' order by d.filename
        )
        from documents as d
    ),
    'alive: processing / processing 1 of 3, '
    'left: processing / processing 2 of 3, '
    'nobody''s: pending / pending 1 of 3, '
    'used up: failed / failed 3 of 3',
    'with attempts used up document and job are failed, and '
    'who is alive is left alone (G9)'
);
select is(
    (
        select string_agg(
            format('%s: %s, %s, %s', d.filename, h.outcome, h.worker_id, h.error),
            '; ' order by d.filename
        )
        from ocr_job_history as h
        inner join documents as d on d.id = h.document_id
    ),
    'left: expired, w-dead, the lease expired; '
    'nobody''s: expired, w-dead, the lease expired; '
    'used up: expired, w-dead, the lease expired',
    'each expired attempt is in the history (G10)'
);
select is(
    (
        select
            c.last_value / 1000.0 between extract(epoch from now()) + 4.9
            and extract(epoch from clock_timestamp()) + 5
        from ocr_expiry_sweep_clock as c
    ),
    true,
    'the next look is due after expiry_sweep_interval'
);
select is(
    (select d.ocr_error from documents as d where d.filename = 'used up'),
    'the lease expired',
    'the failed document says why'
);
delete from documents;
delete from ocr_job_history;

-- What plain SQL may have left in the queue.

select pg_temp.add_document('done.pdf') as done \gset
select pg_temp.complete(:'done') as token \gset
insert into ocr_queue (document_id, priority) values (:'done', 10);
select enqueue_ocr_job(pg_temp.add_document('todo.pdf')) as job \gset
select is(
    (select string_agg(c.filename, ', ') from claim_ocr_jobs('w-one', 1) as c),
    'todo.pdf',
    'a leftover job of a completed document is not claimed, the next one is (G4)'
);
select is(
    pg_temp.state(:'done'),
    'completed / no job',
    'it is removed, and the result stands (G4)'
);
select is(
    (select d.ocr_text from documents as d where d.id = :'done'),
    'one two three',
    'untouched'
);
-- the same with the leftover the first of its priority
insert into ocr_queue (document_id, run_after)
values (:'done', now() - interval '1 hour');
select enqueue_ocr_job(pg_temp.add_document('next.pdf')) as job \gset
select enqueue_ocr_job(pg_temp.add_document('low.pdf'), 1) as job \gset
select is(
    (select string_agg(c.filename, ', ') from claim_ocr_jobs('w-one', 1) as c),
    'next.pdf',
    'a leftover job takes the place of none of its priority'
);
-- a dead job that somebody made pending by hand
update ocr_queue set completed_at = now() where status = 'pending';
select is(
    (select string_agg(c.filename, ', ') from claim_ocr_jobs('w-one', 1) as c),
    'low.pdf',
    'a job that once died can be claimed'
);
select is(
    (select count(q.completed_at) from ocr_queue as q where q.status = 'processing'),
    0::bigint,
    'and is not over while it runs'
);
delete from documents;

select pg_temp.add_document('dead.pdf') as dead \gset
select pg_temp.kill(:'dead') as token \gset
insert into ocr_queue (document_id) values (:'dead');
select is(
    (select string_agg(c.filename, ', ') from claim_ocr_jobs('w-one') as c),
    'dead.pdf',
    'a job that plain SQL inserted for a failed document is claimed'
);
select is(
    (select d.ocr_status from documents as d where d.id = :'dead'),
    'processing',
    'and the document is processing'
);
delete from documents;

insert into documents (filename) values ('plain.pdf') returning id as plain \gset
insert into ocr_queue (document_id) values (:'plain') on conflict do nothing;
insert into ocr_queue (document_id) values (:'plain') on conflict do nothing;
select is(
    (select count(*) from ocr_queue as q where q.document_id = :'plain'),
    1::bigint,
    'plain INSERTs with ON CONFLICT DO NOTHING make one job (G5)'
);
select is(
    (select string_agg(c.filename, ', ') from claim_ocr_jobs('w-one', 5) as c),
    'plain.pdf',
    'which is claimed like any other'
);
delete from documents;

-- A job that has been due for ever: its wait is no number. It may be refused by plain
-- SQL already, but it must not be claimed and then be impossible to end.

insert into documents (filename) values ('always.pdf') returning id as always \gset
create function pg_temp.process_ever_due(p_document_id uuid)
returns text
language plpgsql
as $function$
declare
    v_token uuid;
begin
    begin
        insert into ocr_queue (document_id, run_after)
        values (p_document_id, '-infinity');
    exception
        when check_violation then
            return 'refused';
    end;
    select c.lease_token into v_token from claim_ocr_jobs('w-one') as c;
    perform pg_temp.expire(p_document_id);
    select c.lease_token into v_token from claim_ocr_jobs('w-one') as c;
    perform update_ocr_safe(p_document_id, 'always.pdf', 'a', 90, 1, 1, v_token);
    return 'written';
end;
$function$;
select lives_ok(
    format($$select pg_temp.process_ever_due(%L)$$, :'always'),
    'a job due since -infinity is refused, or can expire and '
    'be written like any other (G9)'
);
delete from documents;

-- The circuit: closed -> open -> half-open -> closed, or open again.

create function pg_temp.fail_at_infrastructure(p_times integer)
returns void
language plpgsql
as $function$
declare
    v_document_id uuid;
begin
    for i in 1 .. p_times loop
        v_document_id := pg_temp.add_document('infra ' || i);
        perform fail_ocr_job(
            v_document_id, pg_temp.claim(v_document_id), 'disk full', 'infrastructure'
        );
        update ocr_queue as q set run_after = '2999-01-01'
        where q.document_id = v_document_id;
    end loop;
end;
$function$;
create function pg_temp.circuit()
returns text
language sql
as $function$
    select t.circuit_state from ocr_queue_state as t;
$function$;

update ocr_settings set circuit_threshold = 3, circuit_cooldown = '1 hour';
select pg_temp.fail_at_infrastructure(2);
select is(pg_temp.circuit(), 'closed', 'fewer errors than circuit_threshold: closed');
select pg_temp.fail_at_infrastructure(1);
select is(pg_temp.circuit(), 'open', 'circuit_threshold errors in the window: open');
select results_eq(
    $$
        select
            t.circuit_last_error, t.circuit_changed_at >= now(),
            t.circuit_open_until - t.circuit_changed_at
        from ocr_queue_state as t
    $$,
    $$values ('disk full', true, interval '1 hour')$$,
    'the state says why, since when and until when'
);
select pg_temp.add_document('next.pdf') as next \gset
select enqueue_ocr_job(:'next') as job \gset
insert into documents (filename) values ('after next.pdf');
select enqueue_pending_documents() as enqueued \gset
select is_empty(
    $$select * from claim_ocr_jobs('w-one', 10)$$, 'open: a claim returns nothing'
);
select throws_ok(
    $$select * from claim_ocr_jobs('w-one', 10, null, true)$$,
    'OG007',
    'the circuit is open after infrastructure errors, the last one: disk full',
    'or says so to those who ask'
);
update ocr_queue_state set circuit_open_until = now() - interval '1 second';
create temporary table probe as select * from claim_ocr_jobs('w-one', 10);
select is(
    (select count(*) from probe), 1::bigint, 'after the cool-down one probe is let through'
);
select is(pg_temp.circuit(), 'half_open', 'the circuit is half-open');
select results_eq(
    $$
        select t.circuit_probe_document_id, t.circuit_probe_token, t.circuit_open_until
        from ocr_queue_state as t
    $$,
    $$select p.document_id, p.lease_token, null::timestamptz from probe as p$$,
    'the state names the probe'
);
select is_empty(
    $$select * from claim_ocr_jobs('w-two', 10)$$,
    'while it is on its way, nobody else is'
);
select throws_ok(
    $$select * from claim_ocr_jobs('w-two', 10, null, true)$$,
    'OG007',
    'the circuit is half_open after infrastructure errors, the last one: disk full',
    'and is told so'
);
select fail_ocr_job(
    p.document_id, p.lease_token, 'disk still full', 'infrastructure'
) as failed
from probe as p \gset
select is(
    pg_temp.circuit(), 'open', 'a probe that meets the same trouble opens it again'
);
select is(
    (
        select t.circuit_last_error || ' ' || (t.circuit_open_until > now())
        from ocr_queue_state as t
    ),
    'disk still full true',
    'with the new error, for another cool-down'
);
update ocr_queue_state set circuit_open_until = now() - interval '1 second';
update ocr_queue set run_after = now()
where run_after < '2999-01-01' and status = 'pending';
truncate probe;
insert into probe select * from claim_ocr_jobs('w-one', 10);
select is(
    (
        select update_ocr_safe(
            p.document_id, p.filename, 'fine', 90, 1, 10, p.lease_token
        )
        from probe as p
    ),
    true,
    'the next probe writes its result'
);
select is(
    (select count(*) from claim_ocr_jobs('w-one', 10)),
    1::bigint,
    'after that claims go on'
);
select is(pg_temp.circuit(), 'closed', 'and the circuit is closed');

-- errors from before it closed are dealt with
select pg_temp.fail_at_infrastructure(2);
select is(
    pg_temp.circuit(),
    'closed',
    'errors from before the circuit closed do not count again'
);
select pg_temp.fail_at_infrastructure(1);
select is(pg_temp.circuit(), 'open', 'new ones do');

-- a probe that is lost
delete from documents as d where d.filename not like 'infra%';
create function pg_temp.start_probe()
returns void
language plpgsql
as $function$
begin
    delete from documents as d where d.filename not like 'infra%';
    update ocr_queue_state as t
    set
        circuit_state = 'open',
        circuit_open_until = now() - interval '1 second',
        circuit_probe_document_id = null,
        circuit_probe_token = null;
    insert into documents (filename) values ('one'), ('two');
    perform enqueue_pending_documents();
    truncate probe;
    insert into probe select * from claim_ocr_jobs('w-probe', 10);
end;
$function$;

select pg_temp.start_probe();
update ocr_queue set lease_expires_at = now() - interval '1 second'
where status = 'processing';
select setval(
    'ocr_expiry_sweep_clock',
    (extract(epoch from now() + interval '1 hour') * 1000)::bigint
);
select is(
    (select count(*) from claim_ocr_jobs('w-two', 10)),
    1::bigint,
    'a probe whose lease has expired is replaced by another'
);
select is(pg_temp.circuit(), 'half_open', 'which decides');

select pg_temp.start_probe();
select release_ocr_job(p.document_id, p.lease_token) from probe as p \g /dev/null
select is(
    (select count(*) from claim_ocr_jobs('w-two', 10)),
    1::bigint,
    'a probe that was released is replaced'
);

select pg_temp.start_probe();
delete from documents as d using probe as p where d.id = p.document_id;
select is(
    (select count(*) from claim_ocr_jobs('w-two', 10)),
    1::bigint,
    'a probe that was deleted is replaced'
);

select pg_temp.start_probe();
select fail_ocr_job(p.document_id, p.lease_token, 'no image', 'permanent')
from probe as p \g /dev/null
select is(
    pg_temp.circuit(),
    'closed',
    'a probe that fails by its document''s fault closes the circuit'
);
select is(
    (select count(*) from claim_ocr_jobs('w-two', 10)), 1::bigint, 'and claims go on'
);

select pg_temp.start_probe();
select fail_ocr_job(p.document_id, gen_random_uuid(), 'disk full', 'infrastructure')
from probe as p \g /dev/null
select is(
    pg_temp.circuit(),
    'half_open',
    'a stranger''s failure does not decide for the probe'
);

-- an open circuit and an empty queue
delete from documents;
update ocr_queue_state
set
    circuit_state = 'open',
    circuit_open_until = now() - interval '1 second',
    circuit_probe_document_id = null,
    circuit_probe_token = null;
select is_empty($$select * from claim_ocr_jobs('w-one')$$, 'nothing to probe with');
select is(pg_temp.circuit(), 'open', 'the circuit waits for a job to probe with');
delete from ocr_queue_state;
insert into ocr_queue_state default values;

-- Bad arguments.

select enqueue_ocr_job(pg_temp.add_document()) as job \gset
select pg_temp.snapshot() as before \gset
select throws_ok(
    'select * from claim_ocr_jobs(' || c.arguments || ')', '22023', c.message,
    format('claim_ocr_jobs(%s) is refused (22023)', c.arguments)
)
from (
    values
    ('null', 'p_worker_id must be the name of the worker, not null'),
    ('''''', 'p_worker_id must be the name of the worker, not '),
    (''' ''', 'p_worker_id must be the name of the worker, not  '),
    ('''w'', null', 'p_batch_size must be between 1 and 10000, not null'),
    ('''w'', 0', 'p_batch_size must be between 1 and 10000, not 0'),
    ('''w'', -1', 'p_batch_size must be between 1 and 10000, not -1'),
    ('''w'', 10001', 'p_batch_size must be between 1 and 10000, not 10001'),
    ('''w'', 2147483647', 'p_batch_size must be between 1 and 10000, not 2147483647'),
    ('''w'', 1, ''0''', 'p_lease must be null or between 1 second and 1 day, not 00:00:00'),
    ('''w'', 1, ''999 ms''', 'p_lease must be null or between 1 second and 1 day, not 00:00:00.999'),
    ('''w'', 1, ''-60 s''', 'p_lease must be null or between 1 second and 1 day, not -00:01:00'),
    ('''w'', 1, ''25 hours''', 'p_lease must be null or between 1 second and 1 day, not 25:00:00')
) as c (arguments, message);
select is(pg_temp.snapshot(), :'before', 'a bad argument changes nothing');
select lives_ok(
    $$select * from claim_ocr_jobs(repeat('w', 100000), 10000, '1 day', null)$$,
    'the largest batch, the longest lease and a very long name are accepted'
);

-- Jobs that are enqueued together: each is due at a time of its own, in the order in
-- which the documents came, so that a mark can stand between any two.

delete from documents;
insert into documents (filename, created_at)
select 'page ' || n, now() - n * interval '1 minute'
from generate_series(1, 20) as n;
select enqueue_pending_documents() as enqueued \gset
select is(
    (
        select count(distinct q.run_after)
        from ocr_queue as q
    ),
    20::bigint,
    'jobs that are enqueued together are due at times of their own'
);
select is(
    (
        select bool_and(o.n = o.due)
        from (
            select
                row_number() over (order by d.created_at) as n,
                row_number() over (order by q.run_after) as due
            from ocr_queue as q
            inner join documents as d on d.id = q.document_id
        ) as o
    ),
    true,
    'in the order in which the documents came'
);
select is(
    (select string_agg(c.filename, ', ') from claim_ocr_jobs('w-one', 3) as c),
    'page 20, page 19, page 18',
    'in which they are claimed'
);
select is(
    (select max(q.run_after) - min(q.run_after) from ocr_queue as q),
    interval '19 microseconds',
    'and not noticeably later than the first'
);

-- Where claims begin to look. The entries of the jobs that were taken in this very
-- transaction stay until it ends. Sequences are not transactional: clocks and marks are
-- taken back at the end.

create function pg_temp.set_clocks(p_look interval, p_whole interval)
returns void
language sql
as $function$
    select
        setval(
            'ocr_claim_look_clock',
            (extract(epoch from clock_timestamp() + p_look) * 1000)::bigint
        ),
        setval(
            'ocr_claim_whole_clock',
            coalesce(
                (extract(epoch from clock_timestamp() + p_whole) * 1000)::bigint, 0
            )
        );
$function$;

-- Claims, and counts the entries of the claim order that were read for it.
create function pg_temp.claim_counting(
    p_batch_size integer, out filenames text, out entries bigint
)
language plpgsql
as $function$
declare
    v_before constant bigint := pg_stat_get_xact_tuples_returned(
        'idx_ocr_queue_claim'::regclass
    );
begin
    filenames := (
        select coalesce(string_agg(c.filename, ', '), 'none')
        from claim_ocr_jobs('w-one', p_batch_size) as c
    );
    entries := pg_stat_get_xact_tuples_returned('idx_ocr_queue_claim'::regclass)
        - v_before;
end;
$function$;

create function pg_temp.add_job(p_filename text, p_priority integer, p_due interval)
returns uuid
language sql
as $function$
    insert into ocr_queue (document_id, priority, run_after)
    values (pg_temp.add_document(p_filename), p_priority, now() + p_due)
    returning id;
$function$;

delete from documents;
insert into documents (filename)
select 'taken ' || n from generate_series(1, 3000) as n;
insert into ocr_queue (document_id, priority, run_after)
select d.id, case when d.filename like '%0' then 9 else 5 end, now() - interval '1 day'
from documents as d;
select count(*) from claim_ocr_jobs('w-one', 3000) \g /dev/null
select pg_temp.add_job('p5 old', 5, '-2 hours') as job \gset
select pg_temp.add_job('p5 new', 5, '-1 hour') as job \gset
select pg_temp.add_job('p9 old', 9, '-2 minutes') as job \gset
select pg_temp.add_job('p9 new', 9, '-1 minute') as job \gset
select pg_temp.add_job('p0', 0, '-9 days') as job \gset
select pg_temp.add_job('p10', 10, '-1 second') as job \gset
select pg_temp.add_job('later', 10, '1 hour') as job \gset
-- what the files before this one made the planner believe is not what is counted here
analyze documents, ocr_queue;

-- marks that are not in use say nothing
select setval(
    'ocr_claim_mark_' || n, (extract(epoch from clock_timestamp()) * 1000000)::bigint
) from generate_series(0, 10) as n \g /dev/null
savepoint attempt;
select pg_temp.set_clocks('20 seconds', null) \g /dev/null
select filenames, entries from pg_temp.claim_counting(6) \gset
rollback to savepoint attempt;
select is(
    :'filenames'::text,
    'p10, p9 old, p9 new, p5 old, p5 new, p0',
    'without marks: highest priority first, then oldest due'
);
select cmp_ok(
    :'entries'::integer, '>=', 3000, 'the entries of taken jobs are walked over'
);
select pg_temp.set_clocks('-1 ms', null) \g /dev/null
select filenames, entries from pg_temp.claim_counting(1) \gset
select is(
    :'filenames'::text, 'p10', 'the claim that sets the marks: the first in line'
);
select isnt(
    (select c.last_value from ocr_claim_whole_clock as c),
    0::bigint,
    'they are in use then'
);
select pg_temp.set_clocks('20 seconds', '20 seconds') \g /dev/null
select filenames, entries from pg_temp.claim_counting(2) \gset
select is(
    :'filenames'::text,
    'p9 old, p9 new',
    'with marks: highest priority first, then oldest due'
);
select cmp_ok(
    :'entries'::integer, '<', 50, 'and entries of jobs long since taken are not read'
);
select filenames, entries from pg_temp.claim_counting(100) \gset
select is(
    :'filenames'::text,
    'p5 old, p5 new, p0',
    'each priority begins at a mark of its own'
);
select cmp_ok(:'entries'::integer, '<', 500, 'for any number of jobs');
select filenames, entries from pg_temp.claim_counting(100) \gset
select is(:'filenames'::text, 'none', 'what is not due yet stays');
select enqueue_ocr_job(pg_temp.add_document('now')) as job \gset
select filenames, entries from pg_temp.claim_counting(1) \gset
select is(:'filenames'::text, 'now', 'a job that is enqueued now is claimed now');

-- A job that plain SQL puts below the mark waits for the look at the whole (G9).

update ocr_queue set run_after = now() - interval '1 hour' where status = 'pending';
select filenames, entries from pg_temp.claim_counting(1) \gset
select is(
    :'filenames'::text,
    'none',
    'a job that plain SQL puts below the mark is passed over'
);
select pg_temp.set_clocks('-1 ms', '20 seconds') \g /dev/null
select filenames, entries from pg_temp.claim_counting(1) \gset
select is(:'filenames'::text, 'none', 'as long as the marks are only moved on');
select pg_temp.set_clocks('-1 ms', '-1 ms') \g /dev/null
select filenames, entries from pg_temp.claim_counting(1) \gset
select is(:'filenames'::text, 'later', 'until a claim looks at the whole again (G9)');
select pg_temp.add_job('below', 3, '-1 hour') as job \gset
select pg_temp.set_clocks('-1 ms', '10 minutes') \g /dev/null
select filenames, entries from pg_temp.claim_counting(1) \gset
select is(
    :'filenames'::text,
    'below',
    'or the time of that look was set by a clock that has been put back'
);
select pg_temp.add_job('below, too', 3, '-1 hour') as job \gset
select pg_temp.set_clocks('10 minutes', '-1 ms') \g /dev/null
select filenames, entries from pg_temp.claim_counting(1) \gset
select is(
    :'filenames'::text,
    'below, too',
    'or the time of the next look of any kind was'
);

-- A job that its worker gives back keeps its time.

select pg_temp.set_clocks('-1 ms', '20 seconds') \g /dev/null
select filenames, entries from pg_temp.claim_counting(1) \gset
select release_ocr_job(d.id, d.ocr_lease_token) as released
from documents as d
where d.filename = 'below' \gset
select filenames, entries from pg_temp.claim_counting(1) \gset
select is(
    :'filenames'::text, 'none', 'a job that is given back stands below the mark, too'
);
select pg_temp.set_clocks('-1 ms', '-1 ms') \g /dev/null
select filenames, entries from pg_temp.claim_counting(1) \gset
select is(
    :'filenames'::text, 'below', 'and is claimed by the next look at the whole (G9)'
);

-- Where the queue is paused nothing is claimed, and the marks stand.

select pg_temp.add_job('paused', 5, '-1 hour') as job \gset
select pg_temp.set_clocks('-1 ms', '-1 ms') \g /dev/null
select pause_ocr_queue('night') as paused \gset
select filenames, entries from pg_temp.claim_counting(1) \gset
select resume_ocr_queue() as resumed \gset
select filenames, entries from pg_temp.claim_counting(1) \gset
select is(
    :'filenames'::text, 'paused', 'a look while the queue is paused passes no job over'
);

select setval('ocr_claim_look_clock', 0), setval('ocr_claim_whole_clock', 0)
\g /dev/null
select setval('ocr_claim_mark_' || n, 0) from generate_series(0, 10) as n \g /dev/null

-- A pinned plan that cannot avoid a scan costs so much on paper that PostgreSQL would
-- compile it: a hundred times the work of running it.

select is_empty(
    $$
        select p.oid::regprocedure
        from pg_proc as p
        where
            p.pronamespace = current_schema()::regnamespace
            and 'enable_seqscan=off' = any(p.proconfig)
            and 'jit=off' <> all(p.proconfig)
    $$,
    'functions that pin their plans switch off the just-in-time compiler'
);

select * from finish();
rollback;
