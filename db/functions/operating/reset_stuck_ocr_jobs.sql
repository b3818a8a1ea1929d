-- What find_stuck_ocr_jobs() finds, once more under the locks of the documents. A
-- document that is locked is being written or ended at this moment, which is a sign of
-- life: it is passed over, so that a reset waits for nobody (G12).

create or replace function reset_stuck_ocr_jobs(p_threshold_minutes integer default 30)
returns integer
language plpgsql
volatile
security definer
set search_path from current
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set jit = off
as $function$
declare
    v_document_ids ocr_id_types.document_ids%type;
    v_count integer;
begin
    v_document_ids := array(
        select s.document_id from find_stuck_ocr_jobs(p_threshold_minutes) as s
    );
    v_document_ids := array(
        select d.id
        from documents as d
        where d.id = any(v_document_ids)
        order by d.id
        for no key update skip locked
    );
    v_document_ids := array(
        select s.document_id
        from find_stuck_ocr_jobs(p_threshold_minutes) as s
        where s.document_id = any(v_document_ids)
    );
    select count(*)::integer into v_count
    from end_ocr_leases(
        v_document_ids,
        'expired',
        format('reset: no sign of life for %s minutes', p_threshold_minutes),
        'retry',
        true
    );
    if v_count > 0 then
        perform notify_ocr_workers();
    end if;
    return v_count;
end;
$function$;

comment on function reset_stuck_ocr_jobs is
'Returns what find_stuck_ocr_jobs() finds to pending, or to failed where attempts are
used up, document and job together; whoever still holds the lease is fenced off (G2).
Returns how many. A document that is locked at this moment is left for the next call.
Raises 22023 for a threshold outside 1 to 525600.';
