begin;
\ir ../fixtures.psql

select plan(45);

-- From completed: the old result is kept (G4).
select pg_temp.add_document('scan.pdf', repeat('a', 64)) as document \gset
select pg_temp.claim(:'document') as token \gset
select update_ocr_safe(
    :'document', 'scan.pdf', 'first text', 81, 2, 123, :'token', null, 'engine 1'
) as written \gset
select d.ocr_completed_at as completed_at from documents as d \gset
select requeue_document(:'document', 'engine 2 is out', 9) as job \gset
select results_eq(
    $$
        select q.id, q.status, q.attempts, q.priority, q.run_after <= clock_timestamp()
        from ocr_queue as q
    $$,
    format($$values (%L::uuid, 'pending', 0, 9, true)$$, :'job'),
    'a completed document gets a new job, which is the answer'
);
select is(
    pg_temp.state(:'document'), 'pending / pending 0 of 3', 'and is pending'
);
select results_eq(
    $$
        select
            d.ocr_text, d.ocr_confidence, d.ocr_word_count, d.ocr_processing_time_ms,
            d.ocr_engine, d.ocr_source_hash, d.ocr_text_hash, d.ocr_completed_at,
            d.ocr_result_token, d.ocr_error
        from documents as d
    $$,
    $$
        values (
            null::text, null::real, null::integer, null::integer, null::text,
            null::text, null::bigint, null::timestamptz, null::uuid, null::text
        )
    $$,
    'without a result'
);
select results_eq(
    $$
        select
            r.document_id, r.ocr_text, r.ocr_confidence, r.ocr_word_count,
            r.ocr_processing_time_ms, r.ocr_engine, r.ocr_source_hash,
            r.ocr_completed_at, r.ocr_result_token, r.reason, r.set_aside_at >= now(),
            r.set_aside_by = session_user
        from ocr_previous_results as r
    $$,
    format(
        $$
            values (
                %L::uuid, 'first text', 81::real, 2, 123, 'engine 1', repeat('a', 64),
                %L::timestamptz, %L::uuid, 'engine 2 is out', true, true
            )
        $$,
        :'document', :'completed_at', :'token'
    ),
    'the old result is set aside, with reason, time and role (G4)'
);
select is(pg_temp.history(:'document'), 'written', 'the history stays as it is');
select pg_temp.snapshot() as before \gset
select is(
    update_ocr_safe(:'document', 'scan.pdf', 'first text', 81, 2, 123, :'token'),
    false,
    'the token of the old result writes no more (G2)'
);
select is(pg_temp.snapshot(), :'before', 'and changes nothing');

-- Twice in a row: there is nothing to set aside the second time.
select requeue_document(:'document', 'again', 3) as second_job \gset
select isnt(
    :'second_job'::uuid,
    :'job'::uuid,
    'requeued again before it is processed: another job'
);
select results_eq(
    $$
        select q.id, q.priority, (select count(*) from ocr_previous_results)
        from ocr_queue as q
    $$,
    format($$values (%L::uuid, 3, 1::bigint)$$, :'second_job'),
    'one live job (G5), one result set aside'
);
delete from documents;

-- From processing: whoever holds the lease is fenced off (G2).
select pg_temp.add_document() as processing \gset
select pg_temp.claim(:'processing', 'w-late') as late_token \gset
select q.id as old_job from ocr_queue as q \gset
select requeue_document(:'processing', 'wrong page') as job \gset
select is(
    pg_temp.state(:'processing'),
    'pending / pending 0 of 3',
    'a processing document starts again with all attempts'
);
select isnt(:'job'::uuid, :'old_job'::uuid, 'under a new job');
select results_eq(
    format(
        $$
            select h.outcome, h.worker_id, h.lease_token, h.job_id, h.error
            from ocr_job_history as h
            where h.document_id = %L
        $$,
        :'processing'
    ),
    format(
        $$
            values (
                'cancelled', 'w-late', %L::uuid, %L::uuid, 'requeued: wrong page'
            )
        $$,
        :'late_token', :'old_job'
    ),
    'the attempt is in the history as cancelled (G10)'
);
select pg_temp.claim(:'processing', 'w-new') as new_token \gset
select pg_temp.snapshot() as before \gset
select is(
    update_ocr_safe(:'processing', 'scan.pdf', 'late', 90, 1, 1, :'late_token'),
    false,
    'the late write is refused (G2)'
);
select is(
    fail_ocr_job(:'processing', :'late_token', 'late'),
    'stale_lease',
    'the late failure'
);
select is(release_ocr_job(:'processing', :'late_token'), false, 'the late release');
select is(
    report_ocr_progress(:'processing', :'late_token', 1, 2), false, 'the late progress'
);
select is_empty(
    format(
        'select * from extend_ocr_leases(array[%L::uuid], array[%L::uuid])',
        :'processing', :'late_token'
    ),
    'the late extension'
);
select is(pg_temp.snapshot(), :'before', 'and none changes anything');
delete from documents;

