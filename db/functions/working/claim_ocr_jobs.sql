-- Takes the jobs that are due, highest priority first, then oldest due; each becomes
-- processing under a new lease (G2, G5). Waits for nobody (G12): a job is taken with
-- its document or passed over, whoever holds either; the order of the locks does not
-- matter when neither is waited for. Cost: two statements, one that reads what rules
-- the queue and one that claims, whose look at the queue is one descent of the index
-- per priority; jobs that wait out a backoff stand behind the due ones of their
-- priority and are not visited, nor are the entries of jobs long since taken
-- (set_claim_marks()). The planner settings pin nested loops over indexes: with a
-- parameter as limit it would expect a tenth of the table and choose scans of both
-- tables, or compile the statement.

create or replace function claim_ocr_jobs(
    p_worker_id text,
    p_batch_size integer default 1,
    p_lease interval default null,
    p_raise_if_closed boolean default false
)
returns table (
    job_id ocr_queue.id%type,
    document_id documents.id%type,
    filename text,
    file_path text,
    file_hash text,
    file_size bigint,
    mime_type text,
    priority integer,
    attempt integer,
    max_attempts integer,
    lease_token uuid,
    lease_expires_at timestamptz
)
language plpgsql
volatile
security definer
set search_path from current
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
-- the claim order comes from its index, also when statistics call the queue empty
set enable_sort = off
set enable_hashjoin = off
set enable_mergejoin = off
set jit = off
as $function$
declare
    v_now constant timestamptz := clock_timestamp();
    v_rules record;
    v_marks timestamptz [];
    v_wanted integer := p_batch_size;
    v_claimed integer;
    v_is_probe boolean := false;
    v_closed_because text;
