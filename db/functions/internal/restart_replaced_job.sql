-- Called from the trigger that holds the document's row; the document itself is changed
-- there.

create or replace function restart_replaced_job(
    p_document_id documents.id%type,
    p_lease_token uuid
)
returns void
language plpgsql
volatile
set search_path from current
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set jit = off
as $function$
declare
    v_now constant timestamptz := clock_timestamp();
begin
    insert into ocr_job_history (
        document_id, job_id, outcome, worker_id, attempt, priority, queued_at,
        started_at, finished_at, processing_time_ms, lease_token, error
    )
    select
        p_document_id, q.id, 'cancelled', q.worker_id, q.attempts, q.priority,
        q.created_at, q.started_at, v_now, elapsed_ms(q.started_at, v_now),
        p_lease_token, 'the file was replaced'
    from (values (true)) as o (one)
    left join ocr_queue as q
        on q.document_id = p_document_id and q.status = 'processing';

    update ocr_queue as q
    set
        status = 'pending',
        attempts = 0,
        run_after = v_now,
        started_at = null,
        heartbeat_at = null,
        worker_id = null,
        lease_expires_at = null,
        progress_current = null,
        progress_total = null
    where q.document_id = p_document_id and q.status = 'processing';
    if not found then
        -- its job was deleted under it; the new file must not wait for ever (G9)
        insert into ocr_queue (document_id)
        values (p_document_id)
        on conflict do nothing;
    end if;
end;
$function$;

comment on function restart_replaced_job is
'Internal. Puts the running job of a document whose file was replaced back to pending
with all its attempts, and writes the history row (G1, G9, G10).';
