-- What the history keeps of an attempt that ended with a result, written once for the
-- batch and for plain SQL. Inlined: of (form_result_history(...)).* the planner
-- leaves one expression per column.

create or replace function form_result_history(
    p_document_id documents.id%type,
    p_engine text,
    p_processing_time_ms integer,
    p_confidence double precision,
    p_word_count integer,
    p_source_hash text,
    p_lease_token uuid,
    p_job ocr_queue
)
returns ocr_job_history
language sql
volatile
return row(
    p_document_id,
    (p_job).id,
    'written',
    null,
    (p_job).worker_id,
    p_engine,
    (p_job).attempts,
    (p_job).priority,
    (p_job).created_at,
    (p_job).started_at,
    clock_timestamp(),
    elapsed_ms((p_job).run_after, (p_job).started_at),
    p_processing_time_ms,
    p_confidence,
    p_word_count,
    p_source_hash,
    p_lease_token,
    null
)::ocr_job_history;

comment on function form_result_history is
'Internal. The row of ocr_job_history for a result that was written under p_lease_token;
p_job is the job as it was when it was removed, null when the document had lost it.';
