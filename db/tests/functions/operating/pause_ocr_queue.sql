begin;
\ir ../fixtures.psql

select plan(12);

select pg_temp.add_document() as in_hand \gset
select pg_temp.claim(:'in_hand') as token \gset
select enqueue_ocr_job(pg_temp.add_document()) as job \gset
select is(pause_ocr_queue('the scanner is cleaned'), true, 'the queue is paused');
select results_eq(
    $$
        select t.paused_at >= now(), t.paused_by = session_user, t.paused_reason
        from ocr_queue_state as t
    $$,
    $$values (true, true, 'the scanner is cleaned')$$,
    'the state says since when, by whom and why'
);
select is_empty($$select * from claim_ocr_jobs('w-one', 10)$$, 'claims return nothing');
select is(report_ocr_progress(:'in_hand', :'token', 1, 2), true, 'jobs in hand go on');
select is(
    (
        select count(*)
        from extend_ocr_leases(array[:'in_hand'::uuid], array[:'token'::uuid])
    ),
    1::bigint,
    'are extended'
);
select is(
    update_ocr_safe(:'in_hand', 'scan.pdf', 'a', 90, 1, 1, :'token'),
    true,
    'and are finished'
);
select is(pause_ocr_queue('lunch'), false, 'a queue that is paused already: false');
select is(
    (select t.paused_reason from ocr_queue_state as t),
    'the scanner is cleaned',
    'and its reason stays'
);
select lives_ok(
    $$select enqueue_ocr_job(pg_temp.add_document())$$, 'enqueueing goes on too'
);
select throws_ok(
    format('select pause_ocr_queue(%s)', c.arguments), '22023', c.message,
    format('pause_ocr_queue(%s) is refused (22023)', c.arguments)
)
from (
    values
    ('null', 'p_reason must be the reason of the pause, not null'),
    ('''''', 'p_reason must be the reason of the pause, not '),
    ('e''\t''', e'p_reason must be the reason of the pause, not \t')
) as c (arguments, message);

select * from finish();
rollback;
