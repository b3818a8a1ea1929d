begin;
\ir ../fixtures.psql

select plan(16);

-- given: six documents of different age, and one in every other state
insert into documents (filename, created_at)
select 'page ' || n, now() - n * interval '1 hour'
from generate_series(1, 6) as n;
select enqueue_ocr_job(d.id) from documents as d
where d.filename = 'page 4' \g /dev/null
select pg_temp.claim(pg_temp.add_document('processing')) as token \gset
select pg_temp.complete(pg_temp.add_document('completed')) as token \gset
select pg_temp.kill(pg_temp.add_document('failed')) as token \gset

select is(enqueue_pending_documents(2), 2, 'at most p_limit documents are enqueued');
select set_eq(
    $$
        select d.filename
        from documents as d
        inner join ocr_queue as q on q.document_id = d.id
        where q.status = 'pending'
    $$,
    array['page 6', 'page 5', 'page 4'],
    'the oldest first; one that has its job is passed over'
);
select is(enqueue_pending_documents(), 3, 'the others with the next call');
select is(enqueue_pending_documents(), 0, 'then there is nothing left to enqueue');
select results_eq(
    $$
        select distinct
            q.priority, q.attempts, q.max_attempts,
            q.run_after between now() and clock_timestamp() + interval '1 second'
        from ocr_queue as q
        where q.status = 'pending'
    $$,
    $$values (5, 0, 3, true)$$,
    'with the default priority and attempts, due now'
);
select is(
    (
        select string_agg(
            d.filename || ': ' || pg_temp.state(d.id), ', ' order by d.filename
        )
        from documents as d
        where d.filename not like 'page%'
    ),
    'completed: completed / no job, failed: failed / failed 1 of 3, '
    'processing: processing / processing 1 of 3',
    'documents in other states are left alone'
);
-- a pending document beside its dead job, as a plain UPDATE makes it
update documents set ocr_status = 'pending' where filename = 'failed';
select is(enqueue_pending_documents(), 1, 'a dead job is no live one');
select is(
    (select pg_temp.state(d.id) from documents as d where d.filename = 'failed'),
    'pending / pending 0 of 3',
    'it goes when the new one comes'
);

select pg_temp.snapshot() as before \gset
select throws_ok(
    format('select enqueue_pending_documents(%s)', c.arguments), '22023', c.message,
    format('enqueue_pending_documents(%s) is refused (22023)', c.arguments)
)
from (
    values
    ('null', 'p_limit must be between 1 and 1000000, not null'),
    ('0', 'p_limit must be between 1 and 1000000, not 0'),
    ('-1', 'p_limit must be between 1 and 1000000, not -1'),
    ('-60', 'p_limit must be between 1 and 1000000, not -60'),
    ('1000001', 'p_limit must be between 1 and 1000000, not 1000001'),
    ('2147483647', 'p_limit must be between 1 and 1000000, not 2147483647')
) as c (arguments, message);
select is(pg_temp.snapshot(), :'before', 'a bad argument changes nothing');
select lives_ok(
    $$select enqueue_pending_documents(1000000)$$, 'the highest limit there is'
);

select * from finish();
rollback;
