create or replace function pause_ocr_queue(p_reason text)
returns boolean
language plpgsql
volatile
security definer
set search_path from current
as $function$
begin
    if p_reason is null or p_reason !~ '[^[:space:]]' then
        perform reject_argument('p_reason', 'the reason of the pause', p_reason);
    end if;
    update ocr_queue_state as t
    set
        paused_at = clock_timestamp(),
        paused_by = session_user,
        paused_reason = p_reason
    where t.id and t.paused_at is null;
    return found;
end;
$function$;

comment on function pause_ocr_queue is
'From now on claims return nothing; jobs in hand are finished normally. Returns false
when the queue was paused already (its reason stays). Raises 22023 without a reason.';