begin
    if p_worker_id is null or p_worker_id !~ '\S' then
        perform reject_argument('p_worker_id', 'the name of the worker', p_worker_id);
    end if;
    if (p_batch_size between 1 and 10000) is not true then
        perform reject_argument(
            'p_batch_size', 'between 1 and 10000', p_batch_size::text
        );
    end if;
    if (p_lease is null or p_lease between interval '1 second' and interval '1 day')
        is not true
    then
        perform reject_argument(
            'p_lease', 'null or between 1 second and 1 day', p_lease::text
        );
    end if;

    select
        s.default_lease,
        s.max_concurrent_jobs,
        t.paused_at,
        t.paused_by,
        t.paused_reason,
        t.circuit_state,
        t.circuit_last_error,
        to_timestamp(e.last_value / 1000.0) as sweep_at,
        to_timestamp(l.last_value / 1000.0) as look_at,
        w.last_value > 0 as has_marks
    into strict v_rules
    from ocr_settings as s
    cross join ocr_queue_state as t
    cross join ocr_expiry_sweep_clock as e
    cross join ocr_claim_look_clock as l
    cross join ocr_claim_whole_clock as w
    where s.id and t.id;
    -- a time further ahead than either sets was set by a clock that has been put back
    if (v_rules.sweep_at between v_now and v_now + interval '1 hour') is not true then
        perform return_expired_leases();
    end if;
    if (v_rules.look_at between v_now and v_now + interval '1 minute') is not true then
        v_marks := set_claim_marks();
    elsif v_rules.has_marks then
        v_marks := read_claim_marks();
    end if;

    if v_rules.paused_at is not null then
        v_closed_because := format(
            'the queue is paused since %s by %s: %s',
            v_rules.paused_at, v_rules.paused_by, v_rules.paused_reason
        );
    elsif v_rules.circuit_state <> 'closed' then
        if admit_circuit_probe() then
            select t.circuit_state <> 'closed' into v_is_probe
            from ocr_queue_state as t
            where t.id;
            if v_is_probe then
                v_wanted := 1;
            end if;
        else
            v_closed_because := format(
                'the circuit is %s after infrastructure errors, the last one: %s',
                v_rules.circuit_state, v_rules.circuit_last_error
            );
        end if;
    end if;
    if v_closed_because is not null then
        if p_raise_if_closed then
            raise exception using
                errcode = 'OG007',
                message = v_closed_because,
                detail = 'Claims return nothing.',
                hint = 'See ocr_queue_state; an operator resumes a paused queue with '
                    'resume_ocr_queue(), a circuit recovers by itself.';
        end if;
        return;
    end if;

    if v_rules.max_concurrent_jobs is not null then
        -- Counting and claiming must be one step, else two claims share the last free
        -- place. Whoever finds another claim at it goes away and polls again.
        if not pg_try_advisory_xact_lock(
            hashtextextended('ocr_guardrails.max_concurrent_jobs', 0)
        ) then
            return;
        end if;
        v_wanted := least(
            v_wanted,
            v_rules.max_concurrent_jobs - (
                select count(*)::integer
                from ocr_queue as q
                where q.status = 'processing'
            )
        );
    end if;

    while v_wanted > 0 loop
        return query
        with
        picked as (
            select o.id, o.document_id, o.ocr_status
            from generate_series(10, 0, -1) as n (priority)
            cross join lateral (
                select
                    q.id,
                    q.document_id,
                    d.ocr_status
                from ocr_queue as q
                inner join documents as d on d.id = q.document_id
                where
                    q.status = 'pending'
                    and q.priority = n.priority
                    and q.run_after >= coalesce(v_marks[n.priority + 1], '-infinity')
                    and q.run_after <= v_now
                order by q.run_after
                limit v_wanted
                for no key update of d skip locked
                for update of q skip locked
            ) as o
            limit v_wanted
        ),
        job as (
            update ocr_queue as q
            set
                status = 'processing',
                attempts = least(q.attempts + 1, q.max_attempts),
                started_at = v_now,
                heartbeat_at = v_now,
                completed_at = null,
                worker_id = p_worker_id,
                lease_expires_at = v_now + coalesce(p_lease, v_rules.default_lease),
                progress_current = null,
                progress_total = null
            from picked as p
            where q.id = p.id and p.ocr_status in ('pending', 'failed')
            returning
                q.id, q.document_id, q.priority, q.attempts, q.max_attempts,
                q.lease_expires_at, q.run_after
        ),
        claimed as (
            update documents as d
            set
                ocr_status = 'processing',
                ocr_lease_token = gen_random_uuid(),
                ocr_claims = d.ocr_claims + 1,
                updated_at = v_now
            from job as j
            where d.id = j.document_id
            returning
                j.id as job_id, d.id, d.filename, d.file_path, d.file_hash, d.file_size,
                d.mime_type, j.priority, j.attempts, j.max_attempts, d.ocr_lease_token,
                j.lease_expires_at, j.run_after
        )
        select
            c.job_id,
            c.id,
            c.filename,
            c.file_path,
            c.file_hash,
            c.file_size,
            c.mime_type,
            c.priority,
            c.attempts,
            c.max_attempts,
            c.ocr_lease_token,
            c.lease_expires_at
        from claimed as c
        order by c.priority desc, c.run_after, c.job_id;
        get diagnostics v_claimed = row_count;
        v_wanted := v_wanted - v_claimed;
        exit when v_wanted = 0 or not settle_displaced_jobs(v_now, v_marks);
    end loop;

    if v_is_probe and v_claimed = 1 then
        update ocr_queue_state as t
        set
            circuit_state = 'half_open',
            circuit_changed_at = v_now,
            circuit_open_until = null,
            circuit_probe_document_id = d.id,
            circuit_probe_token = d.ocr_lease_token
        from ocr_queue as q
        inner join documents as d on d.id = q.document_id
        where
            t.id
            and q.status = 'processing'
            and q.started_at = v_now
            and q.worker_id = p_worker_id;
    end if;
end;
$function$;

comment on function claim_ocr_jobs is
'Takes up to p_batch_size due jobs for a worker, highest priority first, then oldest
due. Each row names the file to read and the lease token to offer its result with; the
lease lasts p_lease (default: ocr_settings.default_lease) unless extend_ocr_leases()
extends it. Returns nothing while the queue is paused or the circuit is open (with
p_raise_if_closed: OG007), and no more than ocr_settings.max_concurrent_jobs allow. Also
returns expired leases to the queue (G9). Waits for no lock (G12). Raises 22023 for a
worker without name, a batch outside 1 to 10000, a lease outside 1 second to 1 day.';
