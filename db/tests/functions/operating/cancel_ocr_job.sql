begin;
\ir ../fixtures.psql

select plan(27);

-- waiting
select pg_temp.add_document() as waiting \gset
select enqueue_ocr_job(:'waiting', 7) as job \gset
select is(cancel_ocr_job(:'waiting', 'not needed'), true, 'a waiting job is cancelled');
select is(
    pg_temp.state(:'waiting'), 'failed / no job', 'it goes, the document is failed'
);
select is(
    (select d.ocr_error from documents as d where d.id = :'waiting'),
    'cancelled: not needed',
    'and says why'
);
select results_eq(
    format(
        $$
            select h.outcome, h.job_id, h.attempt, h.priority, h.error, h.started_at
            from ocr_job_history as h
            where h.document_id = %L
        $$,
        :'waiting'
    ),
    format(
        $$
            values
            ('cancelled', %L::uuid, 0, 7, 'cancelled: not needed', null::timestamptz)
        $$,
        :'job'
    ),
    'the history says so (G10)'
);
select pg_temp.snapshot() as before \gset
select is(cancel_ocr_job(:'waiting', 'again'), false, 'there is no live job any more');
select is(pg_temp.snapshot(), :'before', 'and nothing changes');
select isnt(enqueue_ocr_job(:'waiting'), :'job'::uuid, 'it can be enqueued again');

-- running: whoever holds the lease is fenced off (G2)
select pg_temp.add_document() as running \gset
select pg_temp.claim(:'running', 'w-late') as token \gset
select is(cancel_ocr_job(:'running', 'wrong file'), true, 'a running job is cancelled');
select is(
    pg_temp.state(:'running'), 'failed / no job', 'it goes, the document is failed'
);
select results_eq(
    format(
        $$
            select h.outcome, h.worker_id, h.lease_token, h.error
            from ocr_job_history as h
            where h.document_id = %L
        $$,
        :'running'
    ),
    format(
        $$values ('cancelled', 'w-late', %L::uuid, 'cancelled: wrong file')$$, :'token'
    ),
    'the history says whose attempt it was (G10)'
);
select enqueue_ocr_job(:'running') as job \gset
select pg_temp.claim(:'running', 'w-new') as new_token \gset
select pg_temp.snapshot() as before \gset
select is(
    update_ocr_safe(:'running', 'scan.pdf', 'late', 90, 1, 1, :'token'),
    false,
    'the late write after cancel and reclaim is refused (G2)'
);
select is(
    fail_ocr_job(:'running', :'token', 'late'), 'stale_lease', 'the late failure too'
);
select is(pg_temp.snapshot(), :'before', 'and nothing changes');

-- running without a job
delete from ocr_queue as q where q.document_id = :'running';
select is(cancel_ocr_job(:'running', 'lost'), true, 'a document whose job was deleted');
select is(pg_temp.state(:'running'), 'failed / no job', 'is failed as well (G9)');

-- what has no live job
select pg_temp.add_document() as completed \gset
select pg_temp.complete(:'completed') as token \gset
select pg_temp.add_document() as failed \gset
select pg_temp.kill(:'failed') as token \gset
select pg_temp.add_document() as idle \gset
select pg_temp.snapshot() as before \gset
select is(
    array[
        cancel_ocr_job(:'completed', 'test'), cancel_ocr_job(:'failed', 'test'),
        cancel_ocr_job(:'idle', 'test')
    ],
    array[false, false, false],
    'completed, dead or never enqueued: there is no live job'
);
select is(pg_temp.snapshot(), :'before', 'and nothing changes; a result stays (G4)');
insert into ocr_queue (document_id) values (:'completed');
select is(
    cancel_ocr_job(:'completed', 'test'), true, 'a leftover job of a completed document'
);
select is(
    pg_temp.state(:'completed'), 'completed / no job', 'goes, the result stays (G4)'
);

select throws_ok(
    $$select cancel_ocr_job('00000000-0000-0000-0000-000000000000', 'test')$$,
    'OG001',
    'there is no document 00000000-0000-0000-0000-000000000000',
    'a document that does not exist: OG001'
);
select throws_ok(
    format(
        'select cancel_ocr_job(%s)', replace(c.arguments, 'D', quote_literal(:'idle'))
    ),
    '22023', c.message,
    format('cancel_ocr_job(%s) is refused (22023)', c.arguments)
)
from (
    values
    ('null, ''a''', 'p_document_id must be given, not null'),
    ('D, null', 'p_reason must be the reason of the cancellation, not null'),
    ('D, ''''', 'p_reason must be the reason of the cancellation, not '),
    ('D, '' ''', 'p_reason must be the reason of the cancellation, not  ')
) as c (arguments, message);
select enqueue_ocr_job(:'idle') as job \gset
select is(cancel_ocr_job(:'idle', repeat('why ', 100000)), true, 'a very long reason');
select is(
    (select length(d.ocr_error) from documents as d where d.id = :'idle'),
    10000 + length('cancelled: '),
    'is cut'
);

-- what a cancellation changes says when
select pg_temp.add_document() as waiting \gset
select enqueue_ocr_job(:'waiting') as job \gset
update documents set updated_at = '2020-01-01' where id = :'waiting';
select cancel_ocr_job(:'waiting', 'test') as cancelled \gset
select is(
    (select d.updated_at >= now() from documents as d where d.id = :'waiting'),
    true,
    'the document of a cancelled waiting job says when it changed'
);

select * from finish();
rollback;
