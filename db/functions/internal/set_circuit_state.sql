create or replace function set_circuit_state(
    p_state text,
    p_error text,
    p_probe_document_id documents.id%type default null,
    p_probe_token uuid default null
)
returns void
language plpgsql
volatile
set search_path from current
as $function$
declare
    v_now constant timestamptz := clock_timestamp();
begin
    -- whoever holds the row is changing the circuit too; the next caller decides anew
    perform from ocr_queue_state as t where t.id for update skip locked;
    if not found then
        return;
    end if;
    update ocr_queue_state as t
    set
        circuit_state = p_state,
        circuit_changed_at = v_now,
        circuit_open_until = case
            when p_state = 'open' then v_now + s.circuit_cooldown
        end,
        circuit_last_error = coalesce(p_error, t.circuit_last_error),
        circuit_probe_document_id = p_probe_document_id,
        circuit_probe_token = p_probe_token
    from ocr_settings as s
    where t.id and s.id;
end;
$function$;

comment on function set_circuit_state is
'Internal. Changes the state of the circuit; passes silently when another session is
changing it at this moment.';
