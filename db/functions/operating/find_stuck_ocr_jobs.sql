-- A sign of life is the claim, a heartbeat or a progress report; the age of the claim
-- alone says nothing about a long document whose worker is alive, and updated_at of the
-- document moves with every unrelated update.

create or replace function find_stuck_ocr_jobs(p_threshold_minutes integer default 30)
returns table (
    document_id documents.id%type,
    filename text,
    worker_id text,
    started_at timestamptz,
    minutes_stuck integer,
    last_heartbeat timestamptz
)
language plpgsql
stable
security definer
set search_path from current
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set jit = off
as $function$
declare
    v_now constant timestamptz := clock_timestamp();
begin
    if (p_threshold_minutes between 1 and 525600) is not true then
        perform reject_argument(
            'p_threshold_minutes', 'between 1 and 525600', p_threshold_minutes::text
        );
    end if;

    return query
    select
        q.document_id,
        d.filename::text,
        q.worker_id::text,
        q.started_at,
        floor(
            extract(epoch from v_now - greatest(q.started_at, q.heartbeat_at)) / 60
        )::integer,
        q.heartbeat_at
    from ocr_queue as q
    inner join documents as d on d.id = q.document_id
    where
        q.status = 'processing'
        and q.started_at <= v_now - make_interval(mins => p_threshold_minutes)
        and greatest(q.started_at, q.heartbeat_at)
        <= v_now - make_interval(mins => p_threshold_minutes)
    union all
    -- whatever its age: nobody can be working on it
    select
        d.id,
        d.filename::text,
        null,
        null,
        floor(extract(epoch from v_now - d.updated_at) / 60)::integer,
        null
    from documents as d
    where
        d.ocr_status = 'processing'
        and not exists (
            select from ocr_queue as q
            where q.document_id = d.id and q.status = 'processing'
        )
    order by 5 desc, 1;
end;
$function$;

comment on function find_stuck_ocr_jobs is
'Jobs in processing without a sign of life for p_threshold_minutes, longest first, and
documents in processing that no job works on, whatever their age (worker_id, started_at
and last_heartbeat are null then, minutes_stuck counts from the last change of the
document). Raises 22023 for a threshold outside 1 to 525600.';
