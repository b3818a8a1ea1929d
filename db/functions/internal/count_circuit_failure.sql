-- Failures are counted in the history, of which a partial index holds just these, and
-- not in a counter: many workers fail at the same moment, and none may wait for
-- another.

create or replace function count_circuit_failure(
    p_document_id documents.id%type,
    p_lease_token uuid,
    p_error text,
    p_error_class text
)
returns void
language plpgsql
volatile
set search_path from current
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set jit = off
as $function$
declare
    v_now constant timestamptz := clock_timestamp();
    v_state ocr_queue_state;
    v_settings ocr_settings;
begin
    select t.* into strict v_state from ocr_queue_state as t where t.id;
    if v_state.circuit_state = 'half_open'
        and v_state.circuit_probe_document_id = p_document_id
        and v_state.circuit_probe_token = p_lease_token
    then
        perform set_circuit_state(
            case p_error_class when 'infrastructure' then 'open' else 'closed' end,
            case p_error_class when 'infrastructure' then left(p_error, 10000) end
        );
        return;
    end if;
    if p_error_class <> 'infrastructure' or v_state.circuit_state <> 'closed' then
        return;
    end if;

    select s.* into strict v_settings from ocr_settings as s where s.id;
    if v_settings.circuit_threshold <= (
        select count(*)
        from ocr_job_history as h
        where
            h.error_class = 'infrastructure'
            -- what happened before the circuit last closed has been dealt with
            and h.finished_at > greatest(
                v_now - v_settings.circuit_window, v_state.circuit_changed_at
            )
    ) then
        perform set_circuit_state('open', left(p_error, 10000));
    end if;
end;
$function$;

comment on function count_circuit_failure is
'Internal. Opens the circuit after ocr_settings.circuit_threshold infrastructure errors
within circuit_window, and lets the outcome of a half-open circuit''s probe decide.';
