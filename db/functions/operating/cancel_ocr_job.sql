create or replace function cancel_ocr_job(
    p_document_id documents.id%type,
    p_reason text
)
returns boolean
language plpgsql
volatile
security definer
set search_path from current
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set jit = off
as $function$
declare
    v_status text;
    v_error text;
begin
    if p_document_id is null then
        perform reject_argument('p_document_id', 'given', null);
    end if;
    if p_reason is null or p_reason !~ '[^[:space:]]' then
        perform reject_argument('p_reason', 'the reason of the cancellation', p_reason);
    end if;
    v_error := 'cancelled: ' || left(p_reason, 10000);

    select d.ocr_status into v_status
    from documents as d
    where d.id = p_document_id
    for no key update;
    if not found then
        raise exception using
            errcode = 'OG001',
            message = format('there is no document %s', p_document_id),
            detail = 'Nothing was cancelled.',
            hint = 'Look the document up by its filename.';
    end if;
    if v_status = 'processing' then
        perform from end_ocr_leases(
            array[p_document_id], 'cancelled', v_error, 'remove', false
        );
        return true;
    end if;

    with gone as (
        delete from ocr_queue as q
        where q.document_id = p_document_id and q.status = 'pending'
        returning q.id, q.attempts, q.priority, q.created_at
    )
    insert into ocr_job_history (
        document_id, job_id, outcome, attempt, priority, queued_at, error
    )
    select
        p_document_id, g.id, 'cancelled', g.attempts, g.priority, g.created_at,
        v_error
    from gone as g;
    if not found then
        return false;
    end if;
    update documents as d
    set ocr_status = 'failed', ocr_error = v_error, updated_at = clock_timestamp()
    where d.id = p_document_id and d.ocr_status = 'pending';
    return true;
end;
$function$;

comment on function cancel_ocr_job is
'Removes the live job of a document, waiting or running; the document becomes failed
with the reason as its error, and whoever holds the lease is fenced off (G2).
enqueue_ocr_job() or requeue_document() start it again. Returns false when there is no
live job. Raises OG001 when there is no such document, 22023 without a reason.';
