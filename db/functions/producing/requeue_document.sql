-- The one way back from a completed result (G4): it is set aside first, then the job is
-- made, then the document is taken back; the trigger checks that both are there. Any
-- live lease is fenced off (G2).

create or replace function requeue_document(
    p_document_id documents.id%type,
    p_reason text,
    p_priority integer default 5
)
returns ocr_queue.id%type
language plpgsql
volatile
security definer
set search_path from current
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set jit = off
as $function$
declare
    v_document documents;
begin
    if p_document_id is null then
        perform reject_argument('p_document_id', 'given', null);
    end if;
    if p_reason is null or p_reason !~ '[^[:space:]]' then
        perform reject_argument('p_reason', 'the reason of the requeue', p_reason);
    end if;
    if (p_priority between 0 and 10) is not true then
        perform reject_argument('p_priority', 'between 0 and 10', p_priority::text);
    end if;

    select d.* into v_document
    from documents as d
    where d.id = p_document_id
    for no key update;
    if not found then
        raise exception using
            errcode = 'OG001',
            message = format('there is no document %s', p_document_id),
            detail = 'Nothing was requeued.',
            hint = 'Look the document up by its filename.';
    end if;

    if v_document.ocr_status = 'completed' then
        insert into ocr_previous_results (
            document_id, ocr_text, ocr_confidence, ocr_word_count,
            ocr_processing_time_ms, ocr_engine, ocr_source_hash, ocr_completed_at,
            ocr_result_token, reason
        )
        values (
            -- an adopted table may hold half a result
            v_document.id, coalesce(v_document.ocr_text, ''),
            coalesce(v_document.ocr_confidence, 0),
            coalesce(v_document.ocr_word_count, 0),
            v_document.ocr_processing_time_ms,
            v_document.ocr_engine, v_document.ocr_source_hash,
            coalesce(v_document.ocr_completed_at, v_document.updated_at, now()),
            v_document.ocr_result_token, p_reason
        );
    elsif v_document.ocr_status = 'processing' then
        perform from end_ocr_leases(
            array[v_document.id], 'cancelled', 'requeued: ' || p_reason, 'retry', false
        );
    end if;

    -- a waiting job starts anew, with its old place given up
    delete from ocr_queue as q where q.document_id = p_document_id;
    perform start_ocr_jobs(
        array[p_document_id], p_priority, clock_timestamp(), null
    );
    return (
        select q.id
        from ocr_queue as q
        where q.document_id = p_document_id and q.status = 'pending'
    );
end;
$function$;

comment on function requeue_document is
'Processes a document again, whatever its state: sets a completed result aside in
ocr_previous_results, ends a live lease (whoever holds it is fenced off, G2), and
enqueues a new job with all attempts. Returns the job. restore_previous_result() brings
the old result back. Raises OG001 when there is no such document, 22023 for a missing
reason or a priority outside 0 to 10.';
