-- The opposite of requeue_document(). The trigger accepts the result because
-- ocr_previous_results holds it; the row there goes once the result stands again.

create or replace function restore_previous_result(p_document_id documents.id%type)
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
    v_document documents;
    v_previous ocr_previous_results;
begin
    if p_document_id is null then
        perform reject_argument('p_document_id', 'given', null);
    end if;

    select d.* into v_document
    from documents as d
    where d.id = p_document_id
    for no key update;
    if not found then
        raise exception using
            errcode = 'OG001',
            message = format('there is no document %s', p_document_id),
            detail = 'Nothing was restored.',
            hint = 'Look the document up by its filename.';
    end if;
    if v_document.ocr_status = 'completed' then
        raise exception using
            errcode = 'OG006',
            message = format('document %s is completed already', p_document_id),
            detail = 'Its present result stands; nothing was restored.',
            hint = 'requeue_document() sets the present result aside; '
                'ocr_previous_results holds those before it.';
    end if;

    select r.* into v_previous
    from ocr_previous_results as r
    where r.document_id = p_document_id
    order by r.id desc
    limit 1;
    if not found then
        return false;
    end if;

    if v_document.ocr_status = 'processing' then
        perform from end_ocr_leases(
            array[p_document_id], 'cancelled', 'the previous result was restored',
            'retry', false
        );
    end if;
    -- whatever the caller's session says: its trigger is to remove the job
    perform set_config('ocr_guardrails.finishing_depth', '', true);
    update documents as d
    set
        ocr_status = 'completed',
        ocr_text = v_previous.ocr_text,
        ocr_confidence = v_previous.ocr_confidence,
        ocr_word_count = v_previous.ocr_word_count,
        ocr_processing_time_ms = v_previous.ocr_processing_time_ms,
        ocr_engine = v_previous.ocr_engine,
        ocr_source_hash = v_previous.ocr_source_hash,
        ocr_completed_at = v_previous.ocr_completed_at,
        ocr_result_token = v_previous.ocr_result_token,
        updated_at = clock_timestamp()
    where d.id = p_document_id;
    delete from ocr_previous_results as r where r.id = v_previous.id;
    return true;
end;
$function$;

comment on function restore_previous_result is
'Brings the newest result back that requeue_document() set aside, and drops the job that
was to replace it; a live lease is fenced off (G2). Returns false when no result was set
aside. Raises OG001 when there is no such document, OG006 when it has a result.';
