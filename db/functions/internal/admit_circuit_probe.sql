-- Open -> half-open -> closed or open again. The row is taken with SKIP LOCKED: of many
-- workers that knock after the cool-down one gets the probe, the others go away at
-- once. What became of the probe is read off its document, so that no write has to look
-- at the circuit.

create or replace function admit_circuit_probe()
returns boolean
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
begin
    select t.* into v_state
    from ocr_queue_state as t
    where t.id and t.circuit_state <> 'closed'
    for update skip locked;
    if not found then
        return false;
    end if;

    if v_state.circuit_state = 'open' then
        return v_state.circuit_open_until <= v_now;
    end if;

    if exists (
        select from documents as d
        where
            d.id = v_state.circuit_probe_document_id
            and d.ocr_result_token = v_state.circuit_probe_token
    ) then
        perform set_circuit_state('closed', null);
        return true;
    end if;

    -- lost, released, cancelled or deleted: somebody else may probe
    return not exists (
        select from documents as d
        inner join ocr_queue as q on q.document_id = d.id
        where
            d.id = v_state.circuit_probe_document_id
            and d.ocr_lease_token = v_state.circuit_probe_token
            and q.status = 'processing'
            and q.lease_expires_at >= v_now
    );
end;
$function$;

comment on function admit_circuit_probe is
'Internal. For a circuit that is not closed: whether the caller''s claim may go ahead.
Closes the circuit when the last probe''s result was written.';
