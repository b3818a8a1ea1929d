-- The history row of an attempt that ended with a result (G10); those that ended
-- without one are end_ocr_leases()'s.

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
    insert into ocr_job_history (
        document_id, job_id, outcome, worker_id, engine, attempt, priority, queued_at,
        started_at, finished_at, wait_ms, processing_time_ms, confidence, word_count,
        source_hash, lease_token
    )
    select
        d.id, j.id, 'written', j.worker_id, d.ocr_engine, j.attempts, j.priority,
        j.created_at, j.started_at, clock_timestamp(),
        elapsed_ms(j.run_after, j.started_at),
        d.ocr_processing_time_ms, d.ocr_confidence, d.ocr_word_count,
        d.ocr_source_hash, d.ocr_result_token
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
