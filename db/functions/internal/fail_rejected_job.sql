-- The attempt failed if it still held the lease; a first and only claim may go without
-- a token, here as in the rules.

create or replace function fail_rejected_job(
    p_result ocr_result,
    p_error text
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
    v_token uuid := (p_result).lease_token;
begin
    if v_token is null then
        select d.ocr_lease_token into v_token
        from documents as d
        cross join ocr_settings as s
        where
            d.id = (p_result).document_id
            and s.id
            and d.ocr_claims = 1
            and not s.require_lease_token;
    end if;
    if (p_result).document_id is not null and v_token is not null then
        perform fail_ocr_job((p_result).document_id, v_token, p_error);
    end if;
end;
$function$;

comment on function fail_rejected_job is
'Internal. Fails the job of a result that the database rejected as class document, if
the offer still held the lease.';
