create or replace function fail_rejected_job(
    p_document_id documents.id%type,
    p_lease_token text,
    p_error text
)
returns void
language plpgsql
volatile
set search_path from current
as $function$
declare
    v_token uuid;
begin
    if p_document_id is null then
        return;
    end if;
    begin
        v_token := p_lease_token::uuid;
    exception
        when invalid_text_representation then
            return;
    end;
    if v_token is null then
        -- a first and only claim may go without a token, here as in the rules
        select d.ocr_lease_token into v_token
        from documents as d
        cross join ocr_settings as s
        where
            d.id = p_document_id
            and s.id
            and d.ocr_claims = 1
            and not s.require_lease_token;
    end if;
    if v_token is not null then
        perform fail_ocr_job(p_document_id, v_token, p_error);
    end if;
end;
$function$;

comment on function fail_rejected_job is
'Internal. Fails the job of a result that the database rejected as class document, if the
offer still held the lease.';
