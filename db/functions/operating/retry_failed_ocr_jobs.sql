-- In place: a dead job keeps its id, priority and number of attempts allowed. Of
-- several dead jobs of a document, which plain SQL can make, the youngest is kept.
-- Documents that somebody holds, or that have a live job, are passed over before the
-- limit counts.

create or replace function retry_failed_ocr_jobs(
    p_limit integer default 100,
    p_error_like text default null
)
returns integer
language plpgsql
volatile
security definer
set search_path from current
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set jit = off
as $function$
declare
    v_document_ids ocr_id_types.document_ids%type;
    v_count integer;
begin
    if (p_limit between 1 and 1000000) is not true then
        perform reject_argument('p_limit', 'between 1 and 1000000', p_limit::text);
    end if;

    v_document_ids := array(
        select d.id
        from ocr_queue as q
        inner join documents as d on d.id = q.document_id
        where
            q.status = 'failed'
            and (p_error_like is null or q.error_message like p_error_like)
            and d.ocr_status = 'failed'
            and not exists (
                select from ocr_queue as l
                where l.document_id = d.id and l.status in ('pending', 'processing')
            )
        order by q.completed_at
        limit p_limit
        for no key update of d skip locked
    );

    delete from ocr_queue as q
    using ocr_queue as o
    where
        q.document_id = any(v_document_ids)
        and o.document_id = q.document_id
        and (o.created_at, o.id) > (q.created_at, q.id);
    with retried as (
        update ocr_queue as q
        set
            status = 'pending',
            attempts = 0,
            run_after = clock_timestamp(),
            started_at = null,
            completed_at = null,
            worker_id = null,
            processing_time_ms = null
        where
            q.document_id = any(v_document_ids)
            and q.status = 'failed'
        returning q.document_id
    )
    select array_agg(r.document_id), count(*)::integer
    into v_document_ids, v_count
    from retried as r;
    if v_count = 0 then
        return 0;
    end if;

    update documents as d
    set ocr_status = 'pending', updated_at = clock_timestamp()
    where d.id = any(v_document_ids);
    perform notify_ocr_workers();
    return v_count;
end;
$function$;

comment on function retry_failed_ocr_jobs is
'Gives up to p_limit dead jobs a new start with all their attempts, longest dead first;
only those whose error matches p_error_like (a LIKE pattern), when given. Returns how
many. Completed documents are never touched. Raises 22023 for a limit outside 1 to
1000000.';
