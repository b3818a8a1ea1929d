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
as $function$
declare
    v_now constant timestamptz := clock_timestamp();
begin
    with old as (
        select q.*
        from ocr_queue as q
        where q.document_id = p_document_id and q.status = 'processing'
    ),
    job as (
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
        from old as o
        where q.id = o.id
    )
    insert into ocr_job_history (
        document_id, job_id, outcome, worker_id, attempt, priority, queued_at,
        started_at, finished_at, processing_time_ms, lease_token, error
    )
    select
        p_document_id, o.id, 'cancelled', o.worker_id, o.attempts, o.priority,
        o.created_at, o.started_at, v_now,
        least(extract(epoch from v_now - o.started_at) * 1000, 2147483647),
        p_lease_token, 'the file was replaced'
    from old as o;
end;
$function$;

comment on function restart_replaced_job is
'Internal. Puts the running job of a document whose file was replaced back to pending
with all its attempts, and writes the history row (G1, G10).';
