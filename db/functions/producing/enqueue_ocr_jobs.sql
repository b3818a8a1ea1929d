-- Idempotent: a document that has a live job keeps it. A document that failed gets a
-- new start, and its dead job goes: what it was stands in the history.
-- Lock order: documents, then ocr_queue.

create or replace function enqueue_ocr_jobs(
    p_document_ids ocr_id_types.document_ids%type,
    p_priority integer default 5,
    p_run_after timestamptz default clock_timestamp(),
    p_max_attempts integer default null
)
returns table (
    document_id documents.id%type,
    job_id ocr_queue.id%type
)
language plpgsql
volatile
security definer
set search_path from current
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set jit = off
as $function$
declare
    v_missing documents.id%type;
    v_completed documents.id%type;
    v_new ocr_id_types.document_ids%type;
    v_jobless ocr_id_types.document_ids%type;
begin
    if p_document_ids is null
        or array_position(p_document_ids, null) is not null
        or cardinality(p_document_ids) > 10000
    then
        perform reject_argument(
            'p_document_ids', 'an array of up to 10000 ids without nulls',
            cardinality(p_document_ids) || ' elements'
        );
    end if;
    if (p_priority between 0 and 10) is not true then
        perform reject_argument('p_priority', 'between 0 and 10', p_priority::text);
    end if;
    if isfinite(p_run_after) is not true then
        perform reject_argument('p_run_after', 'a finite time', p_run_after::text);
    end if;
    if (p_max_attempts is null or p_max_attempts between 1 and 100) is not true then
        perform reject_argument(
            'p_max_attempts', 'null or between 1 and 100', p_max_attempts::text
        );
    end if;

    perform lock_ocr_documents(p_document_ids);
    select
        (array_agg(a.id) filter (where d.id is null))[1],
        (array_agg(a.id) filter (where d.ocr_status = 'completed'))[1],
        array_agg(distinct d.id) filter (
            where q.id is null and d.ocr_status is distinct from 'processing'
        ),
        array_agg(distinct d.id) filter (
            where q.id is null and d.ocr_status = 'processing'
        )
    into v_missing, v_completed, v_new, v_jobless
    from unnest(p_document_ids) as a (id)
    left join documents as d on d.id = a.id and d.id = any(p_document_ids)
    left join ocr_queue as q
        on
            q.document_id = a.id
            and q.document_id = any(p_document_ids)
            and q.status in ('pending', 'processing');
    if v_missing is not null then
        raise exception using
            errcode = 'OG001',
            message = format('there is no document %s', v_missing),
            detail = 'Nothing was enqueued.',
            hint = 'Insert the document first; its job is deleted with it.';
    end if;
    if v_completed is not null then
        raise exception using
            errcode = 'OG006',
            message = format('document %s is completed already', v_completed),
            detail = 'Nothing was enqueued.',
            hint = 'To process it again call requeue_document(); it keeps the old '
                'result.';
    end if;

    if v_jobless is not null then
        perform from end_ocr_leases(
            v_jobless, 'expired', 'its job was gone when it was enqueued', 'retry',
            false
        );
    end if;
    if v_new is not null then
        perform start_ocr_jobs(v_new, p_priority, p_run_after, p_max_attempts);
    end if;
    return query
    select q.document_id, q.id
    from ocr_queue as q
    where
        q.document_id = any(p_document_ids)
        and q.status in ('pending', 'processing');
end;
$function$;

comment on function enqueue_ocr_jobs is
'Enqueues many documents in one call; see enqueue_ocr_job(). All or none. Returns one
row per document with its live job, new or old. Deadlock-free against other calls with
the same documents in another order (G12).';
