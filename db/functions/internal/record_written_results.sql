-- The history rows of results whose jobs were not removed by the statement that wrote
-- them (G10); attempts that ended without a result are end_ocr_leases()'s.

create or replace function record_written_results(
    p_document_ids ocr_id_types.document_ids%type,
    p_jobs ocr_queue []
)
returns void
language plpgsql
volatile
set search_path from current
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set jit = off
as $function$
begin
    insert into ocr_job_history
    select
        (form_result_history(
            d.id, d.ocr_engine, d.ocr_processing_time_ms, d.ocr_confidence,
            d.ocr_word_count, d.ocr_source_hash, d.ocr_result_token, j
        )).*
    from documents as d
    -- a dead job beside the live one is none of this attempt's
    left join unnest(p_jobs) as j on j.document_id = d.id and j.status <> 'failed'
    where d.id = any(p_document_ids);
end;
$function$;

comment on function record_written_results is
'Internal. Writes the history rows of documents that were completed in this transaction;
p_jobs are their jobs, which have been removed. A document whose job was deleted under
it gets its row too.';
