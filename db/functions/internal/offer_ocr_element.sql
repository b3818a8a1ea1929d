-- One element of a batch that could not be written as a whole, in a savepoint of its own.

create or replace function offer_ocr_element(p_element json)
returns table (
    document_id documents.id%type,
    outcome text,
    detail text
)
language plpgsql
volatile
set search_path from current
as $function$
declare
    v_document_id documents.id%type;
    v_token text;
    v_readable json;
    v_text_length integer;
begin
    begin
        select o.document_id, o.outcome, o.detail
        into strict document_id, outcome, detail
        from offer_ocr_results(
            array[json_populate_record(null::ocr_result, p_element)]
        ) as o;
    exception
        -- not about this element: the transaction, the server or the installation is in
        -- trouble, and the caller has to repeat the whole call
        when transaction_rollback or invalid_transaction_state
        or insufficient_resources or object_not_in_prerequisite_state
        or operator_intervention or system_error or syntax_error_or_access_rule_violation
        then
            raise;
        when others then
            outcome := 'rejected_by_database';
            detail := format('%s: %s', sqlstate, sqlerrm);
    end;
    if outcome <> 'rejected_by_database' then
        return next;
        return;
    end if;

    -- The element may be beyond reading: a NUL or half a surrogate pair in one string makes
    -- every string of the object unreadable. Without them the rest can be read.
    begin
        v_readable := regexp_replace(
            p_element::text, '\\u(0000|d[89a-f][0-9a-f]{2})', '', 'gi'
        );
        v_token := v_readable ->> 'lease_token';
        v_text_length := length(v_readable ->> 'ocr_text');
        v_document_id
        := (json_populate_record(null::ocr_id_types, v_readable)).document_id;
    exception
        when data_exception then
            null;
    end;
    if document_id is null then
        -- the savepoint took the incident with it
        insert into ocr_incidents (reason, document_id, offered_token, text_length, detail)
        values (outcome, v_document_id, null, v_text_length, detail);
    end if;
    document_id := coalesce(document_id, v_document_id);
    perform fail_rejected_job(document_id, v_token, detail);
    return next;
end;
$function$;

comment on function offer_ocr_element is
'Internal. Offers one result of a batch by itself; an error that it raises becomes the
outcome rejected_by_database with SQLSTATE and message, an incident, and a failed attempt.';
