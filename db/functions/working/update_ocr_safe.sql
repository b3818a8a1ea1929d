-- The polite way through the trigger: it gives reasons where the trigger gives errors.

create or replace function update_ocr_safe(
    p_document_id documents.id%type,
    p_expected_filename text,
    p_ocr_text text,
    p_confidence double precision,
    p_word_count integer,
    p_processing_time_ms integer,
    p_lease_token uuid default null,
    p_source_hash text default null,
    p_engine text default null
)
returns boolean
language plpgsql
volatile
security definer
set search_path from current
as $function$
declare
    v_invalid constant text := find_invalid_result(
        p_document_id, p_expected_filename, p_ocr_text, p_confidence, p_word_count,
        p_processing_time_ms, p_source_hash
    );
    v_results constant ocr_result [] := array[
        row(
            p_document_id, p_expected_filename, p_ocr_text, p_confidence, p_word_count,
            p_processing_time_ms, p_lease_token, p_source_hash, p_engine
        )::ocr_result
    ];
    v_answer record;
begin
    if v_invalid is not null then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = v_invalid,
            hint = 'Nothing was changed. Correct the argument, or report the failure '
                'with fail_ocr_job().';
    end if;
    -- an assignment of a single function call is evaluated without a statement
    v_answer := write_ocr_results(v_results);
    if v_answer.is_complete then
        return true;
    end if;
    return (
        select r.outcome in ('written', 'already_written')
        from record_ocr_refusals(
            v_results, v_answer.written, v_answer.foreign_ids
        ) as r
    );
end;
$function$;

comment on function update_ocr_safe is
'Writes the OCR result of one document, removes its job and records the attempt, or
refuses: the first rule that applies of document_missing, already_written,
already_completed, stale_lease, lease_required, filename_mismatch, source_mismatch,
implausible_result, foreign_text. Returns true when the result stands (written now, or
already written under this same lease token: G11), false when it was refused; then
nothing changed and ocr_incidents has a row that says why. p_confidence in percent (0 to
100), p_processing_time_ms in milliseconds, p_source_hash the SHA-256 of the very bytes
that were read. Without p_lease_token only the first and only claim of a document may
write. Raises 22023 for an argument out of range, and what the write itself raises.';
