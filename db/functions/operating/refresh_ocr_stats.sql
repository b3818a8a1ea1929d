-- SECURITY DEFINER, so that it works for a role that does not own the view. A refresh
-- that runs already will do: nobody waits behind it. No JIT, which would compile longer
-- than it counts on all but the largest tables.

create or replace function refresh_ocr_stats()
returns boolean
language plpgsql
volatile
security definer
set search_path from current
set jit = off
as $function$
begin
    if not pg_try_advisory_xact_lock(
        hashtextextended('ocr_guardrails.refresh_ocr_stats', 0)
    ) then
        return false;
    end if;
    refresh materialized view concurrently ocr_stats;
    -- last, since it locks the default partition until the transaction ends
    perform create_ocr_history_partitions();
    return true;
end;
$function$;

comment on function refresh_ocr_stats is
'Refreshes ocr_stats; readers see the old figures until it is done. Also makes the
coming partitions of ocr_job_history. Returns false, without waiting, when another
session is refreshing it at this moment.';
