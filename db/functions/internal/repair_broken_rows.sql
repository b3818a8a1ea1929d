-- Rows that came with adopted tables and that the package's constraints refuse. Only
-- what has one right value: bounds, what follows from the row itself, and jobs that no
-- claim can see. A job that plain SQL claimed has no lease; it is taken back once it is
-- old enough to be nobody's.

create or replace function repair_broken_rows(
    p_locked_ids ocr_id_types.document_ids%type,
    p_job_ids ocr_id_types.job_ids%type
)
returns bigint
language plpgsql
volatile
set search_path from current
as $function$
declare
    v_total bigint := 0::bigint;
    v_count bigint;
begin
    delete from ocr_queue as q
    where
        q.id = any(p_job_ids)
        and q.document_id = any(p_locked_ids)
        and (q.status in ('pending', 'processing', 'failed')) is not true;
    get diagnostics v_count = row_count;
    v_total := v_total + v_count;

    update ocr_queue as q
    set
        priority = n.priority,
        attempts = n.attempts,
        max_attempts = n.max_attempts,
        created_at = n.created_at,
        lease_expires_at = n.lease_expires_at,
        processing_time_ms = n.processing_time_ms,
        file_size = n.file_size,
        progress_current = n.progress_current,
        progress_total = n.progress_total
    from (
        select
            r.id,
            least(greatest(coalesce(r.priority, 5), 0), 10) as priority,
            least(greatest(coalesce(r.attempts, 0), 0), m.max_attempts) as attempts,
            m.max_attempts,
            coalesce(r.created_at, r.run_after) as created_at,
            case when r.status = 'processing' then r.lease_expires_at end
                as lease_expires_at,
            case when r.processing_time_ms >= 0 then r.processing_time_ms end
                as processing_time_ms,
            case when r.file_size >= 0 then r.file_size end as file_size,
            case when p.is_right then r.progress_current end as progress_current,
            case when p.is_right then r.progress_total end as progress_total
        from ocr_queue as r
        cross join ocr_settings as s
        cross join lateral (
            select
                least(
                    greatest(coalesce(r.max_attempts, s.default_max_attempts), 1), 100
                ) as max_attempts
        ) as m
        cross join lateral (
            select
                (
                    r.progress_current >= 0
                    and r.progress_total >= 0
                    and r.progress_current <= r.progress_total
                ) is not false as is_right
        ) as p
        where r.id = any(p_job_ids) and s.id
    ) as n
    where
        q.id = n.id
        and q.document_id = any(p_locked_ids)
        and (
            q.priority, q.attempts, q.max_attempts, q.created_at, q.lease_expires_at,
            q.processing_time_ms, q.file_size, q.progress_current, q.progress_total
        ) is distinct from (
            n.priority, n.attempts, n.max_attempts, n.created_at, n.lease_expires_at,
            n.processing_time_ms, n.file_size, n.progress_current, n.progress_total
        );
    get diagnostics v_count = row_count;
    v_total := v_total + v_count;

    select count(*) into v_count
    from end_ocr_leases(
        array(
            select q.document_id
            from ocr_queue as q
            where
                q.id = any(p_job_ids)
                and q.document_id = any(p_locked_ids)
                and q.status = 'processing'
                and q.lease_expires_at is null
                and (q.started_at >= now() - interval '1 hour') is not true
        ),
        'expired', 'repair: it was claimed without a lease', 'retry', true
    );
    v_total := v_total + v_count;

    update documents as d
    set
        ocr_status = case
            when d.ocr_status is null and d.ocr_text is null then 'pending'
            else d.ocr_status
        end,
        file_hash = case
            when lower(d.file_hash) ~ '^[0-9a-f]{64}$' then lower(d.file_hash)
            else d.file_hash
        end,
        created_at = coalesce(d.created_at, d.updated_at, now()),
        updated_at = coalesce(d.updated_at, d.created_at, now()),
        ocr_completed_at = case
            when d.ocr_status = 'completed'
                then coalesce(d.ocr_completed_at, d.updated_at, d.created_at, now())
            else d.ocr_completed_at
        end
    where
        d.id = any(p_locked_ids)
        and (
            (d.ocr_status is null and d.ocr_text is null)
            or d.created_at is null
            or d.updated_at is null
            or (d.ocr_status = 'completed' and d.ocr_completed_at is null)
            or (
                d.file_hash <> lower(d.file_hash)
                and lower(d.file_hash) ~ '^[0-9a-f]{64}$'
            )
        );
    get diagnostics v_count = row_count;
    return v_total + v_count;
end;
$function$;

comment on function repair_broken_rows is
'Internal. Puts right what the package''s constraints refuse in the given jobs and
documents, which are locked, where there is one right value. Returns how many rows it
changed.';
