-- Fenced like a result (G2). Touches no index, so it stays HOT.

create or replace function report_ocr_progress(
    p_document_id documents.id%type,
    p_lease_token uuid,
    p_current integer,
    p_total integer
)
returns boolean
language plpgsql
volatile
security definer
set search_path from current
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set jit = off
as $function$
begin
    perform check_lease_arguments(p_document_id, p_lease_token);
    if (p_total >= 0) is not true then
        perform reject_argument('p_total', 'zero or more', p_total::text);
    end if;
    if (p_current between 0 and p_total) is not true then
        perform reject_argument(
            'p_current', format('between 0 and p_total (%s)', p_total), p_current::text
        );
    end if;

    if not lock_live_lease(p_document_id, p_lease_token) then
        return false;
    end if;
    update ocr_queue as q
    set
        heartbeat_at = clock_timestamp(),
        progress_current = p_current,
        progress_total = p_total
    where q.document_id = p_document_id and q.status = 'processing';
    return found;
end;
$function$;

comment on function report_ocr_progress is
'Reports p_current of p_total pages as done, and a sign of life; does not extend the
lease. Returns false when the lease is no longer the caller''s (G2). Raises 22023 for
nulls, negative numbers or more pages than there are.';
