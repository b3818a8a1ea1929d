-- Result, removal of the job and history row are one transaction (G3), whoever wrote
-- the result. Row-level on purpose: a statement-level trigger would have to keep the
-- rows of every unrelated bulk UPDATE of documents.
-- write_ocr_results() does the same in the statement that writes the results, for a
-- quarter of the price; is_finishing_left_to_trigger() knows.

create or replace function cleanup_completed_ocr_queue()
returns trigger
language plpgsql
volatile
security definer
set search_path from current
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set jit = off
as $function$
declare
    v_jobs ocr_queue [];
begin
    -- requeue_document() takes a result back
    if new.ocr_status <> 'completed' then
        return null;
    end if;
    with removed as (
        delete from ocr_queue as q where q.document_id = new.id returning q.*
    )
    select array_agg(r::ocr_queue) into v_jobs from removed as r;
    -- a result that is brought back is no new attempt
    if new.ocr_result_token = old.ocr_lease_token then
        perform record_written_results(array[new.id], v_jobs);
    end if;
    return null;
end;
$function$;

comment on function cleanup_completed_ocr_queue is
'Trigger function of trigger_cleanup_completed_ocr_queue. Removes every job of a
document that became completed and writes its history row (G3, G10).';

create or replace trigger trigger_cleanup_completed_ocr_queue
after update on documents
for each row
-- It changes when a document becomes completed, or ceases to be, and at no other time.
-- The shortest condition that says so: a statement reads its text anew.
when (
    new.ocr_completed_at is distinct from old.ocr_completed_at
    and is_finishing_left_to_trigger(new.tableoid)
)
execute function cleanup_completed_ocr_queue();

comment on trigger trigger_cleanup_completed_ocr_queue on documents is
'Removes the job of a completed document and writes the history row (G3).';
