-- What claims make of it is in working/claim_ocr_jobs.sql.

begin;
\ir ../fixtures.psql
select plan(9);

select is(admit_circuit_probe(), false, 'a closed circuit needs no probe');
update ocr_queue_state
set circuit_state = 'open', circuit_open_until = now() + interval '1 hour';
select is(admit_circuit_probe(), false, 'open, before the cool-down is over');
update ocr_queue_state set circuit_open_until = now();
select is(admit_circuit_probe(), true, 'open, after it');

select pg_temp.add_document() as probe \gset
select set_circuit_state('closed', null);
select pg_temp.claim(pg_temp.add_document('other.pdf'), 'w-two') as other_token \gset
select pg_temp.claim(:'probe') as token \gset
select set_circuit_state('half_open', null, :'probe', :'token');
select is(admit_circuit_probe(), false, 'half-open, while the probe is on its way');
update ocr_queue set lease_expires_at = now() - interval '1 second'
where document_id = :'probe';
select is(
    admit_circuit_probe(), true,
    'half-open, when its lease has expired, whatever else is in hand'
);
select pg_temp.take_over(:'probe') as new_token \gset
select set_circuit_state('half_open', null, :'probe', :'token');
select is(
    admit_circuit_probe(), true, 'half-open, when the lease is another''s by now'
);
select set_circuit_state('half_open', null, :'probe', :'new_token');
select update_ocr_safe(
    :'probe', 'scan.pdf', 'a', 90, 1, 1, :'new_token'
) as written \gset
select is(admit_circuit_probe(), true, 'half-open, when its result is written');
select is(
    (select t.circuit_state from ocr_queue_state as t), 'closed', 'which closes the circuit'
);
select set_circuit_state('half_open', null, :'probe', :'token');
select admit_circuit_probe() as admitted \gset
select is(
    (select t.circuit_state from ocr_queue_state as t),
    'half_open',
    'a result under another lease does not close it'
);

select * from finish();
rollback;
