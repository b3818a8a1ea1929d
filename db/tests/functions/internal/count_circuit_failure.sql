-- What reports of failure make of it is in working/fail_ocr_job.sql.

begin;
\ir ../fixtures.psql
select plan(10);

create function pg_temp.count_failure(
    p_class text, p_token uuid default gen_random_uuid()
)
returns text
language plpgsql
as $function$
begin
    perform count_circuit_failure(
        '00000000-0000-0000-0000-000000000001', p_token, 'why', p_class
    );
    return (select t.circuit_state from ocr_queue_state as t);
end;
$function$;
update ocr_queue_state set circuit_changed_at = now() - interval '1 day';
update ocr_settings set circuit_threshold = 2;
insert into ocr_job_history (document_id, outcome, error_class, finished_at)
values
(gen_random_uuid(), 'retry', 'infrastructure', now() - interval '59 seconds'),
(gen_random_uuid(), 'retry', 'infrastructure', now() - interval '2 minutes'),
(gen_random_uuid(), 'retry', 'document', now()), (gen_random_uuid(), 'written', null, now());
select is(
    pg_temp.count_failure('infrastructure'), 'closed', 'one of two in the window'
);
insert into ocr_job_history (document_id, outcome, error_class, finished_at)
values (gen_random_uuid(), 'retry', 'infrastructure', now());
select is(
    pg_temp.count_failure('document'), 'closed', 'a document''s error does not count'
);
select is(pg_temp.count_failure('permanent'), 'closed', 'nor a permanent one');
select is(pg_temp.count_failure('infrastructure'), 'open', 'two of two');
select is((select t.circuit_last_error from ocr_queue_state as t), 'why', 'and why');
select t.circuit_open_until as until from ocr_queue_state as t \gset
update ocr_queue_state set circuit_changed_at = now() - interval '1 day';
select pg_temp.count_failure('infrastructure') as state \gset
select is(
    (select t.circuit_open_until from ocr_queue_state as t),
    :'until'::timestamptz,
    'what still fails while it is open does not put off the probe'
);
select set_circuit_state(
    'half_open', null, '00000000-0000-0000-0000-000000000001',
    '00000000-0000-0000-0000-000000000002'
);
select is(
    pg_temp.count_failure('infrastructure'),
    'half_open',
    'half-open: others do not decide'
);
update ocr_queue_state set circuit_last_error = 'before';
select is(
    pg_temp.count_failure('infrastructure', '00000000-0000-0000-0000-000000000002'),
    'open',
    'the probe does'
);
select is(
    (select t.circuit_last_error from ocr_queue_state as t), 'why',
    'its error is the last one'
);
select set_circuit_state(
    'half_open', null, '00000000-0000-0000-0000-000000000001',
    '00000000-0000-0000-0000-000000000002'
);
select is(
    pg_temp.count_failure('document', '00000000-0000-0000-0000-000000000002'),
    'closed',
    'both ways'
);

select * from finish();
rollback;
