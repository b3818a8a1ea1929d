create or replace function resume_ocr_queue()
returns boolean
language plpgsql
volatile
security definer
set search_path from current
as $function$
begin
    update ocr_queue_state as t
    set paused_at = null, paused_by = null, paused_reason = null
    where t.id and t.paused_at is not null;
    if not found then
        return false;
    end if;
    perform notify_ocr_workers();
    return true;
end;
$function$;

comment on function resume_ocr_queue is
'Ends a pause and wakes the workers. Returns false when the queue was not paused.';
