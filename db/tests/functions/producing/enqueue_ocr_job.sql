begin;
\ir ../fixtures.psql

select plan(38);

-- A new job.
insert into documents (filename, file_size) values ('scan.pdf', 4711)
returning id as document \gset
select enqueue_ocr_job(:'document') as job \gset
select results_eq(
    $$
        select
            q.id, q.status, q.priority, q.attempts, q.max_attempts,
            q.run_after between now() and clock_timestamp(),
            q.created_at, q.file_size, q.worker_id
        from ocr_queue as q
    $$,
    format(
        $$
            values
            (%L::uuid, 'pending', 5, 0, 3, true, now(), 4711::bigint, null::text)
        $$,
        :'job'
    ),
    'a pending document gets a job: priority 5, due now, attempts as in the settings'
);
select is(
    pg_temp.state(:'document'), 'pending / pending 0 of 3', 'the document is pending'
);

-- Idempotent.
select is(
    enqueue_ocr_job(:'document', 9, now() + interval '1 day', 7),
    :'job'::uuid,
    'enqueueing it again gives the same job (G5)'
);
select results_eq(
    $$
        select
            q.priority, q.run_after <= clock_timestamp(), q.max_attempts,
            count(*) over ()
        from ocr_queue as q
    $$,
    $$values (5, true, 3, 1::bigint)$$,
    'unchanged'
);
select pg_temp.claim(:'document') as token \gset
select pg_temp.snapshot() as before \gset
select is(
    enqueue_ocr_job(:'document'), :'job'::uuid, 'also while the job is processing'
);
select is(pg_temp.snapshot(), :'before', 'whose lease is not touched');
select update_ocr_safe(
    :'document', 'scan.pdf', 'a', 90, 1, 1, :'token'
) as written \gset

-- OG006, OG001
select pg_temp.snapshot() as before \gset
select throws_ok(
    format('select enqueue_ocr_job(%L)', :'document'),
    'OG006',
    format('document %s is completed already', :'document'),
    'a completed document is not enqueued: OG006 (G4)'
);
select throws_ok(
    $$select enqueue_ocr_job('00000000-0000-0000-0000-000000000000')$$,
    'OG001',
    'there is no document 00000000-0000-0000-0000-000000000000',
    'a document that does not exist: OG001'
);
select is(pg_temp.snapshot(), :'before', 'neither changes anything');

-- The arguments.
select enqueue_ocr_job(
    pg_temp.add_document('args.pdf'), 10, now() + interval '1 hour', 100
) as job \gset
select results_eq(
    format(
        'select q.priority, q.run_after, q.max_attempts '
        'from ocr_queue as q where q.id = %L',
        :'job'
    ),
    $$values (10, now() + interval '1 hour', 100)$$,
    'priority, time and attempts are those given'
);
select enqueue_ocr_job(pg_temp.add_document(), 0, now(), 1) as job \gset
select results_eq(
    format(
        'select q.priority, q.max_attempts from ocr_queue as q where q.id = %L', :'job'
    ),
    $$values (0, 1)$$,
    'the lowest priority, a single attempt'
);
update ocr_settings set default_max_attempts = 9;
select enqueue_ocr_job(pg_temp.add_document()) as job \gset
select is(
    (select q.max_attempts from ocr_queue as q where q.id = :'job'),
    9,
    'without p_max_attempts the setting counts'
);
update ocr_settings set default_max_attempts = 3;

-- A failed document starts anew.
select pg_temp.add_document() as failed \gset
select pg_temp.kill(:'failed', 'torn') as token \gset
select q.id as dead_job from ocr_queue as q where q.document_id = :'failed' \gset
select isnt(
    enqueue_ocr_job(:'failed', 7), :'dead_job'::uuid, 'a failed document gets a new job'
);
select is(
    pg_temp.state(:'failed'),
    'pending / pending 0 of 3',
    'with all attempts; the dead job goes, the document is pending'
);
select is(
    (select d.ocr_error from documents as d where d.id = :'failed'),
    null,
    'and its error is cleared'
);
select is(pg_temp.history(:'failed'), 'failed', 'the history keeps what was');

-- A document that is processing without a job.
select pg_temp.add_document() as jobless \gset
select pg_temp.claim(:'jobless') as jobless_token \gset
delete from ocr_queue as q where q.document_id = :'jobless';
select enqueue_ocr_job(:'jobless') as job \gset
select is(
    pg_temp.state(:'jobless'),
    'pending / pending 0 of 3',
    'a document that is processing without a job gets one and is pending again (G5, G9)'
);
select is(
    update_ocr_safe(:'jobless', 'scan.pdf', 'a', 90, 1, 1, :'jobless_token'),
    false,
    'its old lease is fenced off (G2)'
);

-- NOTIFY: whoever enqueues what is due wakes the workers. What is sent is seen only
-- after COMMIT; that it is sent can be read off the function.
select ok(
    (
        select p.prosrc like '%notify_ocr_workers%'
        from pg_proc as p
        where p.oid = 'start_ocr_jobs'::regproc
    ),
    'new jobs wake the workers'
);

-- Bad arguments.
select pg_temp.add_document() as args \gset
select pg_temp.snapshot() as before \gset
select throws_ok(
    format(
        'select enqueue_ocr_job(%s)', replace(c.arguments, 'D', quote_literal(:'args'))
    ),
    '22023', c.message,
    format('enqueue_ocr_job(%s) is refused (22023)', c.arguments)
)
from (
    values
    ('null', 'p_document_id must be given, not null'),
    ('D, null', 'p_priority must be between 0 and 10, not null'),
    ('D, -1', 'p_priority must be between 0 and 10, not -1'),
    ('D, -60', 'p_priority must be between 0 and 10, not -60'),
    ('D, 11', 'p_priority must be between 0 and 10, not 11'),
    ('D, 2147483647', 'p_priority must be between 0 and 10, not 2147483647'),
    ('D, 5, null', 'p_run_after must be a finite time, not null'),
    ('D, 5, ''infinity''', 'p_run_after must be a finite time, not infinity'),
    ('D, 5, ''-infinity''', 'p_run_after must be a finite time, not -infinity'),
    ('D, 5, now(), 0', 'p_max_attempts must be null or between 1 and 100, not 0'),
    ('D, 5, now(), -1', 'p_max_attempts must be null or between 1 and 100, not -1'),
    ('D, 5, now(), 101', 'p_max_attempts must be null or between 1 and 100, not 101'),
    ('D, 5, now(), 2147483647', 'p_max_attempts must be null or between 1 and 100, not 2147483647')
) as c (arguments, message);
select is(pg_temp.snapshot(), :'before', 'a bad argument changes nothing');

-- Order among documents of the same age, and of those that wait.
select is(
    (select count(*) from ocr_queue as q where q.document_id = :'args'),
    0::bigint,
    'and makes no job'
);
select is(
    enqueue_ocr_job(p_document_id => :'args', p_run_after => 'epoch') is not null,
    true,
    'a time that is long past is a time'
);
select is(
    (select c.document_id from claim_ocr_jobs('w-one', 1) as c) is not null,
    true,
    'and due'
);
select lives_ok(
    format('select enqueue_ocr_job(%L)', pg_temp.add_document(repeat('long', 100000))),
    'a very long filename is no obstacle'
);
select is_empty(
    $$
        select q.document_id
        from ocr_queue as q
        where q.status in ('pending', 'processing')
        group by q.document_id
        having count(*) > 1
    $$,
    'no document has two live jobs (G5)'
);

select * from finish();
rollback;
