-- One element of a batch that could not be written as a whole, in a savepoint of its
-- own.

create or replace function offer_ocr_element(
    p_element json,
    p_result ocr_result,
    out outcome text,
    out detail text
)
language plpgsql
volatile
set search_path from current
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set jit = off
as $function$
begin
    begin
        select o.outcome, o.detail
        into strict outcome, detail
        from offer_ocr_results(
            array[
                case
                    when p_element is null then p_result
                    else json_populate_record(null::ocr_result, p_element)
                end
            ]
        ) as o;
        return;
    exception
        -- not about this element: the transaction, the server or the installation is in
        -- trouble, and the caller has to repeat the whole call
        when transaction_rollback or invalid_transaction_state or insufficient_resources
        or object_not_in_prerequisite_state or operator_intervention or system_error
        or syntax_error_or_access_rule_violation
        then
            raise;
        when others then
            detail := format('%s: %s', sqlstate, sqlerrm);
    end;

    outcome := 'rejected_by_database';
    insert into ocr_incidents (
        reason, document_id, job_id, worker_id, offered_token, live_token,
        expected_filename, actual_filename, offered_hash, actual_hash, text_length,
        text_hash, detail
    )
    select
        outcome, (p_result).document_id, q.id, q.worker_id, (p_result).lease_token,
        d.ocr_lease_token, (p_result).expected_filename, d.filename,
        (p_result).source_hash, d.file_hash, length((p_result).ocr_text),
        hash_ocr_text((p_result).ocr_text), detail
    from (values (true)) as o (one)
    left join documents as d on d.id = (p_result).document_id
    left join ocr_queue as q on q.document_id = d.id and q.status = 'processing';
end;
$function$;

comment on function offer_ocr_element is
'Internal. Offers one result of a batch by itself; where it came as json, p_result is
what read_ocr_result() could read of p_element. An error that reading or writing it
raises becomes the outcome rejected_by_database with SQLSTATE and message, and an
incident.';