-- From processing without a job.
select pg_temp.add_document() as jobless \gset
select pg_temp.claim(:'jobless') as token \gset
delete from ocr_queue;
select requeue_document(:'jobless', 'lost') as job \gset
select is(
    pg_temp.state(:'jobless'),
    'pending / pending 0 of 3',
    'processing without a job: one job'
);
select is(
    pg_temp.history(:'jobless'), 'cancelled', 'and the attempt is in the history (G10)'
);
select is(
    (select q.id from ocr_queue as q), :'job'::uuid, 'which is the one of the answer'
);
delete from documents;

-- From pending, with a job and without; from failed.
select pg_temp.add_document() as pending \gset
select enqueue_ocr_job(:'pending', 1, now() + interval '1 day', 9) as old_job \gset
select requeue_document(:'pending', 'sooner', 10) as job \gset
select results_eq(
    $$
        select q.id, q.priority, q.run_after <= clock_timestamp(), q.max_attempts
        from ocr_queue as q
    $$,
    format($$values (%L::uuid, 10, true, 3)$$, :'job'),
    'a waiting job is replaced by one that is due now'
);
delete from ocr_queue;
select requeue_document(:'pending', 'no job') as job \gset
select is(
    pg_temp.state(:'pending'),
    'pending / pending 0 of 3',
    'pending without a job: one job'
);
delete from documents;
select pg_temp.add_document() as failed \gset
select pg_temp.kill(:'failed') as token \gset
select requeue_document(:'failed', 'repaired') as job \gset
select is(
    pg_temp.state(:'failed'),
    'pending / pending 0 of 3',
    'a failed document starts again, the dead job goes'
);
select is(
    (select d.ocr_error from documents as d), null, 'and its error is cleared'
);
select is(
    (select count(*) from ocr_previous_results), 0::bigint, 'nothing is set aside'
);
delete from documents;

-- A result that was written under no lease.
insert into documents (
    filename, ocr_status, ocr_text, ocr_confidence, ocr_word_count, ocr_completed_at
)
values ('import.pdf', 'completed', 'imported text', 90, 2, now())
returning id as imported \gset
insert into ocr_queue (document_id) values (:'imported');
select requeue_document(:'imported', 'test') as job \gset
select is(
    (select r.ocr_text from ocr_previous_results as r),
    'imported text',
    'a result that was inserted is set aside like any other'
);
select is(
    pg_temp.state(:'imported'),
    'pending / pending 0 of 3',
    'a leftover job of the completed document is replaced'
);
delete from documents;
select is(
    (select count(*) from ocr_previous_results),
    0::bigint,
    'what was set aside goes with its document'
);

-- OG001 and bad arguments.
select pg_temp.add_document() as args \gset
select pg_temp.complete(:'args') as token \gset
select pg_temp.snapshot() as before \gset
select throws_ok(
    $$select requeue_document('00000000-0000-0000-0000-000000000000', 'test')$$,
    'OG001',
    'there is no document 00000000-0000-0000-0000-000000000000',
    'a document that does not exist: OG001'
);
select throws_ok(
    format(
        'select requeue_document(%s)', replace(c.arguments, 'D', quote_literal(:'args'))
    ),
    '22023', c.message,
    format('requeue_document(%s) is refused (22023)', c.arguments)
)
from (
    values
    ('null, ''a''', 'p_document_id must be given, not null'),
    ('D, null', 'p_reason must be the reason of the requeue, not null'),
    ('D, ''''', 'p_reason must be the reason of the requeue, not '),
    ('D, '' ''', 'p_reason must be the reason of the requeue, not  '),
    ('D, ''a'', null', 'p_priority must be between 0 and 10, not null'),
    ('D, ''a'', -1', 'p_priority must be between 0 and 10, not -1'),
    ('D, ''a'', -60', 'p_priority must be between 0 and 10, not -60'),
    ('D, ''a'', 11', 'p_priority must be between 0 and 10, not 11'),
    ('D, ''a'', 2147483647', 'p_priority must be between 0 and 10, not 2147483647')
) as c (arguments, message);
select is(pg_temp.snapshot(), :'before', 'none of it changes anything');
select lives_ok(
    format('select requeue_document(%L, repeat(''why '', 100000))', :'args'),
    'a very long reason is a reason'
);
select pg_temp.claim(:'args') as token \gset
select lives_ok(
    format('select requeue_document(%L, repeat(''why '', 100000), 0)', :'args'),
    'while it is processing too'
);
select is(
    (select count(*) from ocr_incidents as i where i.reason <> 'stale_lease'),
    0::bigint,
    'a requeue is no incident'
);
select is(
    (select count(*) from ocr_queue as q where q.document_id = :'args'),
    1::bigint,
    'one live job (G5)'
);
select is(
    (select q.priority from ocr_queue as q where q.document_id = :'args'),
    0,
    'with the last priority given'
);

select * from finish();
rollback;
