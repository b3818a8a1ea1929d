begin;
\ir ../fixtures.psql
select plan(4);

update ocr_queue_state set circuit_changed_at = now() - interval '1 day';
select set_circuit_state('open', 'disk full');
select results_eq(
    $$
        select
            t.circuit_state, t.circuit_last_error, t.circuit_changed_at >= now(),
            t.circuit_open_until - t.circuit_changed_at, t.circuit_probe_token
        from ocr_queue_state as t
    $$,
    $$values ('open', 'disk full', true, interval '30 seconds', null::uuid)$$,
    'open until circuit_cooldown is over, with its error'
);
select set_circuit_state(
    'half_open', null, '00000000-0000-0000-0000-000000000001',
    '00000000-0000-0000-0000-000000000002'
);
select results_eq(
    $$
        select
            t.circuit_state, t.circuit_last_error, t.circuit_open_until,
            t.circuit_probe_document_id, t.circuit_probe_token
        from ocr_queue_state as t
    $$,
    $$
        values (
            'half_open', 'disk full', null::timestamptz,
            '00000000-0000-0000-0000-000000000001'::uuid,
            '00000000-0000-0000-0000-000000000002'::uuid
        )
    $$,
    'half-open, with its probe; the last error stays to be read'
);
select set_circuit_state('closed', null);
select results_eq(
    $$
        select t.circuit_state, t.circuit_probe_document_id, t.circuit_probe_token
        from ocr_queue_state as t
    $$,
    $$values ('closed', null::uuid, null::uuid)$$,
    'closed, without a probe'
);
select throws_ok(
    $$select set_circuit_state('broken', null)$$,
    '23514',
    null,
    'there is no other state'
);

select * from finish();
rollback;
