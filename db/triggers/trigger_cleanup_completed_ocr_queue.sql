-- Result, removal of the job and history row are one transaction (G3), whoever wrote
-- the result. Row-level on purpose: a statement-level trigger would have to keep the
-- rows of every unrelated bulk UPDATE of documents.

create or replace function cleanup_completed_ocr_queue()
returns trigger
language plpgsql
volatile
security definer
set search_path from current
set enable_seqscan = off
set jit = off
as $function$
begin
    with removed as (
        delete from ocr_queue as q
        where q.document_id = new.id
        returning
            q.id, q.status, q.worker_id, q.attempts, q.priority, q.created_at,
            q.run_after, q.started_at
    )
    insert into ocr_job_history (
        document_id, job_id, outcome, worker_id, engine, attempt, priority, queued_at,
        started_at, finished_at, wait_ms, processing_time_ms, confidence, word_count,
        source_hash, lease_token
    )
    select
        new.id, j.id, 'written', j.worker_id, new.ocr_engine, j.attempts, j.priority,
        j.created_at, j.started_at, clock_timestamp(),
        elapsed_ms(j.run_after, j.started_at),
        new.ocr_processing_time_ms, new.ocr_confidence, new.ocr_word_count,
        new.ocr_source_hash, new.ocr_result_token
    from (values (true)) as o (one)
    left join removed as j on j.status <> 'failed'
    -- a result that is brought back is no new attempt
    where new.ocr_result_token = old.ocr_lease_token;
    return null;
end;
$function$;

comment on function cleanup_completed_ocr_queue is
'Trigger function of trigger_cleanup_completed_ocr_queue. Removes every job of a
document that became completed and writes its history row (G3, G10).';

create or replace trigger trigger_cleanup_completed_ocr_queue
after update on documents
for each row
when (new.ocr_status = 'completed' and old.ocr_status is distinct from 'completed')
execute function cleanup_completed_ocr_queue();

comment on trigger trigger_cleanup_completed_ocr_queue on documents is
'Removes the job of a completed document and writes the history row (G3).';
