-- Locks the document first, so that the answer holds until the transaction ends (G2).

create or replace function lock_live_lease(
    p_document_id documents.id%type,
    p_lease_token uuid
)
returns boolean
language plpgsql
volatile
set search_path from current
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set jit = off
as $function$
declare
    v_live_token uuid;
begin
    select d.ocr_lease_token into v_live_token
    from documents as d
    where d.id = p_document_id
    for no key update;
    return coalesce(v_live_token = p_lease_token, false);
end;
$function$;

comment on function lock_live_lease is
'Internal. Locks the document and says whether the token is its live lease token.';
