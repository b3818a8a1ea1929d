-- Every way in which an attempt ends without a result goes through here: failure,
-- release, expiry, reset, cancellation, a replaced file. Job, document and history
-- change together (G3), and the lease token goes, so that whoever still holds it is
-- fenced off (G2).
-- The caller has locked the documents; the job is changed first because the trigger on
-- documents lets a document leave processing only when its job has (G5).

create or replace function end_ocr_leases(
    p_document_ids ocr_id_types.document_ids%type,
    p_outcome text,
    p_error text,
    p_next text,
    p_is_attempt_spent boolean,
    p_with_backoff boolean default false,
    p_error_class text default null,
    p_engine text default null
)
returns table (
    document_id documents.id%type,
    job_status text
)
language plpgsql
volatile
set search_path from current
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set jit = off
as $function$
declare
    v_now constant timestamptz := clock_timestamp();
    v_settings ocr_settings;
    v_pending ocr_id_types.document_ids%type;
    v_failed ocr_id_types.document_ids%type;
    v_removed ocr_id_types.document_ids%type;
begin
    select s.* into strict v_settings from ocr_settings as s where s.id;

    -- A document whose job was deleted under it gets a new one: it must not wait for
    -- ever (G9).
    with
    ended as materialized (
        select
            d.id as document_id,
            d.ocr_lease_token,
            q.id as job_id,
            q.worker_id,
            q.priority,
            q.created_at,
            q.started_at,
            q.run_after,
            q.attempts,
            case
                when p_next = 'remove' then 'removed'
                when p_next = 'dead' then 'failed'
                when p_is_attempt_spent and q.attempts >= q.max_attempts then 'failed'
                else 'pending'
            end as next_status
        from documents as d
        left join ocr_queue as q
            on q.document_id = d.id and q.status in ('pending', 'processing')
        where d.id = any(p_document_ids) and d.ocr_status = 'processing'
    ),
    changed as (
        update ocr_queue as q
        set
            status = e.next_status,
            attempts = case
                when e.next_status = 'failed' then e.attempts
                when p_is_attempt_spent then e.attempts
                else greatest(e.attempts - 1, 0)
            end,
            run_after = case
                when p_with_backoff
                    then v_now + make_interval(
                        -- in seconds, since an interval overflows where a double does
                        -- not
                        secs => random() * least(
                            extract(epoch from v_settings.backoff_cap),
                            extract(epoch from v_settings.backoff_base)
                            * power(2::double precision, e.attempts)
                        )
                    )
                else least(q.run_after, v_now)
            end,
            started_at = case when e.next_status = 'failed' then q.started_at end,
            worker_id = case when e.next_status = 'failed' then q.worker_id end,
            completed_at = case when e.next_status = 'failed' then v_now end,
            processing_time_ms = elapsed_ms(q.started_at, v_now),
            heartbeat_at = null,
            lease_expires_at = null,
            progress_current = null,
            progress_total = null,
            error_message = coalesce(p_error, q.error_message)
        from ended as e
        where
            q.id = e.job_id
            and e.next_status <> 'removed'
    ),
    gone as (
        delete from ocr_queue as q
        using ended as e
        where
            q.id = e.job_id
            and e.next_status = 'removed'
    ),
    replaced as (
        insert into ocr_queue (document_id, max_attempts, error_message)
        select e.document_id, v_settings.default_max_attempts, p_error
        from ended as e
        where e.job_id is null and e.next_status = 'pending'
        on conflict do nothing
    ),
    history as (
        insert into ocr_job_history (
            document_id, job_id, outcome, error_class, worker_id, engine, attempt,
            priority, queued_at, started_at, finished_at, wait_ms,
            processing_time_ms, lease_token, error
        )
        select
            e.document_id,
            e.job_id,
            case
                when p_outcome = 'retry' and e.next_status = 'failed' then 'failed'
                else p_outcome
            end,
            p_error_class,
            e.worker_id,
            p_engine,
            e.attempts,
            e.priority,
            e.created_at,
            e.started_at,
            v_now,
            elapsed_ms(e.run_after, e.started_at),
            elapsed_ms(e.started_at, v_now),
            e.ocr_lease_token,
            p_error
        from ended as e
    )
    select
        array_agg(e.document_id) filter (where e.next_status = 'pending'),
        array_agg(e.document_id) filter (where e.next_status = 'failed'),
        array_agg(e.document_id) filter (where e.next_status = 'removed')
    into v_pending, v_failed, v_removed
    from ended as e;

    update documents as d
    set
        ocr_status = case when d.id = any(v_pending) then 'pending' else 'failed' end,
        ocr_lease_token = null,
        ocr_error = coalesce(p_error, d.ocr_error),
        updated_at = v_now
    where d.id = any(v_pending || v_failed || v_removed);

    return query
    select u.id, 'pending' from unnest(v_pending) as u (id)
    union all
    select u.id, 'failed' from unnest(v_failed) as u (id)
    union all
    select u.id, 'removed' from unnest(v_removed) as u (id);
end;
$function$;

comment on function end_ocr_leases is
'Internal. Ends the live leases of the given documents, which the caller has locked:
p_next is retry (pending again, or failed when p_is_attempt_spent and attempts are used
up), dead (failed) or remove (the job goes, the document is failed). With backoff a
retry waits random() * least(backoff_cap, backoff_base * 2^attempts). Writes the history
row; returns what became of each job. Documents that are not processing are passed
over.';
