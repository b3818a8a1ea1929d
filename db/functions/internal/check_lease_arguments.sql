create or replace function check_lease_arguments(
    p_document_id documents.id%type,
    p_lease_token uuid
)
returns void
language plpgsql
volatile
set search_path from current
as $function$
begin
    if p_document_id is null then
        perform reject_argument('p_document_id', 'given', null);
    end if;
    if p_lease_token is null then
        perform reject_argument(
            'p_lease_token', 'the lease_token that claim_ocr_jobs() returned', null
        );
    end if;
end;
$function$;

comment on function check_lease_arguments is
'Internal. Raises 22023 when a fenced call lacks its document or its token.';
