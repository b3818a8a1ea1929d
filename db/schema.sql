--
-- PostgreSQL database dump
--



SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET transaction_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

--
-- Name: ocr_id_types; Type: TYPE; Schema: public; Owner: -
--

CREATE TYPE public.ocr_id_types AS (
	document_id uuid,
	document_ids uuid[],
	job_ids uuid[]
);


--
-- Name: TYPE ocr_id_types; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON TYPE public.ocr_id_types IS 'Names the types of documents.id, alone and as an array, and of ocr_queue.id as an
array, for signatures by %type.';


--
-- Name: ocr_result; Type: TYPE; Schema: public; Owner: -
--

CREATE TYPE public.ocr_result AS (
	document_id uuid,
	expected_filename text,
	ocr_text text,
	confidence double precision,
	word_count integer,
	processing_time_ms integer,
	lease_token uuid,
	source_hash text,
	engine text
);


--
-- Name: TYPE ocr_result; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON TYPE public.ocr_result IS 'One offered result: the arguments of update_ocr_safe(), and the keys of an element of
update_ocr_batch_safe().';


--
-- Name: acquire_lease_lock(text, text, interval); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.acquire_lease_lock(p_name text, p_owner text, p_ttl interval) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
declare
    v_fence bigint;
begin
    if p_name is null or p_name !~ '[^[:space:]]' then
        perform reject_argument('p_name', 'the name of the lock', p_name);
    end if;
    if p_owner is null or p_owner !~ '[^[:space:]]' then
        perform reject_argument('p_owner', 'the name of the holder', p_owner);
    end if;
    if (p_ttl between interval '1 millisecond' and interval '7 days') is not true then
        perform reject_argument(
            'p_ttl', 'between 1 millisecond and 7 days', p_ttl::text
        );
    end if;

    insert into ocr_lease_locks as l (name, owner, expires_at)
    values (p_name, p_owner, clock_timestamp() + p_ttl)
    on conflict (name) do update
        set
            fence = l.fence + case
                when l.owner = excluded.owner and l.expires_at > clock_timestamp()
                    then 0
                else 1
            end,
            acquired_at = case
                when l.owner = excluded.owner and l.expires_at > clock_timestamp()
                    then l.acquired_at
                else clock_timestamp()
            end,
            owner = excluded.owner,
            expires_at = clock_timestamp() + p_ttl
        where l.owner = excluded.owner or l.expires_at <= clock_timestamp()
    returning l.fence into v_fence;
    return v_fence;
end;
$$;


--
-- Name: FUNCTION acquire_lease_lock(p_name text, p_owner text, p_ttl interval); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.acquire_lease_lock(p_name text, p_owner text, p_ttl interval) IS 'Takes the named lock for p_owner until p_ttl from now, or extends it when p_owner holds
it. Returns the fence, a number that grows with every holder, or null when somebody else
holds the lock. Works behind a transaction pooler and needs no open connection. Raises
22023 for a missing name or owner, or a ttl outside 1 millisecond to 7 days.';


--
-- Name: admit_circuit_probe(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.admit_circuit_probe() RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
declare
    v_now constant timestamptz := clock_timestamp();
    v_state ocr_queue_state;
begin
    select t.* into v_state
    from ocr_queue_state as t
    where t.id and t.circuit_state <> 'closed'
    for update skip locked;
    if not found then
        return false;
    end if;

    if v_state.circuit_state = 'open' then
        return v_state.circuit_open_until <= v_now;
    end if;

    if exists (
        select from documents as d
        where
            d.id = v_state.circuit_probe_document_id
            and d.ocr_result_token = v_state.circuit_probe_token
    ) then
        perform set_circuit_state('closed', null);
        return true;
    end if;

    -- lost, released, cancelled or deleted: somebody else may probe
    return not exists (
        select from documents as d
        inner join ocr_queue as q on q.document_id = d.id
        where
            d.id = v_state.circuit_probe_document_id
            and d.ocr_lease_token = v_state.circuit_probe_token
            and q.status = 'processing'
            and q.lease_expires_at >= v_now
    );
end;
$$;


--
-- Name: FUNCTION admit_circuit_probe(); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.admit_circuit_probe() IS 'Internal. For a circuit that is not closed: whether the caller''s claim may go ahead.
Closes the circuit when the last probe''s result was written.';


--
-- Name: are_sha256_digits(text); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.are_sha256_digits(p_hash text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN ((octet_length(p_hash) = 64) AND (p_hash ~ '^[0-9a-f]+$'::text));


--
-- Name: FUNCTION are_sha256_digits(p_hash text); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.are_sha256_digits(p_hash text) IS 'Internal. Whether a text is a SHA-256 in 64 lower-case hexadecimal digits; null for
null.';


--
-- Name: cancel_ocr_job(uuid, text); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.cancel_ocr_job(p_document_id uuid, p_reason text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
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
$$;


--
-- Name: FUNCTION cancel_ocr_job(p_document_id uuid, p_reason text); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.cancel_ocr_job(p_document_id uuid, p_reason text) IS 'Removes the live job of a document, waiting or running; the document becomes failed
with the reason as its error, and whoever holds the lease is fenced off (G2).
enqueue_ocr_job() or requeue_document() start it again. Returns false when there is no
live job. Raises OG001 when there is no such document, 22023 without a reason.';


--
-- Name: check_lease_arguments(uuid, uuid); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.check_lease_arguments(p_document_id uuid, p_lease_token uuid) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
begin
    if p_document_id is null then
        perform reject_argument('p_document_id', 'given', null);
    end if;
    if p_lease_token is null then
        perform reject_argument(
            'p_lease_token', 'the lease_token that claim_ocr_jobs() returned', null
        );
    end if;
end;
$$;


--
-- Name: FUNCTION check_lease_arguments(p_document_id uuid, p_lease_token uuid); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.check_lease_arguments(p_document_id uuid, p_lease_token uuid) IS 'Internal. Raises 22023 when a fenced call lacks its document or its token.';


--
-- Name: claim_ocr_jobs(text, integer, interval, boolean); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.claim_ocr_jobs(p_worker_id text, p_batch_size integer DEFAULT 1, p_lease interval DEFAULT NULL::interval, p_raise_if_closed boolean DEFAULT false) RETURNS TABLE(job_id uuid, document_id uuid, filename text, file_path text, file_hash text, file_size bigint, mime_type text, priority integer, attempt integer, max_attempts integer, lease_token uuid, lease_expires_at timestamp with time zone)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_sort TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    AS $$
declare
    v_now constant timestamptz := clock_timestamp();
    v_rules record;
    v_marks timestamptz [];
    v_wanted integer := p_batch_size;
    v_claimed integer;
    v_is_probe boolean := false;
    v_closed_because text;
begin
    if p_worker_id is null or p_worker_id !~ '[^[:space:]]' then
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
            where
                q.id = p.id
                and (p.ocr_status in ('completed', 'processing')) is not true
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
            -- an adopted table may have them as varchar and integer
            c.filename::text,
            c.file_path::text,
            c.file_hash::text,
            c.file_size::bigint,
            c.mime_type::text,
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
$$;


--
-- Name: FUNCTION claim_ocr_jobs(p_worker_id text, p_batch_size integer, p_lease interval, p_raise_if_closed boolean); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.claim_ocr_jobs(p_worker_id text, p_batch_size integer, p_lease interval, p_raise_if_closed boolean) IS 'Takes up to p_batch_size due jobs for a worker, highest priority first, then oldest
due. Each row names the file to read and the lease token to offer its result with; the
lease lasts p_lease (default: ocr_settings.default_lease) unless extend_ocr_leases()
extends it. Returns nothing while the queue is paused or the circuit is open (with
p_raise_if_closed: OG007), and no more than ocr_settings.max_concurrent_jobs allow. Also
returns expired leases to the queue (G9). Waits for no lock (G12). Raises 22023 for a
worker without name, a batch outside 1 to 10000, a lease outside 1 second to 1 day.';


--
-- Name: cleanup_completed_ocr_queue(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.cleanup_completed_ocr_queue() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
declare
    v_jobs ocr_queue [];
begin
    -- requeue_document() takes a result back
    if new.ocr_status <> 'completed' then
        return null;
    end if;
    with removed as (
        delete from ocr_queue as q where q.document_id = new.id returning q.*
    )
    select array_agg(r::ocr_queue) into v_jobs from removed as r;
    -- a result that is brought back is no new attempt
    if new.ocr_result_token = old.ocr_lease_token then
        perform record_written_results(array[new.id], v_jobs);
    end if;
    return null;
end;
$$;


--
-- Name: FUNCTION cleanup_completed_ocr_queue(); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.cleanup_completed_ocr_queue() IS 'Trigger function of trigger_cleanup_completed_ocr_queue. Removes every job of a
document that became completed and writes its history row (G3, G10).';


--
-- Name: count_circuit_failure(uuid, uuid, text, text); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.count_circuit_failure(p_document_id uuid, p_lease_token uuid, p_error text, p_error_class text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
declare
    v_now constant timestamptz := clock_timestamp();
    v_state ocr_queue_state;
    v_settings ocr_settings;
begin
    select t.* into strict v_state from ocr_queue_state as t where t.id;
    if v_state.circuit_state = 'half_open'
        and v_state.circuit_probe_document_id = p_document_id
        and v_state.circuit_probe_token = p_lease_token
    then
        perform set_circuit_state(
            case p_error_class when 'infrastructure' then 'open' else 'closed' end,
            case p_error_class when 'infrastructure' then left(p_error, 10000) end
        );
        return;
    end if;
    if p_error_class <> 'infrastructure' or v_state.circuit_state <> 'closed' then
        return;
    end if;

    select s.* into strict v_settings from ocr_settings as s where s.id;
    if v_settings.circuit_threshold <= (
        select count(*)
        from ocr_job_history as h
        where
            h.error_class = 'infrastructure'
            -- what happened before the circuit last closed has been dealt with
            and h.finished_at > greatest(
                v_now - v_settings.circuit_window, v_state.circuit_changed_at
            )
    ) then
        perform set_circuit_state('open', left(p_error, 10000));
    end if;
end;
$$;


--
-- Name: FUNCTION count_circuit_failure(p_document_id uuid, p_lease_token uuid, p_error text, p_error_class text); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.count_circuit_failure(p_document_id uuid, p_lease_token uuid, p_error text, p_error_class text) IS 'Internal. Opens the circuit after ocr_settings.circuit_threshold infrastructure errors
within circuit_window, and lets the outcome of a half-open circuit''s probe decide.';


--
-- Name: create_ocr_history_partitions(integer); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.create_ocr_history_partitions(p_months_ahead integer DEFAULT 3) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    SET lock_timeout TO '200ms'
    SET "DateStyle" TO 'ISO'
    AS $$
declare
    v_from timestamptz;
    v_to timestamptz;
    v_name text;
    v_count integer := 0;
begin
    if (p_months_ahead between 0 and 120) is not true then
        perform reject_argument(
            'p_months_ahead', 'between 0 and 120', p_months_ahead::text
        );
    end if;

    -- a loop because each month is DDL of its own
    for v_from in
        select m.month at time zone 'UTC'
        from generate_series(
            date_trunc('month', now() at time zone 'UTC'),
            date_trunc('month', now() at time zone 'UTC')
            + make_interval(months => p_months_ahead),
            interval '1 month'
        ) as m (month)
    loop
        v_to := ((v_from at time zone 'UTC') + interval '1 month') at time zone 'UTC';
        v_name := 'ocr_job_history_'
            || to_char(v_from at time zone 'UTC', '"y"YYYY"m"MM');
        -- a temporary table of this name is none of ours
        continue when
            to_regclass(format('%I.%I', current_schema(), v_name)) is not null;
        begin
            lock table ocr_job_history_default in access exclusive mode;
            execute format(
                'create table %I (like ocr_job_history including all)', v_name
            );
            execute format(
                'with moved as ('
                'delete from ocr_job_history_default '
                'where finished_at >= %L and finished_at < %L returning *) '
                'insert into %I select * from moved',
                v_from, v_to, v_name
            );
            execute format(
                'alter table ocr_job_history attach partition %I '
                'for values from (%L) to (%L)',
                v_name, v_from, v_to
            );
            execute format(
                'comment on table %I is %L',
                v_name,
                format(
                    'Finished attempts of %s (UTC).',
                    to_char(v_from at time zone 'UTC', 'YYYY-MM')
                )
            );
            v_count := v_count + 1;
        exception
            when lock_not_available or duplicate_table then
                return v_count;
        end;
    end loop;
    return v_count;
end;
$$;


--
-- Name: FUNCTION create_ocr_history_partitions(p_months_ahead integer); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.create_ocr_history_partitions(p_months_ahead integer) IS 'Makes the monthly partitions of ocr_job_history for this month and p_months_ahead more
(months in UTC), and moves rows that had to go to the default partition. Returns how
many it made; fewer when another session is reading the default partition, which is not
waited for. Raises 22023 for a number outside 0 to 120.';


--
-- Name: elapsed_ms(timestamp with time zone, timestamp with time zone); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.elapsed_ms(p_from timestamp with time zone, p_to timestamp with time zone) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN ((p_from IS NOT NULL) AND (p_to IS NOT NULL)) THEN (LEAST(GREATEST((EXTRACT(epoch FROM (p_to - p_from)) * (1000)::numeric), (0)::numeric), (2147483647)::numeric))::integer ELSE NULL::integer END;


--
-- Name: FUNCTION elapsed_ms(p_from timestamp with time zone, p_to timestamp with time zone); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.elapsed_ms(p_from timestamp with time zone, p_to timestamp with time zone) IS 'Internal. Milliseconds from one time to another, between 0 and what an integer holds.';


--
-- Name: end_ocr_leases(uuid[], text, text, text, boolean, boolean, text, text); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.end_ocr_leases(p_document_ids uuid[], p_outcome text, p_error text, p_next text, p_is_attempt_spent boolean, p_with_backoff boolean DEFAULT false, p_error_class text DEFAULT NULL::text, p_engine text DEFAULT NULL::text) RETURNS TABLE(document_id uuid, job_status text)
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    AS $$
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
$$;


--
-- Name: FUNCTION end_ocr_leases(p_document_ids uuid[], p_outcome text, p_error text, p_next text, p_is_attempt_spent boolean, p_with_backoff boolean, p_error_class text, p_engine text); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.end_ocr_leases(p_document_ids uuid[], p_outcome text, p_error text, p_next text, p_is_attempt_spent boolean, p_with_backoff boolean, p_error_class text, p_engine text) IS 'Internal. Ends the live leases of the given documents, which the caller has locked:
p_next is retry (pending again, or failed when p_is_attempt_spent and attempts are used
up), dead (failed) or remove (the job goes, the document is failed). With backoff a
retry waits random() * least(backoff_cap, backoff_base * 2^attempts). Writes the history
row; returns what became of each job. Documents that are not processing are passed
over.';


--
-- Name: enqueue_ocr_job(uuid, integer, timestamp with time zone, integer); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.enqueue_ocr_job(p_document_id uuid, p_priority integer DEFAULT 5, p_run_after timestamp with time zone DEFAULT clock_timestamp(), p_max_attempts integer DEFAULT NULL::integer) RETURNS uuid
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
begin
    if p_document_id is null then
        perform reject_argument('p_document_id', 'given', null);
    end if;
    return (
        select j.job_id
        from enqueue_ocr_jobs(
            array[p_document_id], p_priority, p_run_after, p_max_attempts
        ) as j
    );
end;
$$;


--
-- Name: FUNCTION enqueue_ocr_job(p_document_id uuid, p_priority integer, p_run_after timestamp with time zone, p_max_attempts integer); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.enqueue_ocr_job(p_document_id uuid, p_priority integer, p_run_after timestamp with time zone, p_max_attempts integer) IS 'Enqueues a document that is pending or failed and returns its job; idempotent: gives
the live job if there is one, unchanged. p_priority 0 (last) to 10 (first); not claimed
before p_run_after; p_max_attempts 1 to 100 (default:
ocr_settings.default_max_attempts). Raises OG001 when there is no such document, OG006
when it is completed, 22023 for an argument out of range. Notifies the channel ocr_jobs
when the job is due.';


--
-- Name: enqueue_ocr_jobs(uuid[], integer, timestamp with time zone, integer); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.enqueue_ocr_jobs(p_document_ids uuid[], p_priority integer DEFAULT 5, p_run_after timestamp with time zone DEFAULT clock_timestamp(), p_max_attempts integer DEFAULT NULL::integer) RETURNS TABLE(document_id uuid, job_id uuid)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
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
$$;


--
-- Name: FUNCTION enqueue_ocr_jobs(p_document_ids uuid[], p_priority integer, p_run_after timestamp with time zone, p_max_attempts integer); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.enqueue_ocr_jobs(p_document_ids uuid[], p_priority integer, p_run_after timestamp with time zone, p_max_attempts integer) IS 'Enqueues many documents in one call; see enqueue_ocr_job(). All or none. Returns one
row per document with its live job, new or old. Deadlock-free against other calls with
the same documents in another order (G12).';


--
-- Name: enqueue_pending_documents(integer); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.enqueue_pending_documents(p_limit integer DEFAULT 1000) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    AS $$
declare
    v_document_ids ocr_id_types.document_ids%type;
begin
    if (p_limit between 1 and 1000000) is not true then
        perform reject_argument('p_limit', 'between 1 and 1000000', p_limit::text);
    end if;

    v_document_ids := array(
        select d.id
        from documents as d
        where
            d.ocr_status = 'pending'
            and not exists (
                select from ocr_queue as q
                where q.document_id = d.id and q.status in ('pending', 'processing')
            )
        order by d.created_at
        limit p_limit
        for no key update skip locked
    );
    if cardinality(v_document_ids) = 0 then
        return 0;
    end if;
    return start_ocr_jobs(v_document_ids, 5, clock_timestamp(), null);
end;
$$;


--
-- Name: FUNCTION enqueue_pending_documents(p_limit integer); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.enqueue_pending_documents(p_limit integer) IS 'Enqueues up to p_limit pending documents that have no live job, oldest first, with the
default priority and attempts: what a plain INSERT into documents needs to be processed.
Returns how many. Raises 22023 for a limit outside 1 to 1000000.';


--
-- Name: extend_ocr_leases(uuid[], uuid[], interval); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.extend_ocr_leases(p_document_ids uuid[], p_lease_tokens uuid[], p_lease interval DEFAULT NULL::interval) RETURNS TABLE(document_id uuid, lease_expires_at timestamp with time zone)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    AS $$
declare
    v_now timestamptz;
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
    if p_lease_tokens is null
        or array_position(p_lease_tokens, null) is not null
        or cardinality(p_lease_tokens) <> cardinality(p_document_ids)
    then
        perform reject_argument(
            'p_lease_tokens', 'one token, not null, for each of p_document_ids',
            cardinality(p_lease_tokens) || ' elements'
        );
    end if;
    if (p_lease is null or p_lease between interval '1 second' and interval '1 day')
        is not true
    then
        perform reject_argument(
            'p_lease', 'null or between 1 second and 1 day', p_lease::text
        );
    end if;

    perform lock_ocr_documents(p_document_ids);
    v_now := clock_timestamp();

    return query
    update ocr_queue as q
    set
        heartbeat_at = v_now,
        lease_expires_at = v_now + coalesce(
            p_lease,
            (select s.default_lease from ocr_settings as s where s.id)
        )
    from unnest(p_document_ids, p_lease_tokens) as l (document_id, lease_token)
    inner join documents as d
        on d.id = l.document_id and d.ocr_lease_token = l.lease_token
    where
        q.document_id = l.document_id
        and q.status = 'processing'
    returning q.document_id, q.lease_expires_at;
end;
$$;


--
-- Name: FUNCTION extend_ocr_leases(p_document_ids uuid[], p_lease_tokens uuid[], p_lease interval); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.extend_ocr_leases(p_document_ids uuid[], p_lease_tokens uuid[], p_lease interval) IS 'Heartbeat for many jobs at once: each lease that is still the caller''s lasts p_lease
(default: ocr_settings.default_lease) from now. A document that is missing from the
answer is lost: stop working on it, its result would be refused (G2). An expired lease
that nobody has taken over yet is extended. Raises 22023 for arrays that are null, hold
nulls or differ in length.';


--
-- Name: fail_ocr_job(uuid, uuid, text, text, text); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.fail_ocr_job(p_document_id uuid, p_lease_token uuid, p_error text, p_error_class text DEFAULT 'document'::text, p_engine text DEFAULT NULL::text) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
declare
    v_job_status text;
begin
    perform check_lease_arguments(p_document_id, p_lease_token);
    if p_error is null or p_error !~ '[^[:space:]]' then
        perform reject_argument('p_error', 'the reason of the failure', p_error);
    end if;
    if (p_error_class in ('document', 'permanent', 'infrastructure')) is not true then
        perform reject_argument(
            'p_error_class', 'document, permanent or infrastructure', p_error_class
        );
    end if;

    if not lock_live_lease(p_document_id, p_lease_token) then
        return 'stale_lease';
    end if;

    select e.job_status into strict v_job_status
    from end_ocr_leases(
        array[p_document_id],
        case
            when p_error_class = 'permanent' then 'failed'
            else 'retry'
        end,
        left(p_error, 10000),
        case when p_error_class = 'permanent' then 'dead' else 'retry' end,
        p_error_class <> 'infrastructure',
        true,
        p_error_class,
        p_engine
    ) as e;

    perform count_circuit_failure(p_document_id, p_lease_token, p_error, p_error_class);
    return case v_job_status when 'failed' then 'dead' else 'retry' end;
end;
$$;


--
-- Name: FUNCTION fail_ocr_job(p_document_id uuid, p_lease_token uuid, p_error text, p_error_class text, p_engine text); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.fail_ocr_job(p_document_id uuid, p_lease_token uuid, p_error text, p_error_class text, p_engine text) IS 'Reports that an attempt failed. p_error_class says whose fault it was: document (tried
again after a backoff with full jitter until attempts are used up, then dead), permanent
(dead at once) or infrastructure (tried again, no attempt spent; ocr_settings.
circuit_threshold of them within circuit_window open the circuit). Returns retry, dead,
or stale_lease when the lease is no longer the caller''s (G2). Raises 22023 on a null or
empty argument or an unknown class.';


--
-- Name: fail_rejected_job(public.ocr_result, text); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.fail_rejected_job(p_result public.ocr_result, p_error text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
declare
    v_token uuid := (p_result).lease_token;
begin
    if v_token is null then
        select d.ocr_lease_token into v_token
        from documents as d
        cross join ocr_settings as s
        where
            d.id = (p_result).document_id
            and s.id
            and d.ocr_claims = 1
            and not s.require_lease_token;
    end if;
    if (p_result).document_id is not null and v_token is not null then
        perform fail_ocr_job((p_result).document_id, v_token, p_error);
    end if;
end;
$$;


--
-- Name: FUNCTION fail_rejected_job(p_result public.ocr_result, p_error text); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.fail_rejected_job(p_result public.ocr_result, p_error text) IS 'Internal. Fails the job of a result that the database rejected as class document, if
the offer still held the lease.';


--
-- Name: find_document_files(uuid, integer); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.find_document_files(p_after uuid DEFAULT NULL::uuid, p_limit integer DEFAULT 1000) RETURNS TABLE(document_id uuid, file_path text, file_hash text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
begin
    if (p_limit between 1 and 10000) is not true then
        perform reject_argument('p_limit', 'between 1 and 10000', p_limit::text);
    end if;
    return query
    select d.id, d.file_path::text, d.file_hash::text
    from documents as d
    where d.file_path is not null and (p_after is null or d.id > p_after)
    order by d.id
    limit p_limit;
end;
$$;


--
-- Name: FUNCTION find_document_files(p_after uuid, p_limit integer); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.find_document_files(p_after uuid, p_limit integer) IS 'The files that documents say they have, p_limit of them in the order of the document''s
id, from the first id after p_after. Take the last id of a page as p_after of the next;
a page with fewer than p_limit rows is the last. Raises 22023 for a limit outside 1 to
10000.';


--
-- Name: find_inconsistencies(integer); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.find_inconsistencies(p_limit integer DEFAULT 100) RETURNS TABLE(kind text, document_id uuid, job_id uuid, detail text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
begin
    if (p_limit between 1 and 1000000) is not true then
        perform reject_argument('p_limit', 'between 1 and 1000000', p_limit::text);
    end if;
    return query
    select f.kind, f.document_id, f.job_id, f.detail
    from list_ocr_findings() as f
    order by f.kind, f.document_id, f.job_id
    limit p_limit;
end;
$$;


--
-- Name: FUNCTION find_inconsistencies(p_limit integer); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.find_inconsistencies(p_limit integer) IS 'Lists what validate_database_consistency() counts, at most p_limit rows: the kind of
finding, the document or job, and the finding in words. Raises 22023 for a limit outside
1 to 1000000.';


--
-- Name: find_invalid_result(uuid, text, text, double precision, integer, integer, text); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.find_invalid_result(p_document_id uuid, p_expected_filename text, p_ocr_text text, p_confidence double precision, p_word_count integer, p_processing_time_ms integer, p_source_hash text) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN CASE WHEN (p_document_id IS NULL) THEN 'p_document_id must be given, not null'::text WHEN (p_expected_filename IS NULL) THEN 'p_expected_filename must be given, not null'::text WHEN (p_ocr_text IS NULL) THEN 'p_ocr_text must be given (an empty text for an empty page), not null'::text WHEN (((p_confidence >= (0)::double precision) AND (p_confidence <= (100)::double precision)) IS NOT TRUE) THEN format('p_confidence must be between 0 and 100, not %s'::text, COALESCE((p_confidence)::text, 'null'::text)) WHEN ((p_word_count >= 0) IS NOT TRUE) THEN format('p_word_count must be zero or more, not %s'::text, COALESCE((p_word_count)::text, 'null'::text)) WHEN ((p_processing_time_ms >= 0) IS NOT TRUE) THEN format('p_processing_time_ms must be zero or more, not %s'::text, COALESCE((p_processing_time_ms)::text, 'null'::text)) WHEN (NOT public.are_sha256_digits(p_source_hash)) THEN format('p_source_hash must be null or a SHA-256 in 64 lower-case hexadecimal digits, not %s'::text, "left"(p_source_hash, 100)) ELSE NULL::text END;


--
-- Name: FUNCTION find_invalid_result(p_document_id uuid, p_expected_filename text, p_ocr_text text, p_confidence double precision, p_word_count integer, p_processing_time_ms integer, p_source_hash text); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.find_invalid_result(p_document_id uuid, p_expected_filename text, p_ocr_text text, p_confidence double precision, p_word_count integer, p_processing_time_ms integer, p_source_hash text) IS 'Internal. Says which argument of an offered result is out of range, what is accepted
and what it was; null when all are well-formed.';


--
-- Name: find_stuck_ocr_jobs(integer); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.find_stuck_ocr_jobs(p_threshold_minutes integer DEFAULT 30) RETURNS TABLE(document_id uuid, filename text, worker_id text, started_at timestamp with time zone, minutes_stuck integer, last_heartbeat timestamp with time zone)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
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
$$;


--
-- Name: FUNCTION find_stuck_ocr_jobs(p_threshold_minutes integer); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.find_stuck_ocr_jobs(p_threshold_minutes integer) IS 'Jobs in processing without a sign of life for p_threshold_minutes, longest first, and
documents in processing that no job works on, whatever their age (worker_id, started_at
and last_heartbeat are null then, minutes_stuck counts from the last change of the
document). Raises 22023 for a threshold outside 1 to 525600.';


SET default_tablespace = '';

--
-- Name: ocr_job_history; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.ocr_job_history (
    document_id uuid NOT NULL,
    job_id uuid,
    outcome text NOT NULL,
    error_class text,
    worker_id text,
    engine text,
    attempt integer,
    priority integer,
    queued_at timestamp with time zone,
    started_at timestamp with time zone,
    finished_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    wait_ms bigint,
    processing_time_ms integer,
    confidence real,
    word_count integer,
    source_hash text,
    lease_token uuid,
    error text,
    CONSTRAINT check_ocr_job_history_outcome CHECK ((outcome = ANY (ARRAY['written'::text, 'failed'::text, 'retry'::text, 'expired'::text, 'released'::text, 'cancelled'::text])))
)
PARTITION BY RANGE (finished_at);


--
-- Name: TABLE ocr_job_history; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON TABLE public.ocr_job_history IS 'Append-only: one row per finished attempt (G10). Partitioned by month of finished_at;
outlives its document.';


--
-- Name: COLUMN ocr_job_history.document_id; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_job_history.document_id IS 'The document; no foreign key, the evidence stays when the document goes.';


--
-- Name: COLUMN ocr_job_history.job_id; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_job_history.job_id IS 'The job; null when the document had lost its job.';


--
-- Name: COLUMN ocr_job_history.outcome; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_job_history.outcome IS 'written; failed (dead now); retry (will be tried again); expired (the lease ran out or
was reset); released (given back unspent); cancelled (by an operator, a requeue or a
replaced file).';


--
-- Name: COLUMN ocr_job_history.error_class; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_job_history.error_class IS 'document, permanent or infrastructure, for failed and retry.';


--
-- Name: COLUMN ocr_job_history.worker_id; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_job_history.worker_id IS 'Who held the lease.';


--
-- Name: COLUMN ocr_job_history.engine; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_job_history.engine IS 'Name and version of the OCR engine.';


--
-- Name: COLUMN ocr_job_history.attempt; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_job_history.attempt IS 'Number of the attempt, from 1.';


--
-- Name: COLUMN ocr_job_history.priority; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_job_history.priority IS 'Priority of the job.';


--
-- Name: COLUMN ocr_job_history.queued_at; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_job_history.queued_at IS 'When the job was enqueued.';


--
-- Name: COLUMN ocr_job_history.started_at; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_job_history.started_at IS 'When the attempt was claimed.';


--
-- Name: COLUMN ocr_job_history.finished_at; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_job_history.finished_at IS 'When the attempt ended; the partition key.';


--
-- Name: COLUMN ocr_job_history.wait_ms; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_job_history.wait_ms IS 'From the moment the job was due to its claim, in milliseconds.';


--
-- Name: COLUMN ocr_job_history.processing_time_ms; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_job_history.processing_time_ms IS 'As the worker measured it for a written result, else from claim to end, in
milliseconds.';


--
-- Name: COLUMN ocr_job_history.confidence; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_job_history.confidence IS 'Confidence of a written result in percent.';


--
-- Name: COLUMN ocr_job_history.word_count; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_job_history.word_count IS 'Words of a written result.';


--
-- Name: COLUMN ocr_job_history.source_hash; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_job_history.source_hash IS 'SHA-256 of the bytes that a written result was read from.';


--
-- Name: COLUMN ocr_job_history.lease_token; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_job_history.lease_token IS 'The lease of the attempt.';


--
-- Name: COLUMN ocr_job_history.error; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_job_history.error IS 'What went wrong, or who ended the attempt and why.';


SET default_table_access_method = heap;

--
-- Name: ocr_queue; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.ocr_queue (
    id uuid DEFAULT uuidv7() NOT NULL,
    document_id uuid NOT NULL,
    status text DEFAULT 'pending'::text NOT NULL,
    priority integer DEFAULT 5 NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    max_attempts integer DEFAULT 3 NOT NULL,
    run_after timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    started_at timestamp with time zone,
    heartbeat_at timestamp with time zone,
    completed_at timestamp with time zone,
    worker_id text,
    lease_expires_at timestamp with time zone,
    progress_current integer,
    progress_total integer,
    error_message text,
    processing_time_ms integer,
    file_size bigint,
    CONSTRAINT check_ocr_queue_attempts CHECK (((attempts >= 0) AND ((max_attempts >= 1) AND (max_attempts <= 100)) AND (attempts <= max_attempts) AND ((status <> 'pending'::text) OR (attempts < max_attempts)))),
    CONSTRAINT check_ocr_queue_lease CHECK (
CASE
    WHEN (status = 'processing'::text) THEN ((lease_expires_at IS NOT NULL) AND (started_at IS NOT NULL) AND (worker_id IS NOT NULL))
    ELSE (lease_expires_at IS NULL)
END),
    CONSTRAINT check_ocr_queue_numbers CHECK (((LEAST(progress_current, progress_total, processing_time_ms) >= 0) AND (progress_current <= progress_total) AND (file_size >= 0))),
    CONSTRAINT check_ocr_queue_priority CHECK (((priority >= 0) AND (priority <= 10))),
    CONSTRAINT check_ocr_queue_run_after CHECK (isfinite(run_after)),
    CONSTRAINT check_ocr_queue_status CHECK ((status = ANY (ARRAY['pending'::text, 'processing'::text, 'failed'::text])))
)
WITH (fillfactor='70', autovacuum_vacuum_scale_factor='0.02', autovacuum_vacuum_threshold='500', autovacuum_analyze_scale_factor='0.05', autovacuum_vacuum_cost_delay='0');


--
-- Name: TABLE ocr_queue; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON TABLE public.ocr_queue IS 'OCR jobs that are waiting, running or dead. A completed job is removed (its history
stays in ocr_job_history), so the table is as small as the work that is left.';


--
-- Name: COLUMN ocr_queue.id; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_queue.id IS 'Primary key; time-ordered (uuid version 7).';


--
-- Name: COLUMN ocr_queue.document_id; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_queue.document_id IS 'The document to be processed; at most one live job each (G5).';


--
-- Name: COLUMN ocr_queue.status; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_queue.status IS 'pending, processing (under a lease) or failed (dead: attempts are used up).';


--
-- Name: COLUMN ocr_queue.priority; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_queue.priority IS '0 (last) to 10 (first).';


--
-- Name: COLUMN ocr_queue.attempts; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_queue.attempts IS 'Attempts spent, the running one included.';


--
-- Name: COLUMN ocr_queue.max_attempts; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_queue.max_attempts IS 'Attempts after which the job is dead.';


--
-- Name: COLUMN ocr_queue.run_after; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_queue.run_after IS 'Not to be claimed before this time: backoff, or a job for later.';


--
-- Name: COLUMN ocr_queue.created_at; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_queue.created_at IS 'When the job was enqueued.';


--
-- Name: COLUMN ocr_queue.started_at; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_queue.started_at IS 'When the running or last attempt was claimed.';


--
-- Name: COLUMN ocr_queue.heartbeat_at; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_queue.heartbeat_at IS 'Last sign of life from the worker. In no index, so that heartbeats stay HOT.';


--
-- Name: COLUMN ocr_queue.completed_at; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_queue.completed_at IS 'When a dead job died.';


--
-- Name: COLUMN ocr_queue.worker_id; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_queue.worker_id IS 'Who holds the lease, or held the last one of a dead job.';


--
-- Name: COLUMN ocr_queue.lease_expires_at; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_queue.lease_expires_at IS 'When the lease ends unless extended. In no index, so that heartbeats stay HOT.';


--
-- Name: COLUMN ocr_queue.progress_current; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_queue.progress_current IS 'Pages done.';


--
-- Name: COLUMN ocr_queue.progress_total; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_queue.progress_total IS 'Pages in all.';


--
-- Name: COLUMN ocr_queue.error_message; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_queue.error_message IS 'Error of the last attempt.';


--
-- Name: COLUMN ocr_queue.processing_time_ms; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_queue.processing_time_ms IS 'How long the last failed attempt took, in milliseconds.';


--
-- Name: COLUMN ocr_queue.file_size; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_queue.file_size IS 'Size of the file in bytes when the job was enqueued.';


--
-- Name: form_result_history(uuid, text, integer, double precision, integer, text, uuid, public.ocr_queue); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.form_result_history(p_document_id uuid, p_engine text, p_processing_time_ms integer, p_confidence double precision, p_word_count integer, p_source_hash text, p_lease_token uuid, p_job public.ocr_queue) RETURNS public.ocr_job_history
    LANGUAGE sql
    RETURN ROW(p_document_id, (p_job).id, 'written'::text, NULL::text, (p_job).worker_id, p_engine, (p_job).attempts, (p_job).priority, (p_job).created_at, (p_job).started_at, clock_timestamp(), (public.elapsed_ms((p_job).run_after, (p_job).started_at))::bigint, p_processing_time_ms, (p_confidence)::real, p_word_count, p_source_hash, p_lease_token, NULL::text)::public.ocr_job_history;


--
-- Name: FUNCTION form_result_history(p_document_id uuid, p_engine text, p_processing_time_ms integer, p_confidence double precision, p_word_count integer, p_source_hash text, p_lease_token uuid, p_job public.ocr_queue); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.form_result_history(p_document_id uuid, p_engine text, p_processing_time_ms integer, p_confidence double precision, p_word_count integer, p_source_hash text, p_lease_token uuid, p_job public.ocr_queue) IS 'Internal. The row of ocr_job_history for a result that was written under p_lease_token;
p_job is the job as it was when it was removed, null when the document had lost it.';


--
-- Name: hash_inserted_ocr_text(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.hash_inserted_ocr_text() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
begin
    new.ocr_text_hash := hash_ocr_text(new.ocr_text);
    return new;
end;
$$;


--
-- Name: FUNCTION hash_inserted_ocr_text(); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.hash_inserted_ocr_text() IS 'Trigger function of trigger_hash_inserted_ocr_text. Fills ocr_text_hash (G7).';


--
-- Name: hash_ocr_text(text); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.hash_ocr_text(p_text text) RETURNS bigint
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN hashtextextended(p_text, (0)::bigint);


--
-- Name: FUNCTION hash_ocr_text(p_text text); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.hash_ocr_text(p_text text) IS 'Internal. 64-bit hash of a text, for documents.ocr_text_hash. Equal texts have equal
hashes; a hit is confirmed by comparing the texts.';


--
-- Name: ingest_ocr_documents(json, integer); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.ingest_ocr_documents(p_files json, p_priority integer DEFAULT 5) RETURNS TABLE(ordinal integer, document_id uuid, created boolean)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $_$
declare
    v_bad bigint;
    v_new ocr_id_types.document_ids%type;
begin
    if json_typeof(p_files) is distinct from 'array' then
        perform reject_argument(
            'p_files', 'a json array of files', left(p_files::text, 100)
        );
    end if;
    if json_array_length(p_files) > 10000 then
        perform reject_argument(
            'p_files', 'at most 10000 files',
            format('%s files', json_array_length(p_files))
        );
    end if;
    if (p_priority between 0 and 10) is not true then
        perform reject_argument('p_priority', 'between 0 and 10', p_priority::text);
    end if;
    begin
        select f.n into v_bad
        from json_array_elements(p_files) with ordinality as f (file, n)
        where
            f.file ->> 'filename' is null
            or are_sha256_digits(f.file ->> 'file_hash') is not true
            or (f.file ->> 'file_size' !~ '^[0-9]{1,18}$')
        order by f.n
        limit 1;
    exception
        when untranslatable_character or invalid_text_representation then
            perform reject_argument(
                'p_files', 'json whose strings PostgreSQL can hold', sqlerrm
            );
    end;
    if v_bad is not null then
        perform reject_argument(
            format('p_files[%s]', v_bad),
            'an object with filename, file_hash (SHA-256 in 64 lower-case hexadecimal '
            'digits) and a file_size of zero or more',
            (p_files -> (v_bad - 1)::integer)::text
        );
    end if;

    perform pg_advisory_xact_lock(
        hashtextextended('ocr_guardrails.ingest_ocr_documents', 0)
    );
    with
    offered as (
        select
            f.n,
            f.file ->> 'filename' as filename,
            f.file ->> 'file_path' as file_path,
            f.file ->> 'file_hash' as file_hash,
            (f.file ->> 'file_size')::bigint as file_size,
            f.file ->> 'mime_type' as mime_type
        from json_array_elements(p_files) with ordinality as f (file, n)
    ),
    inserted as (
        insert into documents (filename, file_path, file_hash, file_size, mime_type)
        select distinct on (o.file_hash)
            o.filename, o.file_path, o.file_hash, o.file_size, o.mime_type
        from offered as o
        where not exists (
            select from documents as d where d.file_hash = o.file_hash
        )
        order by o.file_hash, o.n
        returning id
    )
    select array_agg(i.id) into v_new from inserted as i;

    if v_new is not null then
        perform start_ocr_jobs(v_new, p_priority, clock_timestamp(), null);
    end if;
    return query
    with
    known as (
        select
            f.n::integer as n,
            (
                select d.id
                from documents as d
                where d.file_hash = f.file ->> 'file_hash'
                order by d.created_at, d.id
                limit 1
            ) as id
        from json_array_elements(p_files) with ordinality as f (file, n)
    )
    select
        k.n,
        k.id,
        coalesce(k.id = any(v_new), false)
        and row_number() over (partition by k.id order by k.n) = 1
    from known as k
    order by k.n;
end;
$_$;


--
-- Name: FUNCTION ingest_ocr_documents(p_files json, p_priority integer); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.ingest_ocr_documents(p_files json, p_priority integer) IS 'Adds files as documents and enqueues them; a file whose SHA-256 a document already has
is passed over. p_files is a json array of objects with the keys filename, file_path,
file_hash, file_size (bytes), mime_type. Returns one row per file in order: the document
with this hash, and whether it was made by this call. Raises 22023 for a malformed file,
then nothing is added.';


--
-- Name: is_finishing_left_to_trigger(oid); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.is_finishing_left_to_trigger(p_table oid) RETURNS boolean
    LANGUAGE plpgsql STABLE
    AS $$
begin
    return pg_catalog.texteq(
        pg_catalog.current_setting('ocr_guardrails.finishing_depth', true),
        pg_catalog.pg_trigger_depth()::pg_catalog.text
    ) is not true
    or not pg_catalog.has_table_privilege(p_table, 'trigger');
end;
$$;


--
-- Name: FUNCTION is_finishing_left_to_trigger(p_table oid); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.is_finishing_left_to_trigger(p_table oid) IS 'Internal, and called by whoever updates documents. Whether the statement leaves it to
trigger_cleanup_completed_ocr_queue to remove the job of a completed document and to
write its history. True for everybody but write_ocr_results().';


--
-- Name: is_text_compared(text, integer, integer); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.is_text_compared(p_ocr_text text, p_word_count integer, p_min_words integer) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN ((p_word_count >= p_min_words) OR (regexp_count(p_ocr_text, '\S+'::text) >= p_min_words));


--
-- Name: FUNCTION is_text_compared(p_ocr_text text, p_word_count integer, p_min_words integer); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.is_text_compared(p_ocr_text text, p_word_count integer, p_min_words integer) IS 'Internal. Whether a text is long enough to be searched for in other documents.';


--
-- Name: judge_ocr_result(text, uuid, uuid, integer, text, text, uuid, text, text, text, double precision, integer, boolean, boolean, numeric); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.judge_ocr_result(p_ocr_status text, p_live_token uuid, p_result_token uuid, p_claims integer, p_filename text, p_file_hash text, p_offered_token uuid, p_expected_filename text, p_source_hash text, p_ocr_text text, p_confidence double precision, p_word_count integer, p_require_lease_token boolean, p_require_source_hash boolean, p_word_count_tolerance numeric) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN (p_ocr_status IS NULL) THEN 'document_missing'::text WHEN ((p_ocr_status = 'completed'::text) AND (p_result_token = p_offered_token)) THEN 'already_written'::text WHEN (p_ocr_status = 'completed'::text) THEN 'already_completed'::text WHEN ((p_ocr_status <> 'processing'::text) OR (p_offered_token <> p_live_token)) THEN 'stale_lease'::text WHEN ((p_offered_token IS NULL) AND ((p_claims > 1) OR p_require_lease_token)) THEN 'lease_required'::text WHEN (p_filename IS DISTINCT FROM p_expected_filename) THEN 'filename_mismatch'::text WHEN ((p_source_hash <> p_file_hash) OR ((p_source_hash IS NULL) AND p_require_source_hash)) THEN 'source_mismatch'::text WHEN ((p_confidence > (50)::double precision) AND ("left"(p_ocr_text, 50) !~ '\S'::text) AND (p_ocr_text !~ '\S'::text)) THEN 'implausible_result'::text WHEN ((p_word_count > (octet_length(p_ocr_text) / 4)) AND (p_word_count > length(p_ocr_text))) THEN 'implausible_result'::text WHEN ((p_word_count_tolerance IS NOT NULL) AND ((abs((p_word_count - regexp_count(p_ocr_text, '\S+'::text))))::numeric > (p_word_count_tolerance * (regexp_count(p_ocr_text, '\S+'::text))::numeric))) THEN 'implausible_result'::text ELSE 'written'::text END;


--
-- Name: FUNCTION judge_ocr_result(p_ocr_status text, p_live_token uuid, p_result_token uuid, p_claims integer, p_filename text, p_file_hash text, p_offered_token uuid, p_expected_filename text, p_source_hash text, p_ocr_text text, p_confidence double precision, p_word_count integer, p_require_lease_token boolean, p_require_source_hash boolean, p_word_count_tolerance numeric); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.judge_ocr_result(p_ocr_status text, p_live_token uuid, p_result_token uuid, p_claims integer, p_filename text, p_file_hash text, p_offered_token uuid, p_expected_filename text, p_source_hash text, p_ocr_text text, p_confidence double precision, p_word_count integer, p_require_lease_token boolean, p_require_source_hash boolean, p_word_count_tolerance numeric) IS 'Internal. The outcome of offering a result for a document, by the row of the document,
the offer and the settings; all rules but the search for foreign texts (G7) and the
database''s own refusal. A null p_ocr_status means that there is no such document.';


--
-- Name: list_broken_guards(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.list_broken_guards() RETURNS TABLE(document_id uuid, job_id uuid, constraint_name text)
    LANGUAGE plpgsql STABLE
    SET search_path TO 'public', 'pg_temp'
    AS $$
declare
    v_table record;
begin
    for v_table in
        select
            g.of_table,
            string_agg(
                format('when not (%s) then %L', g.condition, g.name), ' ' order by g.id
            ) as cases
        from (
            select
                a.id,
                a.condition,
                split_part(a.object, '.', 1) as of_table,
                split_part(a.object, '.', 2) as name
            from ocr_adoption as a
            where a.kind = 'guard' and a.condition is not null
        ) as g
        where not exists (
            select from pg_constraint as c
            where
                c.conrelid = to_regclass(g.of_table)
                and c.conname = g.name
                and c.convalidated
        )
        group by g.of_table
    loop
        for document_id, job_id, constraint_name in execute format(
            'select %s, b.broken from ('
            'select t.*, case %s end as broken from %I as t'
            ') as b where b.broken is not null',
            case v_table.of_table
                when 'documents' then 'b.id, null' else 'b.document_id, b.id'
            end,
            v_table.cases,
            v_table.of_table
        ) loop
            return next;
        end loop;
    end loop;
end;
$$;


--
-- Name: FUNCTION list_broken_guards(); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.list_broken_guards() IS 'Internal. Documents and jobs of adopted tables that break a constraint of the package
which is not valid there yet, each with the first constraint that it breaks.';


--
-- Name: documents; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.documents (
    id uuid DEFAULT uuidv7() NOT NULL,
    filename text NOT NULL,
    file_path text,
    file_hash text,
    file_size bigint,
    mime_type text,
    ocr_status text DEFAULT 'pending'::text NOT NULL,
    ocr_text text,
    ocr_confidence real,
    ocr_word_count integer,
    ocr_processing_time_ms integer,
    ocr_engine text,
    ocr_source_hash text,
    ocr_text_hash bigint,
    ocr_error text,
    ocr_completed_at timestamp with time zone,
    ocr_lease_token uuid,
    ocr_result_token uuid,
    ocr_claims integer DEFAULT 0 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT check_ocr_completed_result CHECK (((ocr_status <> 'completed'::text) OR ((ocr_text IS NOT NULL) AND (ocr_confidence IS NOT NULL) AND (ocr_word_count IS NOT NULL) AND (ocr_completed_at IS NOT NULL)))),
    CONSTRAINT check_ocr_confidence CHECK (((ocr_confidence >= (0)::double precision) AND (ocr_confidence <= (100)::double precision))),
    CONSTRAINT check_ocr_file_hash CHECK (((octet_length(file_hash) = 64) AND (file_hash ~ '^[0-9a-f]+$'::text))),
    CONSTRAINT check_ocr_lease CHECK (((ocr_status = 'processing'::text) = (ocr_lease_token IS NOT NULL))),
    CONSTRAINT check_ocr_numbers CHECK (((LEAST(ocr_word_count, ocr_processing_time_ms, ocr_claims) >= 0) AND (file_size >= 0))),
    CONSTRAINT check_ocr_status CHECK ((ocr_status = ANY (ARRAY['pending'::text, 'processing'::text, 'completed'::text, 'failed'::text])))
)
WITH (fillfactor='80');


--
-- Name: TABLE documents; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON TABLE public.documents IS 'Uploaded files and their OCR results: one row per file. The fence of a result
(ocr_lease_token, ocr_result_token) stands on the row that it protects.';


--
-- Name: COLUMN documents.id; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.documents.id IS 'Primary key; time-ordered (uuid version 7).';


--
-- Name: COLUMN documents.filename; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.documents.filename IS 'Name as uploaded. Not unique: scanners call every file scan.pdf.';


--
-- Name: COLUMN documents.file_path; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.documents.file_path IS 'Where a worker finds the file.';


--
-- Name: COLUMN documents.file_hash; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.documents.file_hash IS 'SHA-256 of the file, 64 lower-case hexadecimal digits; null when unknown.';


--
-- Name: COLUMN documents.file_size; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.documents.file_size IS 'Size of the file in bytes.';


--
-- Name: COLUMN documents.mime_type; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.documents.mime_type IS 'Media type of the file, for example application/pdf.';


--
-- Name: COLUMN documents.ocr_status; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.documents.ocr_status IS 'pending, processing (a lease is live), completed (a result stands) or failed.';


--
-- Name: COLUMN documents.ocr_text; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.documents.ocr_text IS 'The recognised text. Written once, under a lease (G1, G4).';


--
-- Name: COLUMN documents.ocr_confidence; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.documents.ocr_confidence IS 'Mean confidence of the recognition in percent, 0 to 100.';


--
-- Name: COLUMN documents.ocr_word_count; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.documents.ocr_word_count IS 'Number of words in ocr_text as the worker counted them.';


--
-- Name: COLUMN documents.ocr_processing_time_ms; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.documents.ocr_processing_time_ms IS 'Time that the recognition took, in milliseconds.';


--
-- Name: COLUMN documents.ocr_engine; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.documents.ocr_engine IS 'Name and version of the engine that made the result.';


--
-- Name: COLUMN documents.ocr_source_hash; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.documents.ocr_source_hash IS 'SHA-256 of the bytes that the result was read from: as offered by the worker,
else file_hash at that moment. Differs from file_hash once the file is replaced.';


--
-- Name: COLUMN documents.ocr_text_hash; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.documents.ocr_text_hash IS '64-bit hash of ocr_text, kept by the trigger; finds texts that two documents share.';


--
-- Name: COLUMN documents.ocr_error; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.documents.ocr_error IS 'Why the last attempt failed; null once a result is written.';


--
-- Name: COLUMN documents.ocr_completed_at; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.documents.ocr_completed_at IS 'When the result was written.';


--
-- Name: COLUMN documents.ocr_lease_token; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.documents.ocr_lease_token IS 'The live lease: set by claim_ocr_jobs(), cleared by whatever ends the lease (G2).';


--
-- Name: COLUMN documents.ocr_result_token; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.documents.ocr_result_token IS 'The lease under which the result was written (G11).';


--
-- Name: COLUMN documents.ocr_claims; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.documents.ocr_claims IS 'How often the document was claimed. From the second claim on, a result without a
lease token is ambiguous and refused.';


--
-- Name: COLUMN documents.created_at; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.documents.created_at IS 'When the row was made.';


--
-- Name: COLUMN documents.updated_at; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.documents.updated_at IS 'When the package last changed the row.';


--
-- Name: list_foreign_texts(uuid, text, text, integer, integer); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.list_foreign_texts(p_document_id uuid, p_file_hash text, p_ocr_text text, p_word_count integer, p_min_words integer) RETURNS SETOF uuid
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT d.id
    FROM public.documents d
   WHERE (public.is_text_compared(list_foreign_texts.p_ocr_text, list_foreign_texts.p_word_count, list_foreign_texts.p_min_words) AND (d.ocr_text_hash = public.hash_ocr_text(list_foreign_texts.p_ocr_text)) AND (d.id <> list_foreign_texts.p_document_id) AND ((d.file_hash = list_foreign_texts.p_file_hash) IS NOT TRUE) AND (d.ocr_text = list_foreign_texts.p_ocr_text));
END;


--
-- Name: FUNCTION list_foreign_texts(p_document_id uuid, p_file_hash text, p_ocr_text text, p_word_count integer, p_min_words integer); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.list_foreign_texts(p_document_id uuid, p_file_hash text, p_ocr_text text, p_word_count integer, p_min_words integer) IS 'Internal. The documents with another file that carry this very text; none for a text of
less than p_min_words words.';


--
-- Name: list_loaded_objects(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.list_loaded_objects() RETURNS TABLE(kind text, identity text, definition text, version text)
    LANGUAGE sql STABLE
    SET search_path TO 'public', 'pg_temp'
    AS $$

select
    'routine' as kind,
    p.oid::regprocedure::text as identity,
    encode(sha256(convert_to(pg_get_functiondef(p.oid), 'UTF8')), 'hex') as definition,
    p.oid::text || p.ctid::text as version
from pg_proc as p
where
    p.pronamespace = quote_ident(current_schema())::regnamespace
    and p.prokind in ('f', 'p')
    and not starts_with(p.proname, 'ocr_set_aside_')
union all
select
    'trigger' as kind,
    format('%I on %s', t.tgname, t.tgrelid::regclass) as identity,
    encode(
        sha256(convert_to(pg_get_triggerdef(t.oid) || t.tgenabled::text, 'UTF8')), 'hex'
    ) as definition,
    t.oid::text || t.ctid::text as version
from pg_trigger as t
inner join pg_class as c on t.tgrelid = c.oid
where
    c.relnamespace = quote_ident(current_schema())::regnamespace
    and not t.tgisinternal
    and t.tgparentid = 0
    and not starts_with(t.tgname, 'ocr_set_aside_')
union all
select
    case c.relkind when 'm' then 'materialized view' else 'view' end as kind,
    c.oid::regclass::text as identity,
    encode(sha256(convert_to(pg_get_viewdef(c.oid), 'UTF8')), 'hex') as definition,
    c.oid::text || r.ctid::text as version
from pg_class as c
inner join pg_rewrite as r on c.oid = r.ev_class and r.rulename = '_RETURN'
where
    c.relnamespace = quote_ident(current_schema())::regnamespace
    and c.relkind in ('m', 'v')
    and not starts_with(c.relname, 'ocr_set_aside_')
$$;


--
-- Name: FUNCTION list_loaded_objects(); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.list_loaded_objects() IS 'Internal. Functions, triggers and views of the schema: kind and identity as in
ocr_schema_objects, a hash of the definition as it is now, and a version.';


--
-- Name: ocr_file_checks; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.ocr_file_checks (
    document_id uuid NOT NULL,
    present boolean NOT NULL,
    actual_hash text,
    checked_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT check_ocr_file_checks_actual_hash CHECK (((octet_length(actual_hash) = 64) AND (actual_hash ~ '^[0-9a-f]+$'::text)))
);


--
-- Name: TABLE ocr_file_checks; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON TABLE public.ocr_file_checks IS 'What the last look at each document''s file found. PostgreSQL cannot see the files:
record_ocr_file_checks() is told by someone who can.';


--
-- Name: COLUMN ocr_file_checks.document_id; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_file_checks.document_id IS 'The document.';


--
-- Name: COLUMN ocr_file_checks.present; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_file_checks.present IS 'Whether the file was there.';


--
-- Name: COLUMN ocr_file_checks.actual_hash; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_file_checks.actual_hash IS 'SHA-256 of what was there; null when it was not read.';


--
-- Name: COLUMN ocr_file_checks.checked_at; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_file_checks.checked_at IS 'When.';


--
-- Name: ocr_schema_objects; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.ocr_schema_objects (
    kind text NOT NULL,
    identity text NOT NULL,
    definition text NOT NULL,
    loaded_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT check_ocr_schema_object_kind CHECK ((kind = ANY (ARRAY['routine'::text, 'trigger'::text, 'view'::text, 'materialized view'::text])))
);


--
-- Name: TABLE ocr_schema_objects; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON TABLE public.ocr_schema_objects IS 'The functions, triggers and views that the repeatable SQL files have created here.';


--
-- Name: COLUMN ocr_schema_objects.kind; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_schema_objects.kind IS 'What kind of object it is, in the words of DROP.';


--
-- Name: COLUMN ocr_schema_objects.identity; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_schema_objects.identity IS 'Its name as DROP takes it, with argument types or table, without the schema.';


--
-- Name: COLUMN ocr_schema_objects.definition; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_schema_objects.definition IS 'SHA-256 of the definition that PostgreSQL gave right after loading.';


--
-- Name: COLUMN ocr_schema_objects.loaded_at; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_schema_objects.loaded_at IS 'When it was last loaded.';


--
-- Name: ocr_settings; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.ocr_settings (
    id boolean DEFAULT true NOT NULL,
    default_lease interval DEFAULT '00:05:00'::interval NOT NULL,
    default_max_attempts integer DEFAULT 3 NOT NULL,
    max_concurrent_jobs integer,
    backoff_base interval DEFAULT '00:00:10'::interval NOT NULL,
    backoff_cap interval DEFAULT '01:00:00'::interval NOT NULL,
    circuit_threshold integer DEFAULT 10 NOT NULL,
    circuit_window interval DEFAULT '00:01:00'::interval NOT NULL,
    circuit_cooldown interval DEFAULT '00:00:30'::interval NOT NULL,
    require_lease_token boolean DEFAULT false NOT NULL,
    require_source_hash boolean DEFAULT false NOT NULL,
    word_count_tolerance numeric,
    foreign_text_policy text DEFAULT 'record'::text NOT NULL,
    foreign_text_min_words integer DEFAULT 10 NOT NULL,
    expiry_sweep_interval interval DEFAULT '00:00:05'::interval NOT NULL,
    guard_mode text DEFAULT 'enforce'::text NOT NULL,
    CONSTRAINT check_ocr_settings_backoff CHECK ((((backoff_base >= '00:00:00'::interval) AND (backoff_base <= '1 day'::interval)) AND ((backoff_cap >= backoff_base) AND (backoff_cap <= '30 days'::interval)))),
    CONSTRAINT check_ocr_settings_circuit CHECK (((circuit_threshold >= 1) AND ((circuit_window >= '00:00:01'::interval) AND (circuit_window <= '1 day'::interval)) AND ((circuit_cooldown >= '00:00:00'::interval) AND (circuit_cooldown <= '1 day'::interval)))),
    CONSTRAINT check_ocr_settings_default_lease CHECK (((default_lease >= '00:00:01'::interval) AND (default_lease <= '1 day'::interval))),
    CONSTRAINT check_ocr_settings_default_max_attempts CHECK (((default_max_attempts >= 1) AND (default_max_attempts <= 100))),
    CONSTRAINT check_ocr_settings_expiry_sweep_interval CHECK (((expiry_sweep_interval >= '00:00:00'::interval) AND (expiry_sweep_interval <= '01:00:00'::interval))),
    CONSTRAINT check_ocr_settings_foreign_text CHECK (((foreign_text_policy = ANY (ARRAY['off'::text, 'record'::text, 'refuse'::text])) AND (foreign_text_min_words >= 1))),
    CONSTRAINT check_ocr_settings_guard_mode CHECK ((guard_mode = ANY (ARRAY['observe'::text, 'enforce'::text]))),
    CONSTRAINT check_ocr_settings_max_concurrent_jobs CHECK ((max_concurrent_jobs >= 1)),
    CONSTRAINT check_ocr_settings_one_row CHECK (id),
    CONSTRAINT check_ocr_settings_word_count_tolerance CHECK (((word_count_tolerance >= (0)::numeric) AND (word_count_tolerance <= (10)::numeric)))
);


--
-- Name: TABLE ocr_settings; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON TABLE public.ocr_settings IS 'Exactly one row: how the package behaves. Changed by set_ocr_setting().';


--
-- Name: COLUMN ocr_settings.id; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_settings.id IS 'Always true: there is one row.';


--
-- Name: COLUMN ocr_settings.default_lease; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_settings.default_lease IS 'How long a lease lasts unless extended.';


--
-- Name: COLUMN ocr_settings.default_max_attempts; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_settings.default_max_attempts IS 'Attempts of a job for which enqueue_ocr_job() is given none.';


--
-- Name: COLUMN ocr_settings.max_concurrent_jobs; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_settings.max_concurrent_jobs IS 'Most jobs in processing at a time; null for no limit.';


--
-- Name: COLUMN ocr_settings.backoff_base; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_settings.backoff_base IS 'Base of the exponential backoff: a retry waits a random time between 0 and
least(backoff_cap, backoff_base * 2^attempt).';


--
-- Name: COLUMN ocr_settings.backoff_cap; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_settings.backoff_cap IS 'Longest backoff.';


--
-- Name: COLUMN ocr_settings.circuit_threshold; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_settings.circuit_threshold IS 'Infrastructure errors within circuit_window that open the circuit.';


--
-- Name: COLUMN ocr_settings.circuit_window; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_settings.circuit_window IS 'Window in which infrastructure errors are counted.';


--
-- Name: COLUMN ocr_settings.circuit_cooldown; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_settings.circuit_cooldown IS 'How long an open circuit lets nothing through before one job probes.';


--
-- Name: COLUMN ocr_settings.require_lease_token; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_settings.require_lease_token IS 'Refuse every result that comes without a lease token.';


--
-- Name: COLUMN ocr_settings.require_source_hash; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_settings.require_source_hash IS 'Refuse every result that comes without the hash of the bytes it was read from.';


--
-- Name: COLUMN ocr_settings.word_count_tolerance; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_settings.word_count_tolerance IS 'Largest accepted difference between the offered and the counted words, as a share of
the counted ones (0.2 = 20 %); null: not checked, since scripts count differently.';


--
-- Name: COLUMN ocr_settings.foreign_text_policy; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_settings.foreign_text_policy IS 'What to do with a text that a document with another file already carries: off (do not
look), record (write it, leave an incident) or refuse (G7).';


--
-- Name: COLUMN ocr_settings.foreign_text_min_words; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_settings.foreign_text_min_words IS 'Shorter texts are not compared.';


--
-- Name: COLUMN ocr_settings.expiry_sweep_interval; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_settings.expiry_sweep_interval IS 'How often claims look for expired leases.';


--
-- Name: COLUMN ocr_settings.guard_mode; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_settings.guard_mode IS 'What becomes of plain SQL that breaks a guarantee: enforce (refused) or observe
(recorded as an incident, and let through). Changed by set_guard_mode().';


--
-- Name: list_ocr_findings(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.list_ocr_findings() RETURNS TABLE(kind text, document_id uuid, job_id uuid, detail text)
    LANGUAGE sql STABLE
    SET search_path TO 'public', 'pg_temp'
    SET jit TO 'off'
    BEGIN ATOMIC
 WITH suspect AS MATERIALIZED (
          SELECT s.id,
             s.ocr_status,
             s.has_lease,
             s.kind
            FROM ( SELECT d.id,
                     d.ocr_status,
                     (d.ocr_lease_token IS NOT NULL) AS has_lease,
                         CASE d.ocr_status
                             WHEN 'completed'::text THEN
                             CASE
                                 WHEN ((d.ocr_text IS NULL) OR (d.ocr_confidence IS NULL) OR (d.ocr_word_count IS NULL)) THEN 'completed_without_result'::text
                                 WHEN (d.ocr_lease_token IS NOT NULL) THEN 'lease_without_processing'::text
                                 WHEN (d.ocr_source_hash <> d.file_hash) THEN 'replaced_file_result'::text
                                 ELSE NULL::text
                             END
                             WHEN 'pending'::text THEN
                             CASE
                                 WHEN (d.ocr_text IS NOT NULL) THEN 'result_without_completion'::text
                                 WHEN (d.ocr_lease_token IS NOT NULL) THEN 'lease_without_processing'::text
                                 WHEN (d.updated_at < (now() - '01:00:00'::interval)) THEN 'pending_without_job'::text
                                 ELSE NULL::text
                             END
                             WHEN 'processing'::text THEN
                             CASE
                                 WHEN (d.ocr_text IS NOT NULL) THEN 'result_without_completion'::text
                                 ELSE 'processing_without_job'::text
                             END
                             WHEN 'failed'::text THEN
                             CASE
                                 WHEN (d.ocr_text IS NOT NULL) THEN 'result_without_completion'::text
                                 WHEN (d.ocr_lease_token IS NOT NULL) THEN 'lease_without_processing'::text
                                 ELSE NULL::text
                             END
                             ELSE 'invalid_status'::text
                         END AS kind
                    FROM public.documents d) s
           WHERE (s.kind = ANY (ARRAY['completed_without_result'::text, 'lease_without_processing'::text, 'replaced_file_result'::text, 'result_without_completion'::text, 'pending_without_job'::text, 'processing_without_job'::text, 'invalid_status'::text]))
         ), live_job AS (
          SELECT q.document_id,
             count(*) AS jobs,
             bool_or((q.status = 'processing'::text)) AS is_processing
            FROM public.ocr_queue q
           WHERE (q.status = ANY (ARRAY['pending'::text, 'processing'::text]))
           GROUP BY q.document_id
         ), wrong_document AS (
          SELECT s.id,
             s.ocr_status,
                 CASE
                     WHEN ((s.kind = 'pending_without_job'::text) AND (j.document_id IS NOT NULL)) THEN NULL::text
                     WHEN ((s.kind = 'processing_without_job'::text) AND j.is_processing) THEN
                     CASE
                         WHEN (NOT s.has_lease) THEN 'lease_without_processing'::text
                         ELSE NULL::text
                     END
                     ELSE s.kind
                 END AS kind
            FROM (suspect s
              LEFT JOIN live_job j ON ((j.document_id = s.id)))
         ), job AS MATERIALIZED (
          SELECT q.id,
             q.document_id,
             q.status,
             q.created_at,
             (q.attempts >= q.max_attempts) AS is_exhausted,
             ( SELECT COALESCE(d.ocr_status, ''::text) AS "coalesce"
                    FROM public.documents d
                   WHERE (d.id = q.document_id)) AS document_status
            FROM public.ocr_queue q
         ), wrong_job AS MATERIALIZED (
          SELECT s.id,
             s.document_id,
             s.document_status,
             s.kind
            FROM ( SELECT j.id,
                     j.document_id,
                     j.document_status,
                         CASE
                             WHEN (j.document_status IS NULL) THEN 'orphaned_job'::text
                             WHEN (j.status = 'failed'::text) THEN NULL::text
                             WHEN (j.document_status = 'completed'::text) THEN 'job_of_completed_document'::text
                             WHEN ((j.status = ANY (ARRAY['pending'::text, 'processing'::text])) IS NOT TRUE) THEN NULL::text
                             WHEN ((j.document_id IN ( SELECT l.document_id
                                FROM live_job l
                               WHERE (l.jobs > 1))) AND (EXISTS ( SELECT
                                FROM public.ocr_queue o
                               WHERE ((o.document_id = j.document_id) AND (o.status = ANY (ARRAY['pending'::text, 'processing'::text])) AND (ROW(o.created_at, o.id) < ROW(j.created_at, j.id)))))) THEN 'duplicate_live_job'::text
                             WHEN ((j.status = 'processing'::text) AND (j.document_status <> ALL (ARRAY['processing'::text, ''::text]))) THEN 'job_without_processing_document'::text
                             WHEN (j.document_status = 'failed'::text) THEN 'job_of_failed_document'::text
                             WHEN ((j.status = 'pending'::text) AND j.is_exhausted) THEN 'exhausted_pending_job'::text
                             ELSE NULL::text
                         END AS kind
                    FROM job j) s
           WHERE (s.kind IS NOT NULL)
         ), repeated_hash AS MATERIALIZED (
          SELECT d.ocr_text_hash
            FROM public.documents d
           WHERE (d.ocr_text_hash IS NOT NULL)
           GROUP BY d.ocr_text_hash
          HAVING (count(*) > 1)
         ), repeated_text AS (
          SELECT d.id,
             d.ocr_word_count,
             count(*) OVER w AS documents,
             count(d.file_hash) OVER w AS known_files,
             min(d.file_hash) OVER w AS one_file,
             max(d.file_hash) OVER w AS another_file
            FROM public.documents d
           WHERE (d.ocr_text_hash = ANY (ARRAY( SELECT h.ocr_text_hash
                    FROM repeated_hash h)))
           WINDOW w AS (PARTITION BY d.ocr_text_hash)
         ), changed_file AS MATERIALIZED (
          SELECT c.document_id,
             c.checked_at
            FROM (public.ocr_file_checks c
              JOIN public.documents d ON ((d.id = c.document_id)))
           WHERE (c.present AND (c.actual_hash <> d.file_hash))
         )
  SELECT w.kind,
     w.id,
     NULL::uuid,
         CASE w.kind
             WHEN 'invalid_status'::text THEN format('ocr_status is %s'::text, COALESCE(w.ocr_status, 'null'::text))
             WHEN 'completed_without_result'::text THEN 'completed, but text, confidence or word count is missing'::text
             WHEN 'result_without_completion'::text THEN format('%s, but it carries a text'::text, w.ocr_status)
             WHEN 'processing_without_job'::text THEN 'processing, but no job works on it'::text
             WHEN 'lease_without_processing'::text THEN format('%s, but the lease does not fit that'::text, w.ocr_status)
             WHEN 'pending_without_job'::text THEN 'pending for more than an hour, but no job is enqueued'::text
             WHEN 'replaced_file_result'::text THEN 'the result was read from a file that has been replaced since'::text
             ELSE NULL::text
         END AS "case"
    FROM wrong_document w
   WHERE (w.kind IS NOT NULL)
 UNION ALL
  SELECT w.kind,
     w.document_id,
     w.id,
         CASE w.kind
             WHEN 'orphaned_job'::text THEN 'its document does not exist'::text
             WHEN 'job_of_completed_document'::text THEN 'its document is completed'::text
             WHEN 'job_of_failed_document'::text THEN 'its document is failed'::text
             WHEN 'job_without_processing_document'::text THEN format('processing, but its document is %s'::text, w.document_status)
             WHEN 'duplicate_live_job'::text THEN 'its document has an older live job'::text
             WHEN 'exhausted_pending_job'::text THEN 'pending, but its attempts are used up'::text
             ELSE NULL::text
         END AS "case"
    FROM wrong_job w
 UNION ALL
  SELECT 'missing_file'::text,
     c.document_id,
     NULL::uuid,
     format('the file was not there at %s'::text, c.checked_at) AS format
    FROM public.ocr_file_checks c
   WHERE (NOT c.present)
 UNION ALL
  SELECT 'changed_file'::text,
     c.document_id,
     NULL::uuid,
     format('the file had another SHA-256 at %s'::text, c.checked_at) AS format
    FROM changed_file c
 UNION ALL
  SELECT 'shared_text'::text,
     t.id,
     NULL::uuid,
     format('%s documents with different files carry this text'::text, t.documents) AS format
    FROM (repeated_text t
      CROSS JOIN public.ocr_settings s)
   WHERE (s.id AND (t.ocr_word_count >= s.foreign_text_min_words) AND ((t.known_files < t.documents) OR (t.one_file <> t.another_file)))
 UNION ALL
  SELECT 'broken_constraint'::text,
     b.document_id,
     b.job_id,
     format('it breaks %s'::text, b.constraint_name) AS format
    FROM public.list_broken_guards() b(document_id, job_id, constraint_name)
   WHERE (((b.job_id IS NOT NULL) OR (NOT (b.document_id IN ( SELECT w.id
            FROM wrong_document w
           WHERE ((w.kind IS NOT NULL) AND (w.ocr_status IS NOT NULL)))))) AND ((NOT (b.job_id IN ( SELECT w.id
            FROM wrong_job w))) IS NOT FALSE))
 UNION ALL
  SELECT 'changed_object'::text,
     NULL::uuid,
     NULL::uuid,
     format('the %s %s is %s'::text, s.kind, s.identity,
         CASE
             WHEN (o.identity IS NULL) THEN 'missing'::text
             ELSE 'another one'::text
         END) AS format
    FROM (public.ocr_schema_objects s
      LEFT JOIN public.list_loaded_objects() o(kind, identity, definition, version) ON (((o.kind = s.kind) AND (o.identity = s.identity))))
   WHERE (o.definition IS DISTINCT FROM s.definition);
END;


--
-- Name: FUNCTION list_ocr_findings(); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.list_ocr_findings() IS 'Internal. Every finding about documents, jobs, files and the package''s own objects:
kind, document, job, in words.';


--
-- Name: lock_live_lease(uuid, uuid); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.lock_live_lease(p_document_id uuid, p_lease_token uuid) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
declare
    v_live_token uuid;
begin
    select d.ocr_lease_token into v_live_token
    from documents as d
    where d.id = p_document_id
    for no key update;
    return coalesce(v_live_token = p_lease_token, false);
end;
$$;


--
-- Name: FUNCTION lock_live_lease(p_document_id uuid, p_lease_token uuid); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.lock_live_lease(p_document_id uuid, p_lease_token uuid) IS 'Internal. Locks the document and says whether the token is its live lease token.';


--
-- Name: lock_ocr_documents(uuid[]); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.lock_ocr_documents(p_document_ids uuid[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
declare
    v_busy documents.id%type;
begin
    if cardinality(p_document_ids) <= 1 then
        perform from documents as d
        where d.id = any(p_document_ids)
        for no key update;
        return;
    end if;

    loop
        begin
            perform from documents as d
            where d.id = any(p_document_ids)
            order by d.id
            for no key update nowait;
            return;
        exception
            when lock_not_available then
                null;
        end;

        begin
            select b.id into v_busy
            from unnest(p_document_ids) as b (id)
            where not exists (
                select from (
                    select d.id from documents as d
                    where d.id = b.id
                    for no key update skip locked
                ) as f
            )
            and exists (select from documents as d where d.id = b.id)
            limit 1;
            -- looking has locked the free ones that it passed
            raise exception using errcode = 'OG000', message = 'let go';
        exception
            when sqlstate 'OG000' then
                null;
        end;

        begin
            perform from documents as d where d.id = v_busy for no key update;
            raise exception using errcode = 'OG000', message = 'let go';
        exception
            when sqlstate 'OG000' then
                null;
        end;
    end loop;
end;
$$;


--
-- Name: FUNCTION lock_ocr_documents(p_document_ids uuid[]); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.lock_ocr_documents(p_document_ids uuid[]) IS 'Internal. Locks the given documents for no key update until the transaction ends; ids
that do not exist are passed over. Waits for whoever holds one of them, but holds none
while it waits (G12). Raises 55P03 at lock_timeout, 40001 at REPEATABLE READ.';


--
-- Name: lock_ocr_offers(public.ocr_result[]); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.lock_ocr_offers(p_results public.ocr_result[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
declare
    v_policy text;
    v_min_words integer;
begin
    perform lock_ocr_documents(
        array(
            select distinct r.document_id
            from unnest(p_results) as r
            where r.document_id is not null
        )
    );

    select s.foreign_text_policy, s.foreign_text_min_words
    into strict v_policy, v_min_words
    from ocr_settings as s
    where s.id;
    if v_policy = 'refuse' then
        perform pg_advisory_xact_lock(h.hash)
        from (
            select distinct hash_ocr_text(r.ocr_text) as hash
            from unnest(p_results) as r
            where is_text_compared(r.ocr_text, r.word_count, v_min_words)
            order by 1
        ) as h;
    end if;
end;
$$;


--
-- Name: FUNCTION lock_ocr_offers(p_results public.ocr_result[]); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.lock_ocr_offers(p_results public.ocr_result[]) IS 'Internal. Locks the documents of the given results and, under the policy refuse, their
texts, until the transaction ends.';


--
-- Name: lock_resource(text, interval); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.lock_resource(p_name text, p_timeout interval DEFAULT '00:00:00'::interval) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
declare
    v_key bigint;
    v_lock_timeout constant text := current_setting('lock_timeout');
begin
    if p_name is null or p_name !~ '[^[:space:]]' then
        perform reject_argument('p_name', 'the name of the resource', p_name);
    end if;
    if (p_timeout between interval '0' and interval '1 day') is not true then
        perform reject_argument('p_timeout', 'between 0 and 1 day', p_timeout::text);
    end if;

    v_key := hashtextextended('ocr_guardrails.lock_resource.' || p_name, 0);
    if pg_try_advisory_xact_lock(v_key) then
        return true;
    end if;
    -- lock_timeout counts whole milliseconds, and 0 would mean for ever
    if p_timeout < interval '1 millisecond' then
        return false;
    end if;
    begin
        perform set_config(
            'lock_timeout',
            ceil(extract(epoch from p_timeout) * 1000)::bigint::text,
            true
        );
        perform pg_advisory_xact_lock(v_key);
        perform set_config('lock_timeout', v_lock_timeout, true);
    exception
        when lock_not_available then
            return false;
    end;
    return true;
end;
$$;


--
-- Name: FUNCTION lock_resource(p_name text, p_timeout interval); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.lock_resource(p_name text, p_timeout interval) IS 'Takes the advisory lock of that name until the transaction ends. Waits for it no longer
than p_timeout (0: not at all; at most 1 day). Returns whether the lock is held. The
same transaction may take it again. Raises 22023 without a name or for a timeout out of
range.';


--
-- Name: notify_ocr_workers(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.notify_ocr_workers() RETURNS void
    LANGUAGE sql
    SET search_path TO 'public', 'pg_temp'
    BEGIN ATOMIC
 SELECT pg_notify('ocr_jobs'::text, ("current_schema"())::text) AS pg_notify;
END;


--
-- Name: FUNCTION notify_ocr_workers(); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.notify_ocr_workers() IS 'Internal. Wakes workers that listen on the channel ocr_jobs; the payload is the schema.
Where NOTIFY does not arrive (transaction poolers) workers poll.';


--
-- Name: observe_ocr_update(public.documents, public.documents, text); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.observe_ocr_update(p_old public.documents, p_new public.documents, p_errcode text) RETURNS public.documents
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
declare
    v_new documents := p_new;
    v_statement constant text := format('%s %s', statement_timestamp(), p_errcode);
begin
    if (select s.guard_mode from ocr_settings as s where s.id) <> 'observe' then
        return null;
    end if;

    if current_setting('ocr_guardrails.observed', true) is distinct from v_statement
    then
        perform set_config('ocr_guardrails.observed', v_statement, true);
        insert into ocr_incidents (
            reason, document_id, job_id, worker_id, offered_token, live_token,
            actual_filename, actual_hash, text_length, text_hash, statement, detail
        )
        select
            'unsafe_statement', p_old.id, q.id, q.worker_id,
            nullif(p_new.ocr_result_token, p_old.ocr_result_token),
            p_old.ocr_lease_token, p_old.filename, p_old.file_hash,
            length(p_new.ocr_text), hash_ocr_text(p_new.ocr_text),
            strip_literals(current_query()),
            format(
                '%s: from %s to %s%s',
                p_errcode,
                coalesce(p_old.ocr_status, 'null'),
                coalesce(p_new.ocr_status, 'null'),
                case
                    when p_new.ocr_text is distinct from p_old.ocr_text
                        then ', with another text'
                end
            )
        from (values (true)) as o (one)
        left join lateral (
            select o.id, o.worker_id
            from ocr_queue as o
            where o.document_id = p_old.id and o.status = 'processing'
            limit 1
        ) as q on true;
    end if;

    -- by its time trigger_cleanup_completed_ocr_queue knows that there is a result
    if v_new.ocr_status = 'completed'
        and p_old.ocr_status is distinct from 'completed'
        and v_new.ocr_completed_at is not distinct from p_old.ocr_completed_at
    then
        v_new.ocr_completed_at := clock_timestamp();
    end if;
    -- the columns of the package follow what the statement has made of the row
    v_new.ocr_claims := p_old.ocr_claims;
    if v_new.ocr_status is distinct from 'processing' then
        v_new.ocr_lease_token := null;
    elsif p_old.ocr_status is distinct from 'processing' then
        -- nobody may come and write under a lease that no claim has made
        v_new.ocr_lease_token := null;
    else
        v_new.ocr_lease_token := p_old.ocr_lease_token;
    end if;
    if v_new.ocr_text is distinct from p_old.ocr_text then
        v_new.ocr_text_hash := hash_ocr_text(v_new.ocr_text);
        if v_new.ocr_result_token is not distinct from p_old.ocr_result_token then
            v_new.ocr_result_token := null;
        end if;
        if v_new.ocr_source_hash is not distinct from p_old.ocr_source_hash then
            v_new.ocr_source_hash := null;
        end if;
        if v_new.ocr_engine is not distinct from p_old.ocr_engine then
            v_new.ocr_engine := null;
        end if;
    end if;
    return v_new;
end;
$$;


--
-- Name: FUNCTION observe_ocr_update(p_old public.documents, p_new public.documents, p_errcode text); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.observe_ocr_update(p_old public.documents, p_new public.documents, p_errcode text) IS 'Internal. Null while guard_mode is enforce. While it is observe: records an UPDATE that
breaks the rule p_errcode as the incident unsafe_statement, once per statement, and
returns the row that is to be stored: what the UPDATE wants, with the package''s own
columns in keeping.';


--
-- Name: offer_ocr_batch(public.ocr_result[], json); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.offer_ocr_batch(p_results public.ocr_result[], p_json json DEFAULT NULL::json) RETURNS TABLE(document_id uuid, outcome text, detail text)
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
declare
    v_is_whole boolean := p_results is not null;
    v_results ocr_result [] := p_results;
    v_elements json [];
    v_document_ids ocr_id_types.document_ids%type;
    v_outcomes text [];
    v_details text [];
begin
    if v_is_whole then
        begin
            select
                array_agg(o.document_id order by o.ordinal),
                array_agg(o.outcome order by o.ordinal),
                array_agg(o.detail order by o.ordinal)
            into v_document_ids, v_outcomes, v_details
            from offer_ocr_results(v_results) as o;
        exception
            when transaction_rollback then
                raise;
            -- nothing is swallowed: what else it was comes again, element by element
            when others then
                v_is_whole := false;
        end;
    end if;
    if not v_is_whole then
        if p_json is not null then
            v_elements := array(
                select e.value
                from json_array_elements(p_json) with ordinality as e (value, n)
                order by e.n
            );
            v_results := array(
                select read_ocr_result(e.value)
                from unnest(v_elements) with ordinality as e (value, n)
                order by e.n
            );
        end if;
        perform lock_ocr_offers(v_results);
        select
            array_agg((v_results[i.n]).document_id order by i.n),
            array_agg(o.outcome order by i.n),
            array_agg(o.detail order by i.n)
        into v_document_ids, v_outcomes, v_details
        from generate_subscripts(v_results, 1) as i (n)
        cross join lateral offer_ocr_element(v_elements[i.n], v_results[i.n]) as o;
    end if;

    if 'rejected_by_database' = any(v_outcomes) then
        perform fail_rejected_job(v_results[i.n], v_details[i.n])
        from generate_subscripts(v_outcomes, 1) as i (n)
        where v_outcomes[i.n] = 'rejected_by_database';
    end if;
    return query
    select r.document_id, r.outcome, r.detail
    from unnest(v_document_ids, v_outcomes, v_details)
        as r (document_id, outcome, detail);
end;
$$;


--
-- Name: FUNCTION offer_ocr_batch(p_results public.ocr_result[], p_json json); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.offer_ocr_batch(p_results public.ocr_result[], p_json json) IS 'Internal. Offers many results so that one bad one does not take the others down, and
fails the jobs of those that the database rejected. p_json is the array that the results
came as, if they did; p_results is null where it could not be read as a whole. Returns
one row for each, in order.';


--
-- Name: offer_ocr_element(json, public.ocr_result); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.offer_ocr_element(p_element json, p_result public.ocr_result, OUT outcome text, OUT detail text) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
begin
    begin
        select o.outcome, o.detail
        into strict outcome, detail
        from offer_ocr_results(
            array[
                case
                    when p_element is null then p_result
                    else json_populate_record(null::ocr_result, p_element)
                end
            ]
        ) as o;
        return;
    exception
        -- not about this element: the transaction, the server or the installation is in
        -- trouble, and the caller has to repeat the whole call
        when transaction_rollback or invalid_transaction_state or insufficient_resources
        or object_not_in_prerequisite_state or operator_intervention or system_error
        or syntax_error_or_access_rule_violation
        then
            raise;
        when others then
            detail := format('%s: %s', sqlstate, sqlerrm);
    end;

    outcome := 'rejected_by_database';
    insert into ocr_incidents (
        reason, document_id, job_id, worker_id, offered_token, live_token,
        expected_filename, actual_filename, offered_hash, actual_hash, text_length,
        text_hash, detail
    )
    select
        outcome, (p_result).document_id, q.id, q.worker_id, (p_result).lease_token,
        d.ocr_lease_token, (p_result).expected_filename, d.filename,
        (p_result).source_hash, d.file_hash, length((p_result).ocr_text),
        hash_ocr_text((p_result).ocr_text), detail
    from (values (true)) as o (one)
    left join documents as d on d.id = (p_result).document_id
    left join ocr_queue as q on q.document_id = d.id and q.status = 'processing';
end;
$$;


--
-- Name: FUNCTION offer_ocr_element(p_element json, p_result public.ocr_result, OUT outcome text, OUT detail text); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.offer_ocr_element(p_element json, p_result public.ocr_result, OUT outcome text, OUT detail text) IS 'Internal. Offers one result of a batch by itself; where it came as json, p_result is
what read_ocr_result() could read of p_element. An error that reading or writing it
raises becomes the outcome rejected_by_database with SQLSTATE and message, and an
incident.';


--
-- Name: offer_ocr_results(public.ocr_result[]); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.offer_ocr_results(p_results public.ocr_result[]) RETURNS TABLE(ordinal integer, document_id uuid, outcome text, detail text)
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
declare
    v_result ocr_result;
    v_answer record;
    v_is_dependent boolean := false;
    v_ordinal integer := 0;
begin
    if cardinality(p_results) > 1 then
        select
            count(*) <> count(distinct r.document_id)
            or count(h.hash) <> count(distinct h.hash)
        into v_is_dependent
        from ocr_settings as s
        cross join unnest(p_results) as r
        left join lateral (
            select hash_ocr_text(r.ocr_text)
            where is_text_compared(r.ocr_text, r.word_count, s.foreign_text_min_words)
        ) as h (hash) on true
        where s.id;
    end if;
    if v_is_dependent then
        perform lock_ocr_offers(p_results);
        foreach v_result in array p_results loop
            v_ordinal := v_ordinal + 1;
            return query
            select v_ordinal, o.document_id, o.outcome, o.detail
            from offer_ocr_results(array[v_result]) as o;
        end loop;
        return;
    end if;

    v_answer := write_ocr_results(p_results);
    if v_answer.is_complete then
        return query
        select r.ordinal::integer, r.document_id, 'written', null
        from unnest(p_results) with ordinality as r (
            document_id, expected_filename, ocr_text, confidence, word_count,
            processing_time_ms, lease_token, source_hash, engine, ordinal
        );
        return;
    end if;
    return query
    select e.ordinal, e.document_id, e.outcome, e.detail
    from record_ocr_refusals(
        p_results, v_answer.written, v_answer.foreign_ids
    ) as e;
end;
$$;


--
-- Name: FUNCTION offer_ocr_results(p_results public.ocr_result[]); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.offer_ocr_results(p_results public.ocr_result[]) IS 'Internal. Offers results for documents: writes what may be written and records an
incident for what may not (G10). Returns the outcome of each element, in order. An error
that the write itself raises goes through to the caller.';


--
-- Name: pause_ocr_queue(text); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.pause_ocr_queue(p_reason text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
begin
    if p_reason is null or p_reason !~ '[^[:space:]]' then
        perform reject_argument('p_reason', 'the reason of the pause', p_reason);
    end if;
    update ocr_queue_state as t
    set
        paused_at = clock_timestamp(),
        paused_by = session_user,
        paused_reason = p_reason
    where t.id and t.paused_at is null;
    return found;
end;
$$;


--
-- Name: FUNCTION pause_ocr_queue(p_reason text); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.pause_ocr_queue(p_reason text) IS 'From now on claims return nothing; jobs in hand are finished normally. Returns false
when the queue was paused already (its reason stays). Raises 22023 without a reason.';


--
-- Name: raise_final_result(uuid, text); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.raise_final_result(p_document_id uuid, p_change text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
begin
    raise exception using
        errcode = 'OG003',
        message = format(
            'the OCR result of document %s is final: %s', p_document_id, p_change
        ),
        detail = 'A completed document keeps its text, confidence, word count and '
            'status (G4).',
        hint = 'To process it again call requeue_document(); it keeps the old result.';
end;
$$;


--
-- Name: FUNCTION raise_final_result(p_document_id uuid, p_change text); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.raise_final_result(p_document_id uuid, p_change text) IS 'Internal. Raises OG003: a completed document''s result would change.';


--
-- Name: read_claim_marks(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.read_claim_marks() RETURNS timestamp with time zone[]
    LANGUAGE plpgsql STABLE
    SET search_path TO 'public', 'pg_temp'
    AS $$
begin
    return array(
        select coalesce(to_timestamp(u.mark / 1e6), '-infinity')
        from unnest(array[
            (select nullif(m.last_value, 0) from ocr_claim_mark_0 as m),
            (select nullif(m.last_value, 0) from ocr_claim_mark_1 as m),
            (select nullif(m.last_value, 0) from ocr_claim_mark_2 as m),
            (select nullif(m.last_value, 0) from ocr_claim_mark_3 as m),
            (select nullif(m.last_value, 0) from ocr_claim_mark_4 as m),
            (select nullif(m.last_value, 0) from ocr_claim_mark_5 as m),
            (select nullif(m.last_value, 0) from ocr_claim_mark_6 as m),
            (select nullif(m.last_value, 0) from ocr_claim_mark_7 as m),
            (select nullif(m.last_value, 0) from ocr_claim_mark_8 as m),
            (select nullif(m.last_value, 0) from ocr_claim_mark_9 as m),
            (select nullif(m.last_value, 0) from ocr_claim_mark_10 as m)
        ]) with ordinality as u (mark, n)
        order by u.n
    );
end;
$$;


--
-- Name: FUNCTION read_claim_marks(); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.read_claim_marks() IS 'Internal. For each priority from 0 to 10 the time before which no pending job was due
when a claim last looked; -infinity where none was looked for.';


--
-- Name: read_ocr_result(json); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.read_ocr_result(p_element json) RETURNS public.ocr_result
    LANGUAGE plpgsql STABLE
    SET search_path TO 'public', 'pg_temp'
    AS $$
declare
    v_result ocr_result;
    v_readable json;
    v_key text;
begin
    return json_populate_record(null::ocr_result, p_element);
exception
    when data_exception then
        -- without what cannot be held; escaped backslashes and whole pairs stay
        v_readable := regexp_replace(
            p_element::text,
            '(\\\\|\\ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2})'
            '|\\u0000|\\ud[89a-f][0-9a-f]{2}',
            '\1',
            'gi'
        )::json;
        -- each key by itself, since each may be malformed
        foreach v_key in array array[
            'document_id', 'lease_token', 'expected_filename', 'ocr_text'
        ] loop
            begin
                v_result := json_populate_record(
                    v_result, json_build_object(v_key, v_readable -> v_key)
                );
            exception
                when data_exception then
                    null;
            end;
        end loop;
        return v_result;
end;
$$;


--
-- Name: FUNCTION read_ocr_result(p_element json); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.read_ocr_result(p_element json) IS 'Internal. One element of update_ocr_batch_safe() as a result; of an element that cannot
be read as a whole, its document, lease, filename and text as far as they can.';


--
-- Name: record_ocr_file_checks(uuid[], boolean[], text[]); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.record_ocr_file_checks(p_document_ids uuid[], p_present boolean[], p_actual_hashes text[]) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
declare
    v_count integer;
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
    if p_present is null
        or array_position(p_present, null) is not null
        or cardinality(p_present) <> cardinality(p_document_ids)
    then
        perform reject_argument(
            'p_present', 'true or false for each of p_document_ids',
            cardinality(p_present) || ' elements'
        );
    end if;
    if p_actual_hashes is null
        or cardinality(p_actual_hashes) <> cardinality(p_document_ids)
        or exists (
            select from unnest(p_actual_hashes) as h (hash)
            where not are_sha256_digits(h.hash)
        )
    then
        perform reject_argument(
            'p_actual_hashes',
            'null or a SHA-256 in 64 lower-case hexadecimal digits for each of '
            'p_document_ids',
            p_actual_hashes::text
        );
    end if;

    with
    -- The foreign key would wait for whoever deletes one of them, with others locked
    -- (G12), and then fail.
    known as materialized (
        select d.id
        from documents as d
        where d.id = any(p_document_ids)
        for key share skip locked
    )
    insert into ocr_file_checks as c (document_id, present, actual_hash)
    select distinct on (d.id) d.id, a.present, a.actual_hash
    from unnest(p_document_ids, p_present, p_actual_hashes)
        with ordinality as a (document_id, present, actual_hash, n)
    inner join known as d on d.id = a.document_id
    order by d.id, a.n desc
    on conflict (document_id) do update
        set
            present = excluded.present,
            actual_hash = excluded.actual_hash,
            checked_at = excluded.checked_at;
    get diagnostics v_count = row_count;
    return v_count;
end;
$$;


--
-- Name: FUNCTION record_ocr_file_checks(p_document_ids uuid[], p_present boolean[], p_actual_hashes text[]); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.record_ocr_file_checks(p_document_ids uuid[], p_present boolean[], p_actual_hashes text[]) IS 'Records what a look at the files of documents found: whether each was present, and its
SHA-256 where it was read. Read by validate_database_consistency(). Returns how many;
documents that do not exist are passed over. Raises 22023 for arrays that differ in
length or hold what they must not.';


--
-- Name: record_ocr_refusals(public.ocr_result[], bigint[], uuid[]); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.record_ocr_refusals(p_results public.ocr_result[], p_written bigint[], p_foreign_ids uuid[]) RETURNS TABLE(ordinal integer, document_id uuid, outcome text, detail text)
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    AS $$
begin
    return query
    with
    judged as materialized (
        select
            r.*,
            d.ocr_status,
            case
                when w.ordinal is null then d.ocr_lease_token else d.ocr_result_token
            end as live_token,
            d.filename,
            d.file_hash,
            i.invalid,
            f.id as foreign_id,
            case
                when w.ordinal is not null then 'written'
                when v.verdict in ('written', 'implausible_result')
                    and i.invalid is not null
                    then 'rejected_by_database'
                when v.verdict = 'written' and f.id is not null then 'foreign_text'
                when v.verdict = 'written' then 'rejected_by_database'
                else v.verdict
            end as outcome
        from ocr_settings as s
        cross join unnest(p_results) with ordinality as r (
            document_id, expected_filename, ocr_text, confidence, word_count,
            processing_time_ms, lease_token, source_hash, engine, ordinal
        )
        left join unnest(p_written, p_foreign_ids) as w (ordinal, foreign_id)
            on w.ordinal = r.ordinal
        left join documents as d on d.id = r.document_id
        left join lateral (
            select judge_ocr_result(
                d.ocr_status, d.ocr_lease_token, d.ocr_result_token, d.ocr_claims,
                d.filename, d.file_hash,
                r.lease_token, r.expected_filename, r.source_hash,
                r.ocr_text, r.confidence, r.word_count,
                s.require_lease_token, s.require_source_hash, s.word_count_tolerance
            )
            where w.ordinal is null
            -- inlined, but evaluated once
            offset 0
        ) as v (verdict) on true
        left join lateral (
            select find_invalid_result(
                r.document_id, r.expected_filename, r.ocr_text, r.confidence,
                r.word_count, r.processing_time_ms, r.source_hash
            )
            where w.ordinal is null
            offset 0
        ) as i (invalid) on true
        left join lateral (
            select w.foreign_id as id
            where w.foreign_id is not null
            union all
            select t.id
            from list_foreign_texts(
                d.id, d.file_hash, r.ocr_text, r.word_count,
                s.foreign_text_min_words
            ) as t (id)
            where v.verdict = 'written' and s.foreign_text_policy = 'refuse'
            limit 1
        ) as f on true
        where s.id
    ),
    described as materialized (
        select
            j.*,
            case j.outcome
                when 'document_missing' then 'there is no such document'
                when 'already_completed'
                    then 'the document was completed under another lease'
                when 'stale_lease'
                    then case
                        when j.ocr_status = 'processing'
                            then 'another lease is live: the job was reset and claimed '
                                'again'
                        else format(
                            'the document is %s: no lease is live', j.ocr_status
                        )
                    end
                when 'lease_required'
                    then 'no lease token was given, and the document was claimed more '
                        'than once or the setting require_lease_token is on'
                when 'filename_mismatch'
                    then format(
                        'the document''s filename is %L, not %L',
                        j.filename, j.expected_filename
                    )
                when 'source_mismatch'
                    then case
                        when j.source_hash is null
                            then 'no source hash was given, and the setting '
                                'require_source_hash is on'
                        else 'the text was read from other bytes than the document''s '
                            'file'
                    end
                when 'implausible_result'
                    then format(
                        '%s words and confidence %s do not fit a text of %s characters',
                        j.word_count, j.confidence, length(j.ocr_text)
                    )
                when 'rejected_by_database'
                    then coalesce(
                        '22023: ' || j.invalid,
                        '27000: a trigger on documents suppressed the update'
                    )
                when 'foreign_text'
                    then format('document %s carries this very text', j.foreign_id)
                when 'written'
                    then 'document ' || j.foreign_id || ' carries this very text'
            end as detail
        from judged as j
    ),
    incident as (
        insert into ocr_incidents (
            reason, document_id, job_id, worker_id, offered_token, live_token,
            expected_filename, actual_filename, offered_hash, actual_hash,
            text_length, text_hash, other_document_id, detail
        )
        select
            case when e.outcome = 'written' then 'foreign_text' else e.outcome end,
            e.document_id, q.id, q.worker_id, e.lease_token, e.live_token,
            e.expected_filename, e.filename, e.source_hash, e.file_hash,
            length(e.ocr_text), hash_ocr_text(e.ocr_text), e.foreign_id, e.detail
        from described as e
        left join lateral (
            select o.id, o.worker_id
            from ocr_queue as o
            where o.document_id = e.document_id and o.status = 'processing'
            union all
            -- the job is gone if this very offer was written
            select h.job_id, h.worker_id
            from ocr_job_history as h
            where
                h.document_id = e.document_id
                and h.lease_token = e.live_token
                and h.outcome = e.outcome
            limit 1
        ) as q on true
        where
            e.outcome not in ('written', 'already_written')
            or e.foreign_id is not null
    )
    select e.ordinal::integer, e.document_id, e.outcome, e.detail
    from described as e
    order by e.ordinal;
end;
$$;


--
-- Name: FUNCTION record_ocr_refusals(p_results public.ocr_result[], p_written bigint[], p_foreign_ids uuid[]); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.record_ocr_refusals(p_results public.ocr_result[], p_written bigint[], p_foreign_ids uuid[]) IS 'Internal. The outcome of each of the given results, in order, with its reason in words,
and an incident for each that was refused or whose text another document carries.
p_written are the ordinals of those that were written, p_foreign_ids the documents that
carry their texts, as far as the policy looks for them.';


--
-- Name: record_written_results(uuid[], public.ocr_queue[]); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.record_written_results(p_document_ids uuid[], p_jobs public.ocr_queue[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
begin
    insert into ocr_job_history
    select
        (form_result_history(
            d.id, d.ocr_engine, d.ocr_processing_time_ms, d.ocr_confidence,
            d.ocr_word_count, d.ocr_source_hash, d.ocr_result_token, j
        )).*
    from documents as d
    -- a dead job beside the live one is none of this attempt's
    left join unnest(p_jobs) as j on j.document_id = d.id and j.status <> 'failed'
    where d.id = any(p_document_ids);
end;
$$;


--
-- Name: FUNCTION record_written_results(p_document_ids uuid[], p_jobs public.ocr_queue[]); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.record_written_results(p_document_ids uuid[], p_jobs public.ocr_queue[]) IS 'Internal. Writes the history rows of documents that were completed in this transaction;
p_jobs are their jobs, which have been removed. A document whose job was deleted under
it gets its row too.';


--
-- Name: refresh_ocr_stats(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.refresh_ocr_stats() RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    SET jit TO 'off'
    AS $$
begin
    if not pg_try_advisory_xact_lock(
        hashtextextended('ocr_guardrails.refresh_ocr_stats', 0)
    ) then
        return false;
    end if;
    refresh materialized view concurrently ocr_stats;
    -- last, since it locks the default partition until the transaction ends
    perform create_ocr_history_partitions();
    return true;
end;
$$;


--
-- Name: FUNCTION refresh_ocr_stats(); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.refresh_ocr_stats() IS 'Refreshes ocr_stats; readers see the old figures until it is done. Also makes the
coming partitions of ocr_job_history. Returns false, without waiting, when another
session is refreshing it at this moment.';


--
-- Name: reject_argument(text, text, text); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.reject_argument(p_argument text, p_expected text, p_value text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
begin
    raise exception using
        errcode = 'invalid_parameter_value',
        message = format(
            '%s must be %s, not %s',
            p_argument,
            p_expected,
            coalesce(left(p_value, 200), 'null')
        ),
        hint = 'Nothing was changed. Correct the argument and call again.';
end;
$$;


--
-- Name: FUNCTION reject_argument(p_argument text, p_expected text, p_value text); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.reject_argument(p_argument text, p_expected text, p_value text) IS 'Internal. Raises 22023 with the argument''s name, the accepted range and the value.';


--
-- Name: release_lease_lock(text, bigint); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.release_lease_lock(p_name text, p_fence bigint) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
begin
    if p_name is null then
        perform reject_argument('p_name', 'the name of the lock', null);
    end if;
    if p_fence is null then
        perform reject_argument(
            'p_fence', 'the fence that acquire_lease_lock() returned', null
        );
    end if;
    -- the row stays, so that the next fence is a higher one
    update ocr_lease_locks as l
    set expires_at = clock_timestamp()
    where
        l.name = p_name
        and l.fence = p_fence
        and l.expires_at > clock_timestamp();
    return found;
end;
$$;


--
-- Name: FUNCTION release_lease_lock(p_name text, p_fence bigint); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.release_lease_lock(p_name text, p_fence bigint) IS 'Gives the named lock back. Returns false when the fence is not that of the present
holder, or the lock had expired. Raises 22023 on a null argument.';


--
-- Name: release_ocr_job(uuid, uuid); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.release_ocr_job(p_document_id uuid, p_lease_token uuid) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
begin
    perform check_lease_arguments(p_document_id, p_lease_token);
    if not lock_live_lease(p_document_id, p_lease_token) then
        return false;
    end if;
    perform from end_ocr_leases(
        array[p_document_id], 'released', null, 'retry', false
    );
    return true;
end;
$$;


--
-- Name: FUNCTION release_ocr_job(p_document_id uuid, p_lease_token uuid); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.release_ocr_job(p_document_id uuid, p_lease_token uuid) IS 'Gives a claimed job back without spending an attempt, as a worker does on shutdown.
Returns true, or false when the lease is no longer the caller''s (G2). Raises 22023 on a
null argument.';


--
-- Name: repair_broken_rows(uuid[], uuid[]); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.repair_broken_rows(p_locked_ids uuid[], p_job_ids uuid[]) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $_$
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
$_$;


--
-- Name: FUNCTION repair_broken_rows(p_locked_ids uuid[], p_job_ids uuid[]); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.repair_broken_rows(p_locked_ids uuid[], p_job_ids uuid[]) IS 'Internal. Puts right what the package''s constraints refuse in the given jobs and
documents, which are locked, where there is one right value. Returns how many rows it
changed.';


--
-- Name: repair_database_consistency(boolean); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.repair_database_consistency(p_dry_run boolean DEFAULT true) RETURNS TABLE(kind text, action text, affected bigint)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
declare
    v_case record;
    v_locked ocr_id_types.document_ids%type;
begin
    if p_dry_run is null then
        perform reject_argument('p_dry_run', 'true or false', null);
    end if;

    -- A loop because each kind has a remedy of its own; there are few.
    for v_case in
        select
            f.kind,
            count(*) as findings,
            array_agg(distinct f.document_id) as document_ids,
            array_agg(f.job_id) as job_ids
        from list_ocr_findings() as f
        group by f.kind
        order by f.kind
    loop
        kind := v_case.kind;
        action := case v_case.kind
            when 'orphaned_job' then 'delete the job'
            when 'job_of_completed_document' then 'delete the job'
            when 'duplicate_live_job' then 'delete the younger job'
            when 'processing_without_job' then 'enqueue the document again'
            when 'pending_without_job' then 'enqueue the document'
            when 'job_without_processing_document' then 'put the job back to pending'
            when 'job_of_failed_document' then 'put the document back to pending'
            when 'exhausted_pending_job' then 'fail job and document'
            when 'broken_constraint' then 'put right what has one right value'
            when 'changed_object' then 'none: migrate loads it again'
            when 'replaced_file_result'
                then 'none: requeue_document() reads the new file'
            when 'completed_without_result' then 'none: decide whether to requeue it'
            when 'missing_file' then 'none: bring the file back'
            when 'changed_file'
                then 'none: if the new file is right, set its file_hash and requeue it'
            when 'shared_text'
                then 'none: compare the documents, requeue_document() the wrong one'
            else 'none: needs a person'
        end;
        affected := v_case.findings;
        if p_dry_run or action like 'none:%' then
            affected := case when action like 'none:%' then 0 else affected end;
            return next;
            continue;
        end if;

        v_locked := array(
            select d.id
            from documents as d
            where d.id = any(v_case.document_ids)
            order by d.id
            for no key update skip locked
        );
        case v_case.kind
            when 'orphaned_job' then
                delete from ocr_queue as q
                where
                    q.id = any(v_case.job_ids)
                    -- a policy may hide the document, which is not to lose its job
                    and not row_security_active('documents')
                    and not exists (
                        select from documents as d where d.id = q.document_id
                    );
                get diagnostics affected = row_count;
            when 'job_of_completed_document' then
                delete from ocr_queue as q
                using documents as d
                where
                    d.id = q.document_id
                    and q.id = any(v_case.job_ids)
                    and d.id = any(v_locked)
                    and d.ocr_status = 'completed';
                get diagnostics affected = row_count;
            when 'duplicate_live_job' then
                delete from ocr_queue as q
                where
                    q.id = any(v_case.job_ids)
                    and q.document_id = any(v_locked)
                    and (
                        q.status = 'pending'
                        -- claimed without a lease, and that a long time ago
                        or (
                            q.lease_expires_at is null
                            and (q.started_at >= now() - interval '1 hour') is not true
                        )
                    );
                get diagnostics affected = row_count;
            when 'processing_without_job' then
                perform from end_ocr_leases(
                    array(
                        select d.id
                        from documents as d
                        where
                            d.id = any(v_locked)
                            and d.ocr_status = 'processing'
                            and not exists (
                                select from ocr_queue as q
                                where
                                    q.document_id = d.id and q.status = 'processing'
                            )
                    ),
                    'expired', 'repair: no job worked on it', 'retry', false
                );
                get diagnostics affected = row_count;
            when 'pending_without_job' then
                v_locked := array(
                    select d.id
                    from documents as d
                    where
                        d.id = any(v_locked)
                        and d.ocr_status = 'pending'
                        and not exists (
                            select from ocr_queue as q
                            where
                                q.document_id = d.id
                                and q.status in ('pending', 'processing')
                        )
                );
                affected := start_ocr_jobs(v_locked, 5, now(), null)::bigint;
            when 'job_without_processing_document' then
                update ocr_queue as q
                set
                    status = 'pending',
                    attempts = least(q.attempts, q.max_attempts - 1),
                    started_at = null,
                    heartbeat_at = null,
                    worker_id = null,
                    lease_expires_at = null,
                    progress_current = null,
                    progress_total = null
                from documents as d
                where
                    d.id = q.document_id
                    and q.id = any(v_case.job_ids)
                    and d.id = any(v_locked)
                    and q.status = 'processing'
                    and d.ocr_status in ('pending', 'failed');
                get diagnostics affected = row_count;
                update documents as d
                set ocr_status = 'pending', updated_at = clock_timestamp()
                where d.id = any(v_locked) and d.ocr_status = 'failed';
            when 'job_of_failed_document' then
                update documents as d
                set ocr_status = 'pending', updated_at = clock_timestamp()
                where
                    d.id = any(v_locked)
                    and d.ocr_status = 'failed'
                    and exists (
                        select from ocr_queue as q
                        where q.document_id = d.id and q.status = 'pending'
                    );
                get diagnostics affected = row_count;
            when 'exhausted_pending_job' then
                update ocr_queue as q
                set
                    status = 'failed',
                    completed_at = clock_timestamp(),
                    error_message = coalesce(q.error_message, 'attempts are used up')
                where
                    q.id = any(v_case.job_ids)
                    and q.document_id = any(v_locked)
                    and q.status = 'pending'
                    and q.attempts >= q.max_attempts;
                get diagnostics affected = row_count;
                update documents as d
                set
                    ocr_status = 'failed',
                    ocr_error = coalesce(d.ocr_error, 'attempts are used up'),
                    updated_at = clock_timestamp()
                where d.id = any(v_locked) and d.ocr_status = 'pending';
            when 'broken_constraint' then
                affected := repair_broken_rows(v_locked, v_case.job_ids);
        end case;
        return next;
    end loop;
end;
$$;


--
-- Name: FUNCTION repair_database_consistency(p_dry_run boolean); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.repair_database_consistency(p_dry_run boolean) IS 'Per kind of finding: what can be done without a person, and how many rows it concerns;
with p_dry_run (the default) nothing is changed. Never deletes or changes a result;
where only a person can decide, the action begins with none and says what to do.
Documents that are locked at this moment are left for the next call. Raises 22023 on
null.';


--
-- Name: report_ocr_progress(uuid, uuid, integer, integer); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.report_ocr_progress(p_document_id uuid, p_lease_token uuid, p_current integer, p_total integer) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
begin
    perform check_lease_arguments(p_document_id, p_lease_token);
    if (p_total >= 0) is not true then
        perform reject_argument('p_total', 'zero or more', p_total::text);
    end if;
    if (p_current between 0 and p_total) is not true then
        perform reject_argument(
            'p_current', format('between 0 and p_total (%s)', p_total), p_current::text
        );
    end if;

    if not lock_live_lease(p_document_id, p_lease_token) then
        return false;
    end if;
    update ocr_queue as q
    set
        heartbeat_at = clock_timestamp(),
        progress_current = p_current,
        progress_total = p_total
    where q.document_id = p_document_id and q.status = 'processing';
    return found;
end;
$$;


--
-- Name: FUNCTION report_ocr_progress(p_document_id uuid, p_lease_token uuid, p_current integer, p_total integer); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.report_ocr_progress(p_document_id uuid, p_lease_token uuid, p_current integer, p_total integer) IS 'Reports p_current of p_total pages as done, and a sign of life; does not extend the
lease. Returns false when the lease is no longer the caller''s (G2). Raises 22023 for
nulls, negative numbers or more pages than there are.';


--
-- Name: requeue_document(uuid, text, integer); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.requeue_document(p_document_id uuid, p_reason text, p_priority integer DEFAULT 5) RETURNS uuid
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
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
$$;


--
-- Name: FUNCTION requeue_document(p_document_id uuid, p_reason text, p_priority integer); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.requeue_document(p_document_id uuid, p_reason text, p_priority integer) IS 'Processes a document again, whatever its state: sets a completed result aside in
ocr_previous_results, ends a live lease (whoever holds it is fenced off, G2), and
enqueues a new job with all attempts. Returns the job. restore_previous_result() brings
the old result back. Raises OG001 when there is no such document, 22023 for a missing
reason or a priority outside 0 to 10.';


--
-- Name: reset_stuck_ocr_jobs(integer); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.reset_stuck_ocr_jobs(p_threshold_minutes integer DEFAULT 30) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
declare
    v_document_ids ocr_id_types.document_ids%type;
    v_count integer;
begin
    v_document_ids := array(
        select s.document_id from find_stuck_ocr_jobs(p_threshold_minutes) as s
    );
    v_document_ids := array(
        select d.id
        from documents as d
        where d.id = any(v_document_ids)
        order by d.id
        for no key update skip locked
    );
    v_document_ids := array(
        select s.document_id
        from find_stuck_ocr_jobs(p_threshold_minutes) as s
        where s.document_id = any(v_document_ids)
    );
    select count(*)::integer into v_count
    from end_ocr_leases(
        v_document_ids,
        'expired',
        format('reset: no sign of life for %s minutes', p_threshold_minutes),
        'retry',
        true
    );
    if v_count > 0 then
        perform notify_ocr_workers();
    end if;
    return v_count;
end;
$$;


--
-- Name: FUNCTION reset_stuck_ocr_jobs(p_threshold_minutes integer); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.reset_stuck_ocr_jobs(p_threshold_minutes integer) IS 'Returns what find_stuck_ocr_jobs() finds to pending, or to failed where attempts are
used up, document and job together; whoever still holds the lease is fenced off (G2).
Returns how many. A document that is locked at this moment is left for the next call.
Raises 22023 for a threshold outside 1 to 525600.';


--
-- Name: restart_replaced_job(uuid, uuid); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.restart_replaced_job(p_document_id uuid, p_lease_token uuid) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
declare
    v_now constant timestamptz := clock_timestamp();
begin
    insert into ocr_job_history (
        document_id, job_id, outcome, worker_id, attempt, priority, queued_at,
        started_at, finished_at, processing_time_ms, lease_token, error
    )
    select
        p_document_id, q.id, 'cancelled', q.worker_id, q.attempts, q.priority,
        q.created_at, q.started_at, v_now, elapsed_ms(q.started_at, v_now),
        p_lease_token, 'the file was replaced'
    from (values (true)) as o (one)
    left join ocr_queue as q
        on q.document_id = p_document_id and q.status = 'processing';

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
    where q.document_id = p_document_id and q.status = 'processing';
    if not found then
        -- its job was deleted under it; the new file must not wait for ever (G9)
        insert into ocr_queue (document_id)
        values (p_document_id)
        on conflict do nothing;
    end if;
end;
$$;


--
-- Name: FUNCTION restart_replaced_job(p_document_id uuid, p_lease_token uuid); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.restart_replaced_job(p_document_id uuid, p_lease_token uuid) IS 'Internal. Puts the running job of a document whose file was replaced back to pending
with all its attempts, and writes the history row (G1, G9, G10).';


--
-- Name: restore_previous_result(uuid); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.restore_previous_result(p_document_id uuid) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
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
$$;


--
-- Name: FUNCTION restore_previous_result(p_document_id uuid); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.restore_previous_result(p_document_id uuid) IS 'Brings the newest result back that requeue_document() set aside, and drops the job that
was to replace it; a live lease is fenced off (G2). Returns false when no result was set
aside. Raises OG001 when there is no such document, OG006 when it has a result.';


--
-- Name: resume_ocr_queue(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.resume_ocr_queue() RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
begin
    update ocr_queue_state as t
    set paused_at = null, paused_by = null, paused_reason = null
    where t.id and t.paused_at is not null;
    if not found then
        return false;
    end if;
    perform notify_ocr_workers();
    return true;
end;
$$;


--
-- Name: FUNCTION resume_ocr_queue(); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.resume_ocr_queue() IS 'Ends a pause and wakes the workers. Returns false when the queue was not paused.';


--
-- Name: retry_failed_ocr_jobs(integer, text); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.retry_failed_ocr_jobs(p_limit integer DEFAULT 100, p_error_like text DEFAULT NULL::text) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    AS $$
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
$$;


--
-- Name: FUNCTION retry_failed_ocr_jobs(p_limit integer, p_error_like text); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.retry_failed_ocr_jobs(p_limit integer, p_error_like text) IS 'Gives up to p_limit dead jobs a new start with all their attempts, longest dead first;
only those whose error matches p_error_like (a LIKE pattern), when given. Returns how
many. Completed documents are never touched. Raises 22023 for a limit outside 1 to
1000000.';


--
-- Name: return_expired_leases(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.return_expired_leases() RETURNS integer
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
declare
    v_now constant timestamptz := clock_timestamp();
    v_document_ids ocr_id_types.document_ids%type;
    v_count integer;
begin
    perform setval(
        'ocr_expiry_sweep_clock',
        (extract(epoch from v_now + s.expiry_sweep_interval) * 1000)::bigint
    )
    from ocr_settings as s
    where s.id;

    -- ids first, then the locks: an estimate of how many leases have expired must not
    -- choose the plan of the lookup in documents
    v_document_ids := array(
        select q.document_id
        from ocr_queue as q
        where q.status = 'processing' and q.lease_expires_at < v_now
    );
    v_document_ids := array(
        select d.id
        from documents as d
        where d.id = any(v_document_ids)
        order by d.id
        for no key update skip locked
    );
    -- again under the locks: a heartbeat may have come in between, or a plain UPDATE
    -- holds the job
    v_document_ids := array(
        select q.document_id
        from ocr_queue as q
        where
            q.document_id = any(v_document_ids)
            and q.status = 'processing'
            and q.lease_expires_at < v_now
        for update skip locked
    );
    if cardinality(v_document_ids) = 0 then
        return 0;
    end if;

    select count(*)::integer into v_count
    from end_ocr_leases(
        v_document_ids, 'expired', 'the lease expired', 'retry', true
    );
    return v_count;
end;
$$;


--
-- Name: FUNCTION return_expired_leases(); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.return_expired_leases() IS 'Internal. Returns jobs whose lease has expired to pending, or to failed where attempts
are used up (G9), and sets the time of the next look. Returns how many.';


--
-- Name: set_circuit_state(text, text, uuid, uuid); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.set_circuit_state(p_state text, p_error text, p_probe_document_id uuid DEFAULT NULL::uuid, p_probe_token uuid DEFAULT NULL::uuid) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
declare
    v_now constant timestamptz := clock_timestamp();
begin
    -- whoever holds the row is changing the circuit too; the next caller decides anew
    perform from ocr_queue_state as t where t.id for update skip locked;
    if not found then
        return;
    end if;
    update ocr_queue_state as t
    set
        circuit_state = p_state,
        circuit_changed_at = v_now,
        circuit_open_until = case
            when p_state = 'open' then v_now + s.circuit_cooldown
        end,
        circuit_last_error = coalesce(p_error, t.circuit_last_error),
        circuit_probe_document_id = p_probe_document_id,
        circuit_probe_token = p_probe_token
    from ocr_settings as s
    where t.id and s.id;
end;
$$;


--
-- Name: FUNCTION set_circuit_state(p_state text, p_error text, p_probe_document_id uuid, p_probe_token uuid); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.set_circuit_state(p_state text, p_error text, p_probe_document_id uuid, p_probe_token uuid) IS 'Internal. Changes the state of the circuit; passes silently when another session is
changing it at this moment.';


--
-- Name: set_claim_marks(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.set_claim_marks() RETURNS timestamp with time zone[]
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_sort TO 'off'
    SET jit TO 'off'
    AS $$
declare
    v_now constant timestamptz := clock_timestamp();
    v_now_ms constant bigint := (extract(epoch from v_now) * 1000)::bigint;
    v_whole_at_ms bigint;
    v_is_whole boolean;
    v_marks timestamptz [];
    v_walked bigint;
begin
    perform setval('ocr_claim_look_clock', v_now_ms + 100);
    select c.last_value into v_whole_at_ms from ocr_claim_whole_clock as c;
    -- a time far ahead was set by a clock that has been put back
    v_is_whole := (v_whole_at_ms between v_now_ms and v_now_ms + 60000) is not true;
    if v_is_whole then
        v_marks := array_fill(timestamptz '-infinity', array[11]);
    else
        v_marks := read_claim_marks();
    end if;

    v_walked := pg_stat_get_xact_tuples_returned('idx_ocr_queue_claim'::regclass);
    v_marks := array(
        select coalesce(
            least(
                (
                    select q.run_after
                    from ocr_queue as q
                    where
                        q.status = 'pending'
                        and q.priority = m.n - 1
                        and q.run_after >= m.mark
                    order by q.run_after
                    limit 1
                ),
                v_now - interval '1 second'
            ),
            v_now - interval '1 second'
        )
        from unnest(v_marks) with ordinality as m (mark, n)
        order by m.n
    );
    v_walked := pg_stat_get_xact_tuples_returned('idx_ocr_queue_claim'::regclass)
        - v_walked;

    if v_is_whole then
        if v_walked < 2000 then
            perform setval('ocr_claim_whole_clock', 0);
            return null;
        end if;
        perform setval(
            'ocr_claim_whole_clock',
            v_now_ms + least(
                30000,
                greatest(
                    100,
                    20 * 1000 * extract(epoch from clock_timestamp() - v_now)
                )
            )::bigint
        );
    end if;
    perform setval(
        format('ocr_claim_mark_%s', m.n - 1)::regclass,
        greatest(0, (extract(epoch from m.mark) * 1000000)::bigint)
    )
    from unnest(v_marks) with ordinality as m (mark, n);
    return v_marks;
end;
$$;


--
-- Name: FUNCTION set_claim_marks(); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.set_claim_marks() IS 'Internal. Looks where claims have to begin and remembers it, or, where they may as well
begin at the beginning, that there are no marks. Returns the marks, one per priority
from 0 to 10, or null.';


--
-- Name: set_guard_mode(text); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.set_guard_mode(p_mode text) RETURNS text
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
declare
    v_before text;
    v_stranded text;
    v_guard record;
begin
    if (p_mode in ('observe', 'enforce')) is not true then
        perform reject_argument('p_mode', 'observe or enforce', p_mode);
    end if;
    select s.guard_mode into strict v_before
    from ocr_settings as s
    where s.id
    for update;
    if p_mode = v_before then
        return v_before;
    end if;
    if not exists (select from ocr_adoption as a where a.kind = 'table') then
        raise exception using
            errcode = 'object_not_in_prerequisite_state',
            message = 'this installation has made its own tables, which always enforce',
            detail = 'Nothing was changed.',
            hint = 'Observing is for tables that were there before the package.';
    end if;

    if p_mode = 'enforce' then
        select string_agg(format('%s (%s)', f.kind, f.findings), ', ' order by f.kind)
        into v_stranded
        from (
            select f.kind, count(*) as findings
            from list_ocr_findings() as f
            where
                f.kind not in (
                    'changed_file', 'missing_file', 'pending_without_job',
                    'replaced_file_result', 'shared_text'
                )
            group by f.kind
        ) as f;
        if v_stranded is not null then
            raise exception using
                errcode = 'object_not_in_prerequisite_state',
                message = format('rows would be stranded: %s', v_stranded),
                detail = 'guard_mode stays observe.',
                hint = 'Call repair_database_consistency(false); '
                    'find_inconsistencies() lists what it leaves.';
        end if;
        update ocr_settings as s set guard_mode = 'enforce' where s.id;
        for v_guard in
            select a.id, a.statement
            from ocr_adoption as a
            where a.kind = 'guard' and not a.is_in_force
            order by a.id
        loop
            execute format('%s', v_guard.statement);
            update ocr_adoption as a set is_in_force = true where a.id = v_guard.id;
        end loop;
    else
        update ocr_settings as s set guard_mode = 'observe' where s.id;
        for v_guard in
            select a.id, a.undo
            from ocr_adoption as a
            where a.kind = 'guard' and a.is_in_force
            order by a.id desc
        loop
            execute format('%s', v_guard.undo);
            update ocr_adoption as a set is_in_force = false where a.id = v_guard.id;
        end loop;
    end if;
    return v_before;
end;
$$;


--
-- Name: FUNCTION set_guard_mode(p_mode text); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.set_guard_mode(p_mode text) IS 'Says what becomes of plain SQL that breaks a guarantee where tables were adopted:
observe (let through, recorded as the incident unsafe_statement) or enforce (refused).
With enforce the constraints of the package come into force, not valid yet for the rows
that are there; with observe they go. Returns the mode before. Raises 55000 while the
validator finds rows that enforcement would strand, and names the kinds, and where the
package has made its own tables; 22023 for another mode.';


--
-- Name: set_ocr_setting(text, text); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.set_ocr_setting(p_name text, p_value text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
declare
    v_constraint text;
begin
    if p_name = 'guard_mode' then
        raise exception using
            errcode = 'object_not_in_prerequisite_state',
            message = 'guard_mode is more than a setting',
            detail = 'Constraints come and go with it.',
            hint = 'Call set_guard_mode().';
    end if;
    if p_name is null or p_name = 'id' or not exists (
        select from pg_attribute as a
        where
            a.attrelid = 'ocr_settings'::regclass
            and a.attname = p_name
            and a.attnum > 0
            and not a.attisdropped
    ) then
        perform reject_argument(
            'p_name',
            'one of ' || (
                select string_agg(a.attname, ', ' order by a.attnum)
                from pg_attribute as a
                where
                    a.attrelid = 'ocr_settings'::regclass
                    and a.attnum > 0
                    and not a.attisdropped
                    and a.attname not in ('id', 'guard_mode')
            ),
            p_name
        );
    end if;

    begin
        execute format('update ocr_settings set %I = %L', p_name, p_value);
    exception
        when check_violation then
            get stacked diagnostics v_constraint = constraint_name;
            perform reject_argument(
                format('p_value for %s', p_name),
                (
                    select 'accepted by ' || pg_get_constraintdef(c.oid)
                    from pg_constraint as c
                    where
                        c.conrelid = 'ocr_settings'::regclass
                        and c.conname = v_constraint
                ),
                p_value
            );
        when not_null_violation or data_exception then
            perform reject_argument(
                format('p_value for %s', p_name),
                (
                    select 'a value of type ' || format_type(a.atttypid, a.atttypmod)
                    from pg_attribute as a
                    where a.attrelid = 'ocr_settings'::regclass and a.attname = p_name
                ),
                p_value
            );
    end;
end;
$$;


--
-- Name: FUNCTION set_ocr_setting(p_name text, p_value text); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.set_ocr_setting(p_name text, p_value text) IS 'Changes one column of ocr_settings; p_value as text, null only where the setting may be
null. In force for every call that begins afterwards. Raises 22023 for an unknown
setting, a value of the wrong type or out of range, and says what is accepted.';


--
-- Name: settle_displaced_jobs(timestamp with time zone, timestamp with time zone[]); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.settle_displaced_jobs(p_now timestamp with time zone, p_marks timestamp with time zone[]) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_sort TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    AS $$
declare
    v_leftovers ocr_id_types.document_ids%type;
    v_taken_over ocr_id_types.document_ids%type;
begin
    select
        array_agg(o.document_id) filter (where o.ocr_status = 'completed'),
        array_agg(o.document_id) filter (where o.ocr_status = 'processing')
    into v_leftovers, v_taken_over
    from generate_series(0, 10) as n (priority)
    cross join lateral (
        select
            q.document_id,
            d.ocr_status
        from ocr_queue as q
        inner join documents as d on d.id = q.document_id
        where
            q.status = 'pending'
            and q.priority = n.priority
            and q.run_after >= coalesce(p_marks[n.priority + 1], '-infinity')
            and q.run_after <= p_now
            and d.ocr_status in ('completed', 'processing')
        order by q.run_after
        limit 1000
        for no key update of d skip locked
        for update of q skip locked
    ) as o;

    if v_leftovers is not null then
        -- jobs that somebody enqueued by hand for completed documents (G4)
        delete from ocr_queue as q where q.document_id = any(v_leftovers);
    end if;
    if v_taken_over is not null then
        -- the job was put back by hand, the document was not: the attempt that this
        -- ends leaves its row like any other (G10)
        perform from end_ocr_leases(
            v_taken_over, 'expired', 'its job was put back by hand', 'retry', true
        );
    end if;
    return v_leftovers is not null or v_taken_over is not null;
end;
$$;


--
-- Name: FUNCTION settle_displaced_jobs(p_now timestamp with time zone, p_marks timestamp with time zone[]); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.settle_displaced_jobs(p_now timestamp with time zone, p_marks timestamp with time zone[]) IS 'Internal. Removes due jobs of completed documents and ends the leases of documents
whose jobs are pending, so that these can be claimed. p_marks as read_claim_marks()
gives them. Returns whether there were any.';


--
-- Name: start_ocr_jobs(uuid[], integer, timestamp with time zone, integer); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.start_ocr_jobs(p_document_ids uuid[], p_priority integer, p_run_after timestamp with time zone, p_max_attempts integer) RETURNS integer
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
declare
    v_count integer;
begin
    delete from ocr_queue as q
    where q.document_id = any(p_document_ids) and q.status = 'failed';

    insert into ocr_queue (
        document_id, priority, run_after, max_attempts, file_size
    )
    select
        d.id,
        p_priority,
        -- in the order in which they came, and each at a time of its own, so that a
        -- mark can stand between any two (set_claim_marks())
        p_run_after
        + (row_number() over (order by d.created_at, d.id) - 1)
        * interval '1 microsecond',
        coalesce(p_max_attempts, s.default_max_attempts),
        d.file_size
    from documents as d
    cross join ocr_settings as s
    where d.id = any(p_document_ids) and s.id
    order by d.created_at, d.id
    on conflict do nothing;
    get diagnostics v_count = row_count;

    update documents as d
    set ocr_status = 'pending', ocr_error = null, updated_at = clock_timestamp()
    where d.id = any(p_document_ids) and d.ocr_status is distinct from 'pending';

    if p_run_after <= clock_timestamp() then
        perform notify_ocr_workers();
    end if;
    return v_count;
end;
$$;


--
-- Name: FUNCTION start_ocr_jobs(p_document_ids uuid[], p_priority integer, p_run_after timestamp with time zone, p_max_attempts integer); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.start_ocr_jobs(p_document_ids uuid[], p_priority integer, p_run_after timestamp with time zone, p_max_attempts integer) IS 'Internal. Makes a pending job for each of the given documents, removes dead ones, makes
the documents pending and wakes the workers. Returns how many jobs it made.';


--
-- Name: strip_literals(text); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.strip_literals(p_statement text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN "left"(btrim(regexp_replace(regexp_replace(regexp_replace(regexp_replace("left"(p_statement, 10000), '\m[eE]''(\\.|''''|[^''\\])*(''|$)|''(''''|[^''])*(''|$)'::text, '?'::text, 'g'::text), '(\$[a-zA-Z_0-9]*?\$).*?(\1|$)'::text, '?'::text, 'g'::text), '(?<![\w$])-?\d+(\.\d+)?([eE][-+]?\d+)?\M'::text, '?'::text, 'g'::text), '\s+'::text, ' '::text, 'g'::text)), 500);


--
-- Name: FUNCTION strip_literals(p_statement text); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.strip_literals(p_statement text) IS 'Internal. The first 500 characters of a statement, without its literals and on one
line.';


--
-- Name: update_ocr_arrays_safe(uuid[], text[], text[], double precision[], integer[], integer[], uuid[], text[], text[]); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.update_ocr_arrays_safe(p_document_ids uuid[], p_expected_filenames text[], p_ocr_texts text[], p_confidences double precision[], p_word_counts integer[], p_processing_times_ms integer[], p_lease_tokens uuid[], p_source_hashes text[] DEFAULT NULL::text[], p_engines text[] DEFAULT NULL::text[]) RETURNS TABLE(document_id uuid, outcome text, detail text)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
declare
    v_lengths constant integer [] := array[
        coalesce(cardinality(p_expected_filenames), -1),
        coalesce(cardinality(p_ocr_texts), -1),
        coalesce(cardinality(p_confidences), -1),
        coalesce(cardinality(p_word_counts), -1),
        coalesce(cardinality(p_processing_times_ms), -1),
        coalesce(cardinality(p_lease_tokens), -1),
        coalesce(cardinality(p_source_hashes), cardinality(p_document_ids)),
        coalesce(cardinality(p_engines), cardinality(p_document_ids))
    ];
begin
    if (cardinality(p_document_ids) <= 10000) is not true then
        perform reject_argument(
            'p_document_ids', 'an array of at most 10000 ids',
            cardinality(p_document_ids) || ' ids'
        );
    end if;
    if (cardinality(p_document_ids) = all(v_lengths)) is not true then
        perform reject_argument(
            'each array', format(
                'as long as p_document_ids, which has %s elements',
                cardinality(p_document_ids)
            ),
            array_to_string(v_lengths, ', ') || ' elements'
        );
    end if;
    return query
    select o.document_id, o.outcome, o.detail
    from offer_ocr_batch(
        array(
            select r::ocr_result
            from unnest(
                p_document_ids, p_expected_filenames, p_ocr_texts, p_confidences,
                p_word_counts, p_processing_times_ms, p_lease_tokens, p_source_hashes,
                p_engines
            ) as r
        )
    ) as o;
end;
$$;


--
-- Name: FUNCTION update_ocr_arrays_safe(p_document_ids uuid[], p_expected_filenames text[], p_ocr_texts text[], p_confidences double precision[], p_word_counts integer[], p_processing_times_ms integer[], p_lease_tokens uuid[], p_source_hashes text[], p_engines text[]); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.update_ocr_arrays_safe(p_document_ids uuid[], p_expected_filenames text[], p_ocr_texts text[], p_confidences double precision[], p_word_counts integer[], p_processing_times_ms integer[], p_lease_tokens uuid[], p_source_hashes text[], p_engines text[]) IS 'update_ocr_batch_safe() with the results as arrays, one element of each per result, in
the order of the arguments of update_ocr_safe(); p_lease_tokens may hold nulls,
p_source_hashes and p_engines too or be null. Same rows, same rules. Raises 22023 when
the arrays differ in length or hold more than 10000 elements.';


--
-- Name: update_ocr_batch_safe(json); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.update_ocr_batch_safe(p_results json) RETURNS TABLE(document_id uuid, outcome text, detail text)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
declare
    v_results ocr_result [];
begin
    if json_typeof(p_results) is distinct from 'array' then
        perform reject_argument(
            'p_results', 'a json array of results', left(p_results::text, 100)
        );
    end if;

    begin
        v_results := array(
            select r::ocr_result
            from json_populate_recordset(null::ocr_result, p_results) as r
        );
    exception
        when data_exception then
            -- offer_ocr_batch() reads what can be read
            v_results := null;
    end;
    if coalesce(cardinality(v_results), json_array_length(p_results)) > 10000 then
        perform reject_argument(
            'p_results', 'at most 10000 results',
            format('%s results', json_array_length(p_results))
        );
    end if;
    return query
    select o.document_id, o.outcome, o.detail
    from offer_ocr_batch(v_results, p_results) as o;
end;
$$;


--
-- Name: FUNCTION update_ocr_batch_safe(p_results json); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.update_ocr_batch_safe(p_results json) IS 'Offers many results in one call, by the rules of update_ocr_safe(). p_results is a json
array of objects with the keys document_id, expected_filename, ocr_text, confidence,
word_count, processing_time_ms, lease_token, source_hash, engine. Returns one row for
each, in order, with the outcome; everything but written and already_written was
refused, changed nothing and left an incident. One result that the database cannot take
(a number out of range, a NUL, an index or constraint of the user''s own that refuses
the text) is rejected_by_database, with SQLSTATE and message as detail, and its job is
failed as document; the others are written. Raises 22023 when p_results is not an array
of at most 10000, and errors of the transaction or the server, which concern the whole
call. update_ocr_arrays_safe() takes the same as arrays, for clients that have them.';


--
-- Name: update_ocr_safe(uuid, text, text, double precision, integer, integer, uuid, text, text); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.update_ocr_safe(p_document_id uuid, p_expected_filename text, p_ocr_text text, p_confidence double precision, p_word_count integer, p_processing_time_ms integer, p_lease_token uuid DEFAULT NULL::uuid, p_source_hash text DEFAULT NULL::text, p_engine text DEFAULT NULL::text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
declare
    v_invalid constant text := find_invalid_result(
        p_document_id, p_expected_filename, p_ocr_text, p_confidence, p_word_count,
        p_processing_time_ms, p_source_hash
    );
    v_results constant ocr_result [] := array[
        row(
            p_document_id, p_expected_filename, p_ocr_text, p_confidence, p_word_count,
            p_processing_time_ms, p_lease_token, p_source_hash, p_engine
        )::ocr_result
    ];
    v_answer record;
begin
    if v_invalid is not null then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = v_invalid,
            hint = 'Nothing was changed. Correct the argument, or report the failure '
                'with fail_ocr_job().';
    end if;
    -- an assignment of a single function call is evaluated without a statement
    v_answer := write_ocr_results(v_results);
    if v_answer.is_complete then
        return true;
    end if;
    return (
        select r.outcome in ('written', 'already_written')
        from record_ocr_refusals(
            v_results, v_answer.written, v_answer.foreign_ids
        ) as r
    );
end;
$$;


--
-- Name: FUNCTION update_ocr_safe(p_document_id uuid, p_expected_filename text, p_ocr_text text, p_confidence double precision, p_word_count integer, p_processing_time_ms integer, p_lease_token uuid, p_source_hash text, p_engine text); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.update_ocr_safe(p_document_id uuid, p_expected_filename text, p_ocr_text text, p_confidence double precision, p_word_count integer, p_processing_time_ms integer, p_lease_token uuid, p_source_hash text, p_engine text) IS 'Writes the OCR result of one document, removes its job and records the attempt, or
refuses: the first rule that applies of document_missing, already_written,
already_completed, stale_lease, lease_required, filename_mismatch, source_mismatch,
implausible_result, foreign_text. Returns true when the result stands (written now, or
already written under this same lease token: G11), false when it was refused; then
nothing changed and ocr_incidents has a row that says why. p_confidence in percent (0 to
100), p_processing_time_ms in milliseconds, p_source_hash the SHA-256 of the very bytes
that were read. Without p_lease_token only the first and only claim of a document may
write. Raises 22023 for an argument out of range, and what the write itself raises.';


--
-- Name: validate_database_consistency(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.validate_database_consistency() RETURNS TABLE(orphaned_queue_items bigint, documents_without_files bigint, inconsistent_ocr_states bigint, data_integrity_score numeric, invalid_status bigint, completed_without_result bigint, result_without_completion bigint, processing_without_job bigint, pending_without_job bigint, lease_without_processing bigint, replaced_file_result bigint, job_of_completed_document bigint, job_of_failed_document bigint, job_without_processing_document bigint, duplicate_live_job bigint, exhausted_pending_job bigint, changed_file bigint, shared_text bigint, broken_constraint bigint, changed_object bigint)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    BEGIN ATOMIC
 WITH findings AS MATERIALIZED (
          SELECT f.kind,
             f.document_id,
             f.job_id
            FROM public.list_ocr_findings() f(kind, document_id, job_id, detail)
         ), counted AS (
          SELECT count(*) FILTER (WHERE (f.kind = 'orphaned_job'::text)) AS orphaned_job,
             count(*) FILTER (WHERE (f.kind = 'missing_file'::text)) AS missing_file,
             count(*) FILTER (WHERE (f.kind = 'invalid_status'::text)) AS invalid_status,
             count(*) FILTER (WHERE (f.kind = 'completed_without_result'::text)) AS completed_without_result,
             count(*) FILTER (WHERE (f.kind = 'result_without_completion'::text)) AS result_without_completion,
             count(*) FILTER (WHERE (f.kind = 'processing_without_job'::text)) AS processing_without_job,
             count(*) FILTER (WHERE (f.kind = 'pending_without_job'::text)) AS pending_without_job,
             count(*) FILTER (WHERE (f.kind = 'lease_without_processing'::text)) AS lease_without_processing,
             count(*) FILTER (WHERE (f.kind = 'replaced_file_result'::text)) AS replaced_file_result,
             count(*) FILTER (WHERE (f.kind = 'job_of_completed_document'::text)) AS job_of_completed_document,
             count(*) FILTER (WHERE (f.kind = 'job_of_failed_document'::text)) AS job_of_failed_document,
             count(*) FILTER (WHERE (f.kind = 'job_without_processing_document'::text)) AS job_without_processing_document,
             count(*) FILTER (WHERE (f.kind = 'duplicate_live_job'::text)) AS duplicate_live_job,
             count(*) FILTER (WHERE (f.kind = 'exhausted_pending_job'::text)) AS exhausted_pending_job,
             count(*) FILTER (WHERE (f.kind = 'changed_file'::text)) AS changed_file,
             count(*) FILTER (WHERE (f.kind = 'shared_text'::text)) AS shared_text,
             count(*) FILTER (WHERE (f.kind = 'broken_constraint'::text)) AS broken_constraint,
             count(*) FILTER (WHERE (f.kind = 'changed_object'::text)) AS changed_object,
             ((count(DISTINCT f.document_id) FILTER (WHERE (f.job_id IS NULL)) + count(DISTINCT f.job_id)) + count(*) FILTER (WHERE (f.kind = 'changed_object'::text))) AS with_finding
            FROM findings f
         )
  SELECT c.orphaned_job,
     c.missing_file,
     (((((((((((c.invalid_status + c.completed_without_result) + c.result_without_completion) + c.processing_without_job) + c.pending_without_job) + c.lease_without_processing) + c.job_of_completed_document) + c.job_of_failed_document) + c.job_without_processing_document) + c.duplicate_live_job) + c.exhausted_pending_job) + c.broken_constraint),
         CASE
             WHEN (c.with_finding = 0) THEN 100.00
             ELSE trunc(((100)::numeric - ((100)::numeric * LEAST((1)::numeric, ((c.with_finding)::numeric / (GREATEST((( SELECT count(*) AS count
                FROM public.documents) + ( SELECT count(*) AS count
                FROM public.ocr_queue)), (1)::bigint))::numeric)))), 2)
         END AS trunc,
     c.invalid_status,
     c.completed_without_result,
     c.result_without_completion,
     c.processing_without_job,
     c.pending_without_job,
     c.lease_without_processing,
     c.replaced_file_result,
     c.job_of_completed_document,
     c.job_of_failed_document,
     c.job_without_processing_document,
     c.duplicate_live_job,
     c.exhausted_pending_job,
     c.changed_file,
     c.shared_text,
     c.broken_constraint,
     c.changed_object
    FROM counted c;
END;


--
-- Name: FUNCTION validate_database_consistency(); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.validate_database_consistency() IS 'Looks at every document and job and counts findings: orphaned_queue_items (jobs without
document), documents_without_files (by the last record_ocr_file_checks()),
inconsistent_ocr_states (all findings about states of documents and jobs together), one
column per kind (broken_constraint: rows of adopted tables; changed_object: functions,
triggers and views of the package that are not as they were loaded), and
data_integrity_score, the share of documents and jobs without a finding, 0 to 100; 100
only when there is none. find_inconsistencies() lists them,
repair_database_consistency() mends what can be mended without a person.';


--
-- Name: validate_ocr_consistency(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.validate_ocr_consistency() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
declare
    v_outcome text;
    v_observed documents;
    v_is_result_changed boolean;
begin
    if new.ocr_claims is distinct from old.ocr_claims
        and (
            new.ocr_status is distinct from 'processing'
            or new.ocr_lease_token is not distinct from old.ocr_lease_token
        )
    then
        v_observed := observe_ocr_update(old, new, 'OG004');
        if v_observed.id is not null then
            return v_observed;
        end if;
        raise exception using
            errcode = 'OG004',
            message = format('ocr_claims of document %s counts its claims', old.id),
            detail = 'It decides whether a result without a lease token is ambiguous.',
            hint = 'Leave the column alone; claim_ocr_jobs() changes it.';
    end if;

    -- a result is written: under the live lease (G1, G2, G6), or it is one that
    -- restore_previous_result() brings back
    if new.ocr_status = 'completed' and old.ocr_status is distinct from 'completed' then
        v_outcome := judge_ocr_result(
            old.ocr_status, old.ocr_lease_token, old.ocr_result_token, old.ocr_claims,
            old.filename, old.file_hash,
            new.ocr_result_token, new.filename, new.ocr_source_hash,
            new.ocr_text, new.ocr_confidence, new.ocr_word_count,
            true, false, null
        );
        -- nested, since a condition with a subquery is a statement of its own each time
        if v_outcome <> 'written' then
            if exists (
                select from ocr_previous_results as r
                where
                    r.document_id = old.id
                    and r.ocr_completed_at = new.ocr_completed_at
                    and r.ocr_result_token is not distinct from new.ocr_result_token
                    and r.ocr_text = new.ocr_text
                    and r.ocr_confidence = new.ocr_confidence
                    and r.ocr_word_count = new.ocr_word_count
            ) then
                v_outcome := 'restored';
            end if;
        end if;
        if v_outcome in ('implausible_result', 'source_mismatch') then
            v_observed := observe_ocr_update(old, new, 'OG005');
            if v_observed.id is not null then
                return v_observed;
            end if;
            raise exception using
                errcode = 'OG005',
                message = format(
                    'the result for document %s cannot be right: %s', old.id, v_outcome
                ),
                detail = format(
                    '%s words, %s characters, confidence %s, read from %s, '
                    'file hash %s.',
                    new.ocr_word_count, length(new.ocr_text), new.ocr_confidence,
                    coalesce(new.ocr_source_hash, 'an unknown file'),
                    coalesce(old.file_hash, 'unknown')
                ),
                hint = 'Offer it with update_ocr_safe(), which gives the reason, or '
                    'report the failure with fail_ocr_job().';
        end if;
        if v_outcome not in ('written', 'restored')
            or (new.file_path, new.file_hash, new.file_size)
            is distinct from (old.file_path, old.file_hash, old.file_size)
        then
            v_observed := observe_ocr_update(old, new, 'OG002');
            if v_observed.id is not null then
                return v_observed;
            end if;
            raise exception using
                errcode = 'OG002',
                message = format(
                    'no live lease to write a result for document %s (%s)',
                    old.id, v_outcome
                ),
                detail = format(
                    'The document is %s; ocr_result_token was %s.',
                    old.ocr_status, coalesce(new.ocr_result_token::text, 'null')
                ),
                hint = 'Claim the job with claim_ocr_jobs() and offer the result with '
                    'update_ocr_safe() and the lease token.';
        end if;
        new.ocr_lease_token := null;
        new.ocr_text_hash := hash_ocr_text(new.ocr_text);
        -- null, or still the time of an earlier result
        if new.ocr_completed_at is not distinct from old.ocr_completed_at then
            new.ocr_completed_at := clock_timestamp();
        end if;
        if v_outcome = 'written' then
            new.ocr_source_hash := coalesce(new.ocr_source_hash, old.file_hash);
        end if;
        new.ocr_error := null;
        return new;
    end if;

    v_is_result_changed := (
        new.ocr_text,
        new.ocr_confidence,
        new.ocr_word_count,
        new.ocr_processing_time_ms,
        new.ocr_engine,
        new.ocr_source_hash,
        new.ocr_text_hash,
        new.ocr_completed_at,
        new.ocr_result_token
    ) is distinct from (
        old.ocr_text,
        old.ocr_confidence,
        old.ocr_word_count,
        old.ocr_processing_time_ms,
        old.ocr_engine,
        old.ocr_source_hash,
        old.ocr_text_hash,
        old.ocr_completed_at,
        old.ocr_result_token
    );

    -- completed: nothing changes, except that requeue_document() takes it back, which
    -- has set the result aside and enqueued a job by now (G4)
    if old.ocr_status = 'completed' then
        if new.ocr_status = 'completed' then
            if v_is_result_changed then
                v_observed := observe_ocr_update(old, new, 'OG003');
                if v_observed.id is not null then
                    return v_observed;
                end if;
                perform raise_final_result(old.id, 'an UPDATE would change it');
            end if;
            return new;
        end if;
        if new.ocr_status is distinct from 'pending'
            or not exists (
                select from ocr_previous_results as r
                where
                    r.document_id = old.id
                    and r.ocr_result_token is not distinct from old.ocr_result_token
                    and r.ocr_text = coalesce(old.ocr_text, '')
            )
            or not exists (
                select from ocr_queue as q
                where q.document_id = old.id and q.status = 'pending'
            )
        then
            v_observed := observe_ocr_update(old, new, 'OG003');
            if v_observed.id is not null then
                return v_observed;
            end if;
            perform raise_final_result(
                old.id,
                format(
                    'an UPDATE would make it %s',
                    coalesce(new.ocr_status, 'null')
                )
            );
        end if;
        new.ocr_text := null;
        new.ocr_confidence := null;
        new.ocr_word_count := null;
        new.ocr_processing_time_ms := null;
        new.ocr_engine := null;
        new.ocr_source_hash := null;
        new.ocr_text_hash := null;
        new.ocr_completed_at := null;
        new.ocr_result_token := null;
        return new;
    end if;

    if v_is_result_changed then
        v_observed := observe_ocr_update(old, new, 'OG004');
        if v_observed.id is not null then
            return v_observed;
        end if;
        raise exception using
            errcode = 'OG004',
            message = format(
                'the result of document %s may be written only by completing it', old.id
            ),
            detail = format(
                'The document is %s and would become %s.',
                old.ocr_status, coalesce(new.ocr_status, 'null')
            ),
            hint = 'Offer the result with update_ocr_safe().';
    end if;

    -- the file is replaced under a live lease: whoever reads the old one is fenced off,
    -- and the job starts again on the new one (G1)
    -- learning a hash or a size that was unknown is no replacement
    if old.ocr_status = 'processing'
        and new.ocr_status = 'processing'
        and (
            new.filename is distinct from old.filename
            or new.file_path is distinct from old.file_path
            or (
                old.file_hash is not null
                and new.file_hash is distinct from old.file_hash
            )
            or (
                old.file_size is not null
                and new.file_size is distinct from old.file_size
            )
        )
    then
        perform restart_replaced_job(old.id, old.ocr_lease_token);
        new.ocr_status := 'pending';
        new.ocr_lease_token := null;
        return new;
    end if;

    if new.ocr_status = 'processing' then
        if (
            old.ocr_status <> 'processing'
            or new.ocr_lease_token is distinct from old.ocr_lease_token
        )
        and (
            new.ocr_lease_token is null
            or new.ocr_claims is distinct from old.ocr_claims + 1
        ) then
            v_observed := observe_ocr_update(old, new, 'OG004');
            if v_observed.id is not null then
                return v_observed;
            end if;
            raise exception using
                errcode = 'OG004',
                message = format(
                    'document %s can be claimed only with a lease', old.id
                ),
                detail = format(
                    'An UPDATE would make it processing, from %s.', old.ocr_status
                ),
                hint = 'Call claim_ocr_jobs().';
        end if;
        return new;
    end if;

    -- pending or failed: not while the job says otherwise (G5)
    if new.ocr_status is distinct from old.ocr_status then
        if exists (
            select from ocr_queue as q
            where
                q.document_id = old.id
                and (
                    q.status = 'processing'
                    or (q.status = 'pending' and new.ocr_status = 'failed')
                )
        ) then
            v_observed := observe_ocr_update(old, new, 'OG004');
            if v_observed.id is not null then
                return v_observed;
            end if;
            raise exception using
                errcode = 'OG004',
                message = format(
                    'document %s cannot become %s while its job is live',
                    old.id, coalesce(new.ocr_status, 'null')
                ),
                detail = 'Document and job change together (G5).',
                hint = 'Call reset_stuck_ocr_jobs(), release_ocr_job(), '
                    'fail_ocr_job(), cancel_ocr_job() or requeue_document().';
        end if;
        new.ocr_lease_token := null;
    end if;
    return new;
end;
$$;


--
-- Name: FUNCTION validate_ocr_consistency(); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.validate_ocr_consistency() IS 'Trigger function of trigger_validate_ocr_consistency. Raises OG002 for a result without
the live lease, OG003 for a change of a completed result, OG004 for any other illegal
state change, OG005 for a result that cannot be right (G1, G2, G4, G5, G6, G8).';


--
-- Name: write_ocr_results(public.ocr_result[]); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.write_ocr_results(p_results public.ocr_result[], OUT is_complete boolean, OUT written bigint[], OUT foreign_ids uuid[]) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    AS $$
declare
    v_is_locked boolean := cardinality(p_results) > 1;
    v_document_ids ocr_id_types.document_ids%type;
    v_recorded_ids ocr_id_types.document_ids%type;
    v_outer_depth constant text := coalesce(
        current_setting('ocr_guardrails.finishing_depth', true), ''
    );
begin
    if v_is_locked then
        perform lock_ocr_offers(p_results);
    end if;

    -- See is_finishing_left_to_trigger(). Not a SET of the function: only a superuser
    -- may give a function a setting of this kind. An assignment, since it is evaluated
    -- without a statement of its own.
    is_complete := set_config(
        'ocr_guardrails.finishing_depth', pg_trigger_depth()::text, true
    ) is null;
    loop
        with
        result as (
            update documents as d
            set
                ocr_status = 'completed',
                ocr_text = r.ocr_text,
                -- the column holds a real, which has no numbers closer to zero
                ocr_confidence = case
                    when r.confidence > 1e-30 then r.confidence else 0
                end,
                ocr_word_count = r.word_count,
                ocr_processing_time_ms = r.processing_time_ms,
                ocr_engine = r.engine,
                ocr_source_hash = r.source_hash,
                ocr_result_token = d.ocr_lease_token,
                ocr_completed_at = clock_timestamp(),
                updated_at = clock_timestamp()
            from ocr_settings as s
            cross join unnest(p_results) with ordinality as r (
                document_id, expected_filename, ocr_text, confidence, word_count,
                processing_time_ms, lease_token, source_hash, engine, ordinal
            )
            where
                s.id
                and d.id = r.document_id
                and judge_ocr_result(
                    d.ocr_status, d.ocr_lease_token, d.ocr_result_token, d.ocr_claims,
                    d.filename, d.file_hash,
                    r.lease_token, r.expected_filename, r.source_hash,
                    r.ocr_text, r.confidence, r.word_count,
                    s.require_lease_token, s.require_source_hash,
                    s.word_count_tolerance
                ) = 'written'
                and find_invalid_result(
                    r.document_id, r.expected_filename, r.ocr_text, r.confidence,
                    r.word_count, r.processing_time_ms, r.source_hash
                ) is null
                and (
                    s.foreign_text_policy <> 'refuse'
                    or (
                        v_is_locked
                        and not exists (
                            select from list_foreign_texts(
                                d.id, d.file_hash, r.ocr_text, r.word_count,
                                s.foreign_text_min_words
                            )
                        )
                    )
                )
            returning
                d.id as document_id,
                d.ocr_engine,
                d.ocr_processing_time_ms,
                d.ocr_confidence,
                d.ocr_word_count,
                d.ocr_source_hash,
                d.ocr_result_token,
                r.ordinal,
                case
                    when s.foreign_text_policy = 'record'
                        then (
                            select f.id
                            from list_foreign_texts(
                                d.id, d.file_hash, r.ocr_text, r.word_count,
                                s.foreign_text_min_words
                            ) as f (id)
                            limit 1
                        )
                end as foreign_id
        ),
        removed as (
            delete from ocr_queue as q
            using result as r
            where q.document_id = r.document_id
            returning r.*, q as job
        ),
        recorded as (
            insert into ocr_job_history
            select
                (form_result_history(
                    r.document_id, r.ocr_engine, r.ocr_processing_time_ms,
                    r.ocr_confidence, r.ocr_word_count, r.ocr_source_hash,
                    r.ocr_result_token, r.job
                )).*
            from removed as r
            -- a dead job beside the live one is none of this attempt's
            where (r.job).status <> 'failed'
            returning document_id
        )
        select
            array_agg(r.ordinal),
            array_agg(r.document_id),
            array_agg(r.foreign_id),
            (select array_agg(h.document_id) from recorded as h)
        into written, v_document_ids, foreign_ids, v_recorded_ids
        from result as r;
        exit when v_is_locked or written is not null;
        -- why it was refused is to be said of a row that cannot change meanwhile
        perform lock_ocr_offers(p_results);
        v_is_locked := true;
    end loop;
    is_complete := set_config(
        'ocr_guardrails.finishing_depth', v_outer_depth, true
    ) is not null
    and coalesce(cardinality(written), 0) = cardinality(p_results)
    and coalesce(num_nonnulls(variadic foreign_ids), 0) = 0;

    if cardinality(v_document_ids) > coalesce(cardinality(v_recorded_ids), 0) then
        -- whose job was deleted under it
        perform record_written_results(
            array(
                select i.id from unnest(v_document_ids) as i (id)
                except
                select i.id from unnest(v_recorded_ids) as i (id)
            ),
            null
        );
    end if;
end;
$$;


--
-- Name: FUNCTION write_ocr_results(p_results public.ocr_result[], OUT is_complete boolean, OUT written bigint[], OUT foreign_ids uuid[]); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.write_ocr_results(p_results public.ocr_result[], OUT is_complete boolean, OUT written bigint[], OUT foreign_ids uuid[]) IS 'Internal. Writes what judge_ocr_result(), find_invalid_result() and the search for
foreign texts (G7) let pass, removes the jobs and writes the history; each document may
occur once. Returns the ordinals of what was written and, beside each, a document that
carries the same text, as far as the policy records such; is_complete when all were
written and none has one, else record_ocr_refusals() says the rest. The documents stay
locked. An error that the write itself raises goes through to the caller.';


--
-- Name: ocr_adoption; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.ocr_adoption (
    id bigint NOT NULL,
    kind text NOT NULL,
    object text NOT NULL,
    statement text,
    condition text,
    undo text,
    is_in_force boolean DEFAULT true NOT NULL,
    listed_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT check_ocr_adoption_kind CHECK ((kind = ANY (ARRAY['table'::text, 'column'::text, 'default'::text, 'index'::text, 'guard'::text, 'set aside'::text])))
);


--
-- Name: TABLE ocr_adoption; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON TABLE public.ocr_adoption IS 'What was done to tables and objects of the application that were there before the
package. Empty on a fresh installation.';


--
-- Name: COLUMN ocr_adoption.id; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_adoption.id IS 'Order of the steps.';


--
-- Name: COLUMN ocr_adoption.kind; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_adoption.kind IS 'table (adopted), column (added), default (set where there was none), index (built),
guard (a constraint or unique index that stands while guard_mode is enforce) or set
aside (an object of the application under another name).';


--
-- Name: COLUMN ocr_adoption.object; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_adoption.object IS 'What the step is about.';


--
-- Name: COLUMN ocr_adoption.statement; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_adoption.statement IS 'For a guard: the statement that brings it into force.';


--
-- Name: COLUMN ocr_adoption.condition; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_adoption.condition IS 'For a guard that is a CHECK: what it checks.';


--
-- Name: COLUMN ocr_adoption.undo; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_adoption.undo IS 'The statement that takes the step back; null where there is nothing to take back.';


--
-- Name: COLUMN ocr_adoption.is_in_force; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_adoption.is_in_force IS 'For a guard: whether it stands now.';


--
-- Name: COLUMN ocr_adoption.listed_at; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_adoption.listed_at IS 'When the step was listed.';


--
-- Name: ocr_adoption_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

ALTER TABLE public.ocr_adoption ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.ocr_adoption_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: ocr_claim_look_clock; Type: SEQUENCE; Schema: public; Owner: -
--

CREATE UNLOGGED SEQUENCE public.ocr_claim_look_clock
    START WITH 0
    INCREMENT BY 1
    MINVALUE 0
    NO MAXVALUE
    CACHE 1;


--
-- Name: SEQUENCE ocr_claim_look_clock; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON SEQUENCE public.ocr_claim_look_clock IS 'When a claim will set the marks anew, in milliseconds since 1970.';


--
-- Name: ocr_claim_mark_0; Type: SEQUENCE; Schema: public; Owner: -
--

CREATE UNLOGGED SEQUENCE public.ocr_claim_mark_0
    START WITH 0
    INCREMENT BY 1
    MINVALUE 0
    NO MAXVALUE
    CACHE 1;


--
-- Name: SEQUENCE ocr_claim_mark_0; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON SEQUENCE public.ocr_claim_mark_0 IS 'No pending job of priority 0 was due before this time when a claim last looked, in microseconds since 1970.';


--
-- Name: ocr_claim_mark_1; Type: SEQUENCE; Schema: public; Owner: -
--

CREATE UNLOGGED SEQUENCE public.ocr_claim_mark_1
    START WITH 0
    INCREMENT BY 1
    MINVALUE 0
    NO MAXVALUE
    CACHE 1;


--
-- Name: SEQUENCE ocr_claim_mark_1; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON SEQUENCE public.ocr_claim_mark_1 IS 'No pending job of priority 1 was due before this time when a claim last looked, in microseconds since 1970.';


--
-- Name: ocr_claim_mark_10; Type: SEQUENCE; Schema: public; Owner: -
--

CREATE UNLOGGED SEQUENCE public.ocr_claim_mark_10
    START WITH 0
    INCREMENT BY 1
    MINVALUE 0
    NO MAXVALUE
    CACHE 1;


--
-- Name: SEQUENCE ocr_claim_mark_10; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON SEQUENCE public.ocr_claim_mark_10 IS 'No pending job of priority 10 was due before this time when a claim last looked, in microseconds since 1970.';


--
-- Name: ocr_claim_mark_2; Type: SEQUENCE; Schema: public; Owner: -
--

CREATE UNLOGGED SEQUENCE public.ocr_claim_mark_2
    START WITH 0
    INCREMENT BY 1
    MINVALUE 0
    NO MAXVALUE
    CACHE 1;


--
-- Name: SEQUENCE ocr_claim_mark_2; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON SEQUENCE public.ocr_claim_mark_2 IS 'No pending job of priority 2 was due before this time when a claim last looked, in microseconds since 1970.';


--
-- Name: ocr_claim_mark_3; Type: SEQUENCE; Schema: public; Owner: -
--

CREATE UNLOGGED SEQUENCE public.ocr_claim_mark_3
    START WITH 0
    INCREMENT BY 1
    MINVALUE 0
    NO MAXVALUE
    CACHE 1;


--
-- Name: SEQUENCE ocr_claim_mark_3; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON SEQUENCE public.ocr_claim_mark_3 IS 'No pending job of priority 3 was due before this time when a claim last looked, in microseconds since 1970.';


--
-- Name: ocr_claim_mark_4; Type: SEQUENCE; Schema: public; Owner: -
--

CREATE UNLOGGED SEQUENCE public.ocr_claim_mark_4
    START WITH 0
    INCREMENT BY 1
    MINVALUE 0
    NO MAXVALUE
    CACHE 1;


--
-- Name: SEQUENCE ocr_claim_mark_4; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON SEQUENCE public.ocr_claim_mark_4 IS 'No pending job of priority 4 was due before this time when a claim last looked, in microseconds since 1970.';


--
-- Name: ocr_claim_mark_5; Type: SEQUENCE; Schema: public; Owner: -
--

CREATE UNLOGGED SEQUENCE public.ocr_claim_mark_5
    START WITH 0
    INCREMENT BY 1
    MINVALUE 0
    NO MAXVALUE
    CACHE 1;


--
-- Name: SEQUENCE ocr_claim_mark_5; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON SEQUENCE public.ocr_claim_mark_5 IS 'No pending job of priority 5 was due before this time when a claim last looked, in microseconds since 1970.';


--
-- Name: ocr_claim_mark_6; Type: SEQUENCE; Schema: public; Owner: -
--

CREATE UNLOGGED SEQUENCE public.ocr_claim_mark_6
    START WITH 0
    INCREMENT BY 1
    MINVALUE 0
    NO MAXVALUE
    CACHE 1;


--
-- Name: SEQUENCE ocr_claim_mark_6; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON SEQUENCE public.ocr_claim_mark_6 IS 'No pending job of priority 6 was due before this time when a claim last looked, in microseconds since 1970.';


--
-- Name: ocr_claim_mark_7; Type: SEQUENCE; Schema: public; Owner: -
--

CREATE UNLOGGED SEQUENCE public.ocr_claim_mark_7
    START WITH 0
    INCREMENT BY 1
    MINVALUE 0
    NO MAXVALUE
    CACHE 1;


--
-- Name: SEQUENCE ocr_claim_mark_7; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON SEQUENCE public.ocr_claim_mark_7 IS 'No pending job of priority 7 was due before this time when a claim last looked, in microseconds since 1970.';


--
-- Name: ocr_claim_mark_8; Type: SEQUENCE; Schema: public; Owner: -
--

CREATE UNLOGGED SEQUENCE public.ocr_claim_mark_8
    START WITH 0
    INCREMENT BY 1
    MINVALUE 0
    NO MAXVALUE
    CACHE 1;


--
-- Name: SEQUENCE ocr_claim_mark_8; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON SEQUENCE public.ocr_claim_mark_8 IS 'No pending job of priority 8 was due before this time when a claim last looked, in microseconds since 1970.';


--
-- Name: ocr_claim_mark_9; Type: SEQUENCE; Schema: public; Owner: -
--

CREATE UNLOGGED SEQUENCE public.ocr_claim_mark_9
    START WITH 0
    INCREMENT BY 1
    MINVALUE 0
    NO MAXVALUE
    CACHE 1;


--
-- Name: SEQUENCE ocr_claim_mark_9; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON SEQUENCE public.ocr_claim_mark_9 IS 'No pending job of priority 9 was due before this time when a claim last looked, in microseconds since 1970.';


--
-- Name: ocr_claim_whole_clock; Type: SEQUENCE; Schema: public; Owner: -
--

CREATE UNLOGGED SEQUENCE public.ocr_claim_whole_clock
    START WITH 0
    INCREMENT BY 1
    MINVALUE 0
    NO MAXVALUE
    CACHE 1;


--
-- Name: SEQUENCE ocr_claim_whole_clock; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON SEQUENCE public.ocr_claim_whole_clock IS 'When the marks will be set from the whole queue again, in milliseconds since 1970;
0: they are not in use.';


--
-- Name: ocr_expiry_sweep_clock; Type: SEQUENCE; Schema: public; Owner: -
--

CREATE SEQUENCE public.ocr_expiry_sweep_clock
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: SEQUENCE ocr_expiry_sweep_clock; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON SEQUENCE public.ocr_expiry_sweep_clock IS 'When a claim will look for expired leases next, in milliseconds since 1970. A sequence,
because setting it is not transactional: a claim whose transaction stays open must not
keep the others from looking.';


--
-- Name: ocr_incidents; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.ocr_incidents (
    id bigint NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    reason text NOT NULL,
    document_id uuid,
    job_id uuid,
    worker_id text,
    offered_token uuid,
    live_token uuid,
    expected_filename text,
    actual_filename text,
    offered_hash text,
    actual_hash text,
    text_length integer,
    text_hash bigint,
    other_document_id uuid,
    detail text,
    statement text,
    session_user_name text DEFAULT SESSION_USER NOT NULL,
    application_name text DEFAULT current_setting('application_name'::text, true),
    client_addr inet DEFAULT inet_client_addr()
);


--
-- Name: TABLE ocr_incidents; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON TABLE public.ocr_incidents IS 'Append-only: one row per refused result, and per foreign text that was written under
the policy record (G7, G10). Never the text itself: its length and hash.';


--
-- Name: COLUMN ocr_incidents.id; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_incidents.id IS 'Primary key.';


--
-- Name: COLUMN ocr_incidents.created_at; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_incidents.created_at IS 'When the result was offered.';


--
-- Name: COLUMN ocr_incidents.reason; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_incidents.reason IS 'The outcome: stale_lease, lease_required, already_completed, document_missing,
filename_mismatch, source_mismatch, implausible_result, foreign_text or
rejected_by_database; or unsafe_statement, for plain SQL that guard_mode observe let
through.';


--
-- Name: COLUMN ocr_incidents.document_id; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_incidents.document_id IS 'The document that the result was offered for; it may be gone.';


--
-- Name: COLUMN ocr_incidents.job_id; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_incidents.job_id IS 'The job of that document that was in processing at that moment.';


--
-- Name: COLUMN ocr_incidents.worker_id; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_incidents.worker_id IS 'Who held that job; the refused writer is named by application_name and offered_token.';


--
-- Name: COLUMN ocr_incidents.offered_token; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_incidents.offered_token IS 'The lease token that came with the result.';


--
-- Name: COLUMN ocr_incidents.live_token; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_incidents.live_token IS 'The lease token that was live.';


--
-- Name: COLUMN ocr_incidents.expected_filename; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_incidents.expected_filename IS 'The filename that the writer expected.';


--
-- Name: COLUMN ocr_incidents.actual_filename; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_incidents.actual_filename IS 'The filename of the document.';


--
-- Name: COLUMN ocr_incidents.offered_hash; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_incidents.offered_hash IS 'SHA-256 of the bytes that the writer read.';


--
-- Name: COLUMN ocr_incidents.actual_hash; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_incidents.actual_hash IS 'SHA-256 of the document''s file.';


--
-- Name: COLUMN ocr_incidents.text_length; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_incidents.text_length IS 'Length of the refused text in characters.';


--
-- Name: COLUMN ocr_incidents.text_hash; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_incidents.text_hash IS 'Hash of the refused text, comparable with documents.ocr_text_hash.';


--
-- Name: COLUMN ocr_incidents.other_document_id; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_incidents.other_document_id IS 'For foreign_text: a document that already carries this text.';


--
-- Name: COLUMN ocr_incidents.detail; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_incidents.detail IS 'The reason in words.';


--
-- Name: COLUMN ocr_incidents.statement; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_incidents.statement IS 'For unsafe_statement: the beginning of the client''s statement, without its literals.';


--
-- Name: COLUMN ocr_incidents.session_user_name; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_incidents.session_user_name IS 'The role that had logged in.';


--
-- Name: COLUMN ocr_incidents.application_name; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_incidents.application_name IS 'application_name of the session; the reference worker puts its worker id there.';


--
-- Name: COLUMN ocr_incidents.client_addr; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_incidents.client_addr IS 'Address of the client; null on a Unix socket.';


--
-- Name: ocr_incidents_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

ALTER TABLE public.ocr_incidents ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.ocr_incidents_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: ocr_job_history_default; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.ocr_job_history_default (
    document_id uuid CONSTRAINT ocr_job_history_document_id_not_null NOT NULL,
    job_id uuid,
    outcome text CONSTRAINT ocr_job_history_outcome_not_null NOT NULL,
    error_class text,
    worker_id text,
    engine text,
    attempt integer,
    priority integer,
    queued_at timestamp with time zone,
    started_at timestamp with time zone,
    finished_at timestamp with time zone DEFAULT clock_timestamp() CONSTRAINT ocr_job_history_finished_at_not_null NOT NULL,
    wait_ms bigint,
    processing_time_ms integer,
    confidence real,
    word_count integer,
    source_hash text,
    lease_token uuid,
    error text,
    CONSTRAINT check_ocr_job_history_outcome CHECK ((outcome = ANY (ARRAY['written'::text, 'failed'::text, 'retry'::text, 'expired'::text, 'released'::text, 'cancelled'::text])))
);


--
-- Name: TABLE ocr_job_history_default; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON TABLE public.ocr_job_history_default IS 'Rows for which create_ocr_history_partitions() has not made a partition yet, so that
an insert never fails for want of one.';


--
-- Name: ocr_lease_locks; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.ocr_lease_locks (
    name text NOT NULL,
    owner text NOT NULL,
    fence bigint DEFAULT 1 NOT NULL,
    acquired_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    expires_at timestamp with time zone NOT NULL
);


--
-- Name: TABLE ocr_lease_locks; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON TABLE public.ocr_lease_locks IS 'Named locks with a time to live, for holders that outlast a connection or stand behind
a transaction pooler. A row stays after release, so that its fence keeps growing.';


--
-- Name: COLUMN ocr_lease_locks.name; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_lease_locks.name IS 'Name of the lock.';


--
-- Name: COLUMN ocr_lease_locks.owner; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_lease_locks.owner IS 'Who holds it, or held it last.';


--
-- Name: COLUMN ocr_lease_locks.fence; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_lease_locks.fence IS 'Grows with every holder; a resource that remembers the highest one it saw can refuse
a holder that comes too late.';


--
-- Name: COLUMN ocr_lease_locks.acquired_at; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_lease_locks.acquired_at IS 'When the present holder got it.';


--
-- Name: COLUMN ocr_lease_locks.expires_at; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_lease_locks.expires_at IS 'Free from this time on.';


--
-- Name: ocr_previous_results; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.ocr_previous_results (
    id bigint NOT NULL,
    document_id uuid NOT NULL,
    ocr_text text NOT NULL,
    ocr_confidence real NOT NULL,
    ocr_word_count integer NOT NULL,
    ocr_processing_time_ms integer,
    ocr_engine text,
    ocr_source_hash text,
    ocr_completed_at timestamp with time zone NOT NULL,
    ocr_result_token uuid,
    reason text NOT NULL,
    set_aside_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    set_aside_by text DEFAULT SESSION_USER NOT NULL
);


--
-- Name: TABLE ocr_previous_results; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON TABLE public.ocr_previous_results IS 'Results that requeue_document() set aside, the newest last; restore_previous_result()
brings the newest back (G4).';


--
-- Name: COLUMN ocr_previous_results.id; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_previous_results.id IS 'Primary key; grows with time.';


--
-- Name: COLUMN ocr_previous_results.document_id; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_previous_results.document_id IS 'The document.';


--
-- Name: COLUMN ocr_previous_results.ocr_text; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_previous_results.ocr_text IS 'The text that stood there.';


--
-- Name: COLUMN ocr_previous_results.ocr_confidence; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_previous_results.ocr_confidence IS 'Its confidence in percent.';


--
-- Name: COLUMN ocr_previous_results.ocr_word_count; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_previous_results.ocr_word_count IS 'Its number of words.';


--
-- Name: COLUMN ocr_previous_results.ocr_processing_time_ms; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_previous_results.ocr_processing_time_ms IS 'How long it took, in milliseconds.';


--
-- Name: COLUMN ocr_previous_results.ocr_engine; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_previous_results.ocr_engine IS 'The engine that made it.';


--
-- Name: COLUMN ocr_previous_results.ocr_source_hash; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_previous_results.ocr_source_hash IS 'SHA-256 of the bytes that it was read from.';


--
-- Name: COLUMN ocr_previous_results.ocr_completed_at; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_previous_results.ocr_completed_at IS 'When it was written.';


--
-- Name: COLUMN ocr_previous_results.ocr_result_token; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_previous_results.ocr_result_token IS 'The lease under which it was written.';


--
-- Name: COLUMN ocr_previous_results.reason; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_previous_results.reason IS 'Why the document was requeued.';


--
-- Name: COLUMN ocr_previous_results.set_aside_at; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_previous_results.set_aside_at IS 'When it was set aside.';


--
-- Name: COLUMN ocr_previous_results.set_aside_by; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_previous_results.set_aside_by IS 'The role that requeued the document.';


--
-- Name: ocr_previous_results_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

ALTER TABLE public.ocr_previous_results ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.ocr_previous_results_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: ocr_processing_rate; Type: VIEW; Schema: public; Owner: -
--

CREATE VIEW public.ocr_processing_rate AS
 SELECT date_trunc('minute'::text, finished_at) AS minute,
    count(*) FILTER (WHERE (outcome = 'written'::text)) AS completed_jobs,
    count(*) FILTER (WHERE (outcome = 'failed'::text)) AS failed_jobs,
    count(*) FILTER (WHERE (outcome = ANY (ARRAY['retry'::text, 'expired'::text]))) AS retried_jobs,
    avg(processing_time_ms) FILTER (WHERE (outcome = 'written'::text)) AS avg_processing_time_ms,
    avg(wait_ms) FILTER (WHERE (outcome = 'written'::text)) AS avg_wait_ms
   FROM public.ocr_job_history h
  WHERE (finished_at > (now() - '01:00:00'::interval))
  GROUP BY (date_trunc('minute'::text, finished_at));


--
-- Name: VIEW ocr_processing_rate; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON VIEW public.ocr_processing_rate IS 'Attempts that ended in the last hour, per minute; minutes without any have no row.';


--
-- Name: COLUMN ocr_processing_rate.minute; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_processing_rate.minute IS 'Start of the minute.';


--
-- Name: COLUMN ocr_processing_rate.completed_jobs; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_processing_rate.completed_jobs IS 'Results written.';


--
-- Name: COLUMN ocr_processing_rate.failed_jobs; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_processing_rate.failed_jobs IS 'Jobs that died.';


--
-- Name: COLUMN ocr_processing_rate.retried_jobs; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_processing_rate.retried_jobs IS 'Attempts that failed or expired and will be tried again.';


--
-- Name: COLUMN ocr_processing_rate.avg_processing_time_ms; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_processing_rate.avg_processing_time_ms IS 'Mean processing time of written results in milliseconds.';


--
-- Name: COLUMN ocr_processing_rate.avg_wait_ms; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_processing_rate.avg_wait_ms IS 'Mean wait of written results from due to claimed, in milliseconds.';


--
-- Name: ocr_queue_overview; Type: VIEW; Schema: public; Owner: -
--

CREATE VIEW public.ocr_queue_overview AS
 SELECT status,
    priority,
    count(*) AS jobs,
    count(*) FILTER (WHERE ((status = 'pending'::text) AND (run_after <= now()))) AS due_jobs,
    min(run_after) FILTER (WHERE ((status = 'pending'::text) AND (run_after <= now()))) AS oldest_due_at,
    min(run_after) FILTER (WHERE ((status = 'pending'::text) AND (run_after > now()))) AS next_due_at
   FROM public.ocr_queue q
  GROUP BY status, priority;


--
-- Name: VIEW ocr_queue_overview; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON VIEW public.ocr_queue_overview IS 'The queue now: jobs by status and priority.';


--
-- Name: COLUMN ocr_queue_overview.status; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_queue_overview.status IS 'Status of the jobs.';


--
-- Name: COLUMN ocr_queue_overview.priority; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_queue_overview.priority IS 'Their priority, 0 (last) to 10 (first).';


--
-- Name: COLUMN ocr_queue_overview.jobs; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_queue_overview.jobs IS 'Number of jobs.';


--
-- Name: COLUMN ocr_queue_overview.due_jobs; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_queue_overview.due_jobs IS 'Pending jobs that may be claimed now; the others wait out a backoff or a time.';


--
-- Name: COLUMN ocr_queue_overview.oldest_due_at; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_queue_overview.oldest_due_at IS 'Since when the oldest of the due jobs has been due.';


--
-- Name: COLUMN ocr_queue_overview.next_due_at; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_queue_overview.next_due_at IS 'When the next of the waiting jobs becomes due.';


--
-- Name: ocr_queue_state; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.ocr_queue_state (
    id boolean DEFAULT true NOT NULL,
    paused_at timestamp with time zone,
    paused_by text,
    paused_reason text,
    circuit_state text DEFAULT 'closed'::text NOT NULL,
    circuit_changed_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    circuit_open_until timestamp with time zone,
    circuit_last_error text,
    circuit_probe_document_id uuid,
    circuit_probe_token uuid,
    CONSTRAINT check_ocr_queue_state_circuit CHECK (
CASE circuit_state
    WHEN 'closed'::text THEN (circuit_open_until IS NULL)
    WHEN 'open'::text THEN (circuit_open_until IS NOT NULL)
    WHEN 'half_open'::text THEN (circuit_probe_token IS NOT NULL)
    ELSE false
END),
    CONSTRAINT check_ocr_queue_state_one_row CHECK (id)
)
WITH (fillfactor='10');


--
-- Name: TABLE ocr_queue_state; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON TABLE public.ocr_queue_state IS 'Exactly one row: whether the queue is paused, and what the circuit does.';


--
-- Name: COLUMN ocr_queue_state.id; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_queue_state.id IS 'Always true: there is one row.';


--
-- Name: COLUMN ocr_queue_state.paused_at; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_queue_state.paused_at IS 'Since when the queue is paused; null: it is not.';


--
-- Name: COLUMN ocr_queue_state.paused_by; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_queue_state.paused_by IS 'The role that paused it.';


--
-- Name: COLUMN ocr_queue_state.paused_reason; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_queue_state.paused_reason IS 'Why.';


--
-- Name: COLUMN ocr_queue_state.circuit_state; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_queue_state.circuit_state IS 'closed (normal), open (claims return nothing) or half_open (one probe decides).';


--
-- Name: COLUMN ocr_queue_state.circuit_changed_at; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_queue_state.circuit_changed_at IS 'When circuit_state last changed.';


--
-- Name: COLUMN ocr_queue_state.circuit_open_until; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_queue_state.circuit_open_until IS 'When an open circuit will let a probe through.';


--
-- Name: COLUMN ocr_queue_state.circuit_last_error; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_queue_state.circuit_last_error IS 'The infrastructure error that opened it last.';


--
-- Name: COLUMN ocr_queue_state.circuit_probe_document_id; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_queue_state.circuit_probe_document_id IS 'The document whose attempt is the probe.';


--
-- Name: COLUMN ocr_queue_state.circuit_probe_token; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_queue_state.circuit_probe_token IS 'The lease of the probe.';


--
-- Name: ocr_recent_failures; Type: VIEW; Schema: public; Owner: -
--

CREATE VIEW public.ocr_recent_failures AS
 SELECT h.finished_at,
    h.outcome,
    h.error_class,
    h.error,
    h.document_id,
    d.filename,
    h.worker_id,
    h.engine,
    h.attempt,
    h.processing_time_ms
   FROM (public.ocr_job_history h
     LEFT JOIN public.documents d ON ((d.id = h.document_id)))
  WHERE ((h.outcome = ANY (ARRAY['failed'::text, 'retry'::text, 'expired'::text])) AND (h.finished_at > (now() - '1 day'::interval)));


--
-- Name: VIEW ocr_recent_failures; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON VIEW public.ocr_recent_failures IS 'Attempts of the last day that failed or expired. Order by finished_at for time.';


--
-- Name: COLUMN ocr_recent_failures.finished_at; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_recent_failures.finished_at IS 'When the attempt ended.';


--
-- Name: COLUMN ocr_recent_failures.outcome; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_recent_failures.outcome IS 'failed (dead), retry or expired (will be tried again while attempts are left).';


--
-- Name: COLUMN ocr_recent_failures.error_class; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_recent_failures.error_class IS 'document, permanent or infrastructure; null for expired.';


--
-- Name: COLUMN ocr_recent_failures.error; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_recent_failures.error IS 'What went wrong.';


--
-- Name: COLUMN ocr_recent_failures.document_id; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_recent_failures.document_id IS 'The document; it may be gone.';


--
-- Name: COLUMN ocr_recent_failures.filename; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_recent_failures.filename IS 'Its filename.';


--
-- Name: COLUMN ocr_recent_failures.worker_id; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_recent_failures.worker_id IS 'Who tried.';


--
-- Name: COLUMN ocr_recent_failures.engine; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_recent_failures.engine IS 'With which engine.';


--
-- Name: COLUMN ocr_recent_failures.attempt; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_recent_failures.attempt IS 'Number of the attempt, from 1.';


--
-- Name: COLUMN ocr_recent_failures.processing_time_ms; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_recent_failures.processing_time_ms IS 'How long it took, in milliseconds.';


--
-- Name: ocr_recent_incidents; Type: VIEW; Schema: public; Owner: -
--

CREATE VIEW public.ocr_recent_incidents AS
 SELECT i.id,
    i.created_at,
    i.reason,
    i.detail,
    i.document_id,
    COALESCE(d.filename, i.actual_filename, i.expected_filename) AS filename,
    COALESCE(w.worker_id, NULLIF(i.application_name, ''::text)) AS offered_by,
    i.worker_id AS lease_held_by,
    i.text_length,
    i.other_document_id,
    o.filename AS other_filename,
    i.session_user_name,
    i.application_name,
    i.client_addr
   FROM (((public.ocr_incidents i
     LEFT JOIN public.documents d ON ((d.id = i.document_id)))
     LEFT JOIN public.documents o ON ((o.id = i.other_document_id)))
     LEFT JOIN LATERAL ( SELECT h.worker_id
           FROM public.ocr_job_history h
          WHERE ((h.document_id = i.document_id) AND (h.lease_token = i.offered_token))
          ORDER BY h.finished_at
         LIMIT 1) w ON (true))
  WHERE (i.created_at > (now() - '7 days'::interval));


--
-- Name: VIEW ocr_recent_incidents; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON VIEW public.ocr_recent_incidents IS 'Refused results and foreign texts of the last seven days, in words: what was offered
for which document, by whom, and why it was refused. Order by id for time.';


--
-- Name: COLUMN ocr_recent_incidents.id; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_recent_incidents.id IS 'Number of the incident.';


--
-- Name: COLUMN ocr_recent_incidents.created_at; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_recent_incidents.created_at IS 'When the result was offered.';


--
-- Name: COLUMN ocr_recent_incidents.reason; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_recent_incidents.reason IS 'The outcome, as in update_ocr_safe().';


--
-- Name: COLUMN ocr_recent_incidents.detail; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_recent_incidents.detail IS 'The reason in words.';


--
-- Name: COLUMN ocr_recent_incidents.document_id; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_recent_incidents.document_id IS 'The document; it may be gone.';


--
-- Name: COLUMN ocr_recent_incidents.filename; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_recent_incidents.filename IS 'Its filename.';


--
-- Name: COLUMN ocr_recent_incidents.offered_by; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_recent_incidents.offered_by IS 'The worker whose lease the offered token was, else the application_name.';


--
-- Name: COLUMN ocr_recent_incidents.lease_held_by; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_recent_incidents.lease_held_by IS 'The worker that held the live lease at that moment.';


--
-- Name: COLUMN ocr_recent_incidents.text_length; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_recent_incidents.text_length IS 'Length of the offered text in characters.';


--
-- Name: COLUMN ocr_recent_incidents.other_document_id; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_recent_incidents.other_document_id IS 'For foreign_text: the document that carries the text already.';


--
-- Name: COLUMN ocr_recent_incidents.other_filename; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_recent_incidents.other_filename IS 'Its filename.';


--
-- Name: COLUMN ocr_recent_incidents.session_user_name; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_recent_incidents.session_user_name IS 'The role that offered it.';


--
-- Name: COLUMN ocr_recent_incidents.application_name; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_recent_incidents.application_name IS 'The application.';


--
-- Name: COLUMN ocr_recent_incidents.client_addr; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_recent_incidents.client_addr IS 'The client''s address.';


--
-- Name: ocr_schema_files; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.ocr_schema_files (
    path text NOT NULL,
    checksum text NOT NULL,
    loaded_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);


--
-- Name: TABLE ocr_schema_files; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON TABLE public.ocr_schema_files IS 'The repeatable SQL files (functions, triggers, views, privileges) that were loaded.';


--
-- Name: COLUMN ocr_schema_files.path; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_schema_files.path IS 'Path of the file below db/.';


--
-- Name: COLUMN ocr_schema_files.checksum; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_schema_files.checksum IS 'SHA-256 of the file when it was loaded.';


--
-- Name: COLUMN ocr_schema_files.loaded_at; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_schema_files.loaded_at IS 'When.';


--
-- Name: ocr_stats; Type: MATERIALIZED VIEW; Schema: public; Owner: -
--

CREATE MATERIALIZED VIEW public.ocr_stats AS
 WITH counted AS (
         SELECT d.ocr_status,
            count(*) AS documents,
            avg(d.ocr_confidence) AS avg_confidence,
            min(d.ocr_confidence) AS min_confidence,
            avg(d.ocr_word_count) AS avg_word_count,
            sum(d.ocr_word_count) AS total_words,
            avg(d.ocr_processing_time_ms) AS avg_processing_time_ms,
            min(d.created_at) AS oldest_created_at,
            max(d.updated_at) AS newest_updated_at
           FROM public.documents d
          GROUP BY d.ocr_status
        )
 SELECT s.ocr_status,
    COALESCE(c.documents, (0)::bigint) AS documents,
    c.avg_confidence,
    c.min_confidence,
    c.avg_word_count,
    c.total_words,
    c.avg_processing_time_ms,
    c.oldest_created_at,
    c.newest_updated_at,
    now() AS refreshed_at
   FROM (( VALUES ('pending'::text), ('processing'::text), ('completed'::text), ('failed'::text)) s(ocr_status)
     LEFT JOIN counted c ON ((c.ocr_status = s.ocr_status)))
  WITH NO DATA;


--
-- Name: MATERIALIZED VIEW ocr_stats; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON MATERIALIZED VIEW public.ocr_stats IS 'Documents by status: one row each, also for a status that no document has. As of
refreshed_at; refresh_ocr_stats() brings it up to date, also while it is read.';


--
-- Name: COLUMN ocr_stats.ocr_status; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_stats.ocr_status IS 'The status.';


--
-- Name: COLUMN ocr_stats.documents; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_stats.documents IS 'Number of documents.';


--
-- Name: COLUMN ocr_stats.avg_confidence; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_stats.avg_confidence IS 'Mean confidence in percent.';


--
-- Name: COLUMN ocr_stats.min_confidence; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_stats.min_confidence IS 'Lowest confidence in percent.';


--
-- Name: COLUMN ocr_stats.avg_word_count; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_stats.avg_word_count IS 'Mean number of words.';


--
-- Name: COLUMN ocr_stats.total_words; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_stats.total_words IS 'Words in all.';


--
-- Name: COLUMN ocr_stats.avg_processing_time_ms; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_stats.avg_processing_time_ms IS 'Mean processing time in milliseconds.';


--
-- Name: COLUMN ocr_stats.oldest_created_at; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_stats.oldest_created_at IS 'Age of the oldest document.';


--
-- Name: COLUMN ocr_stats.newest_updated_at; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_stats.newest_updated_at IS 'Last change by the package.';


--
-- Name: COLUMN ocr_stats.refreshed_at; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_stats.refreshed_at IS 'When these figures were taken.';


--
-- Name: ocr_unsafe_statements; Type: VIEW; Schema: public; Owner: -
--

CREATE VIEW public.ocr_unsafe_statements AS
 SELECT count(*) AS statements,
    statement,
    detail AS change,
        CASE
            WHEN ((detail ~~ 'OG002%'::text) OR (detail ~~ 'OG005%'::text)) THEN 'update_ocr_safe() with the lease token from claim_ocr_jobs()'::text
            WHEN (detail ~~ 'OG003%'::text) THEN 'requeue_document(), which keeps the old result'::text
            WHEN (detail ~~ '% to processing%'::text) THEN 'claim_ocr_jobs()'::text
            WHEN (detail ~~ '% to failed%'::text) THEN 'fail_ocr_job() with the lease token'::text
            WHEN (detail ~~ '% to pending%'::text) THEN 'release_ocr_job(), retry_failed_ocr_jobs() or requeue_document()'::text
            ELSE 'update_ocr_safe(), or leave the columns of the result alone'::text
        END AS instead,
    session_user_name,
    application_name,
    min(created_at) AS first_at,
    max(created_at) AS last_at
   FROM public.ocr_incidents i
  WHERE ((reason = 'unsafe_statement'::text) AND (created_at > (now() - '7 days'::interval)))
  GROUP BY statement, detail, session_user_name, application_name;


--
-- Name: VIEW ocr_unsafe_statements; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON VIEW public.ocr_unsafe_statements IS 'Statements of the last seven days that guard_mode observe let through and enforce would
refuse, by code path: what has to change before set_guard_mode(''enforce'').';


--
-- Name: COLUMN ocr_unsafe_statements.statements; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_unsafe_statements.statements IS 'How often it came.';


--
-- Name: COLUMN ocr_unsafe_statements.statement; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_unsafe_statements.statement IS 'The statement without its literals, its first 500 characters.';


--
-- Name: COLUMN ocr_unsafe_statements.change; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_unsafe_statements.change IS 'The error that it would get, and what it did to the document''s status.';


--
-- Name: COLUMN ocr_unsafe_statements.instead; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_unsafe_statements.instead IS 'What to call instead.';


--
-- Name: COLUMN ocr_unsafe_statements.session_user_name; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_unsafe_statements.session_user_name IS 'The role that sent it.';


--
-- Name: COLUMN ocr_unsafe_statements.application_name; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_unsafe_statements.application_name IS 'The application.';


--
-- Name: COLUMN ocr_unsafe_statements.first_at; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_unsafe_statements.first_at IS 'When it came first.';


--
-- Name: COLUMN ocr_unsafe_statements.last_at; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_unsafe_statements.last_at IS 'When it came last.';


--
-- Name: ocr_worker_activity; Type: VIEW; Schema: public; Owner: -
--

CREATE VIEW public.ocr_worker_activity AS
 SELECT worker_id,
    count(*) AS jobs_in_hand,
    min(started_at) AS oldest_started_at,
    max(GREATEST(started_at, heartbeat_at)) AS last_heartbeat,
    min(lease_expires_at) AS next_lease_expires_at,
    sum(progress_current) AS pages_done,
    sum(progress_total) AS pages_total
   FROM public.ocr_queue q
  WHERE (status = 'processing'::text)
  GROUP BY worker_id;


--
-- Name: VIEW ocr_worker_activity; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON VIEW public.ocr_worker_activity IS 'Who works on what now: one row per worker that holds a lease.';


--
-- Name: COLUMN ocr_worker_activity.worker_id; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_worker_activity.worker_id IS 'The worker.';


--
-- Name: COLUMN ocr_worker_activity.jobs_in_hand; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_worker_activity.jobs_in_hand IS 'Leases that it holds.';


--
-- Name: COLUMN ocr_worker_activity.oldest_started_at; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_worker_activity.oldest_started_at IS 'When it claimed the oldest of them.';


--
-- Name: COLUMN ocr_worker_activity.last_heartbeat; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_worker_activity.last_heartbeat IS 'Its last sign of life.';


--
-- Name: COLUMN ocr_worker_activity.next_lease_expires_at; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_worker_activity.next_lease_expires_at IS 'When the first of its leases ends unless extended.';


--
-- Name: COLUMN ocr_worker_activity.pages_done; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_worker_activity.pages_done IS 'Pages reported as done.';


--
-- Name: COLUMN ocr_worker_activity.pages_total; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.ocr_worker_activity.pages_total IS 'Pages in all, where reported.';


--
-- Name: ocr_job_history_default; Type: TABLE ATTACH; Schema: public; Owner: -
--

ALTER TABLE ONLY public.ocr_job_history ATTACH PARTITION public.ocr_job_history_default DEFAULT;


--
-- Name: documents documents_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.documents
    ADD CONSTRAINT documents_pkey PRIMARY KEY (id);


--
-- Name: ocr_adoption ocr_adoption_object_key; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.ocr_adoption
    ADD CONSTRAINT ocr_adoption_object_key UNIQUE (kind, object);


--
-- Name: ocr_adoption ocr_adoption_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.ocr_adoption
    ADD CONSTRAINT ocr_adoption_pkey PRIMARY KEY (id);


--
-- Name: ocr_file_checks ocr_file_checks_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.ocr_file_checks
    ADD CONSTRAINT ocr_file_checks_pkey PRIMARY KEY (document_id);


--
-- Name: ocr_incidents ocr_incidents_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.ocr_incidents
    ADD CONSTRAINT ocr_incidents_pkey PRIMARY KEY (id);


--
-- Name: ocr_lease_locks ocr_lease_locks_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.ocr_lease_locks
    ADD CONSTRAINT ocr_lease_locks_pkey PRIMARY KEY (name);


--
-- Name: ocr_previous_results ocr_previous_results_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.ocr_previous_results
    ADD CONSTRAINT ocr_previous_results_pkey PRIMARY KEY (id);


--
-- Name: ocr_queue ocr_queue_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.ocr_queue
    ADD CONSTRAINT ocr_queue_pkey PRIMARY KEY (id);


--
-- Name: ocr_queue_state ocr_queue_state_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.ocr_queue_state
    ADD CONSTRAINT ocr_queue_state_pkey PRIMARY KEY (id);


--
-- Name: ocr_schema_files ocr_schema_files_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.ocr_schema_files
    ADD CONSTRAINT ocr_schema_files_pkey PRIMARY KEY (path);


--
-- Name: ocr_schema_objects ocr_schema_objects_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.ocr_schema_objects
    ADD CONSTRAINT ocr_schema_objects_pkey PRIMARY KEY (kind, identity);


--
-- Name: ocr_settings ocr_settings_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.ocr_settings
    ADD CONSTRAINT ocr_settings_pkey PRIMARY KEY (id);


--
-- Name: idx_documents_file_hash; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX idx_documents_file_hash ON public.documents USING hash (file_hash) WHERE (file_hash IS NOT NULL);


--
-- Name: idx_documents_ocr_text_hash; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX idx_documents_ocr_text_hash ON public.documents USING btree (ocr_text_hash) WHERE (ocr_text_hash IS NOT NULL);


--
-- Name: idx_documents_pending_ocr; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX idx_documents_pending_ocr ON public.documents USING btree (created_at) WHERE (ocr_status = 'pending'::text);


--
-- Name: idx_documents_processing_ocr; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX idx_documents_processing_ocr ON public.documents USING btree (updated_at) WHERE (ocr_status = 'processing'::text);


--
-- Name: idx_ocr_file_checks_missing; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX idx_ocr_file_checks_missing ON public.ocr_file_checks USING btree (document_id) WHERE (NOT present);


--
-- Name: idx_ocr_incidents_created_at; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX idx_ocr_incidents_created_at ON public.ocr_incidents USING btree (created_at);


--
-- Name: idx_ocr_incidents_document_id; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX idx_ocr_incidents_document_id ON public.ocr_incidents USING btree (document_id);


--
-- Name: idx_ocr_job_history_document_id; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX idx_ocr_job_history_document_id ON ONLY public.ocr_job_history USING btree (document_id);


--
-- Name: idx_ocr_job_history_finished_at; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX idx_ocr_job_history_finished_at ON ONLY public.ocr_job_history USING btree (finished_at);


--
-- Name: idx_ocr_job_history_infrastructure; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX idx_ocr_job_history_infrastructure ON ONLY public.ocr_job_history USING btree (finished_at) WHERE (error_class = 'infrastructure'::text);


--
-- Name: idx_ocr_previous_results_document_id; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX idx_ocr_previous_results_document_id ON public.ocr_previous_results USING btree (document_id);


--
-- Name: idx_ocr_queue_claim; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX idx_ocr_queue_claim ON public.ocr_queue USING btree (priority, run_after) WHERE (status = 'pending'::text);


--
-- Name: idx_ocr_queue_document_id; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX idx_ocr_queue_document_id ON public.ocr_queue USING btree (document_id);


--
-- Name: idx_ocr_queue_failed; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX idx_ocr_queue_failed ON public.ocr_queue USING btree (completed_at) WHERE (status = 'failed'::text);


--
-- Name: idx_ocr_queue_processing; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX idx_ocr_queue_processing ON public.ocr_queue USING btree (started_at) WHERE (status = 'processing'::text);


--
-- Name: idx_ocr_queue_unique_pending_document; Type: INDEX; Schema: public; Owner: -
--

CREATE UNIQUE INDEX idx_ocr_queue_unique_pending_document ON public.ocr_queue USING btree (document_id) WHERE (status = ANY (ARRAY['pending'::text, 'processing'::text]));


--
-- Name: idx_ocr_stats_ocr_status; Type: INDEX; Schema: public; Owner: -
--

CREATE UNIQUE INDEX idx_ocr_stats_ocr_status ON public.ocr_stats USING btree (ocr_status);


--
-- Name: ocr_job_history_default_document_id_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX ocr_job_history_default_document_id_idx ON public.ocr_job_history_default USING btree (document_id);


--
-- Name: ocr_job_history_default_finished_at_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX ocr_job_history_default_finished_at_idx ON public.ocr_job_history_default USING btree (finished_at);


--
-- Name: ocr_job_history_default_finished_at_idx1; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX ocr_job_history_default_finished_at_idx1 ON public.ocr_job_history_default USING btree (finished_at) WHERE (error_class = 'infrastructure'::text);


--
-- Name: ocr_job_history_default_document_id_idx; Type: INDEX ATTACH; Schema: public; Owner: -
--

ALTER INDEX public.idx_ocr_job_history_document_id ATTACH PARTITION public.ocr_job_history_default_document_id_idx;


--
-- Name: ocr_job_history_default_finished_at_idx; Type: INDEX ATTACH; Schema: public; Owner: -
--

ALTER INDEX public.idx_ocr_job_history_finished_at ATTACH PARTITION public.ocr_job_history_default_finished_at_idx;


--
-- Name: ocr_job_history_default_finished_at_idx1; Type: INDEX ATTACH; Schema: public; Owner: -
--

ALTER INDEX public.idx_ocr_job_history_infrastructure ATTACH PARTITION public.ocr_job_history_default_finished_at_idx1;


--
-- Name: documents trigger_cleanup_completed_ocr_queue; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER trigger_cleanup_completed_ocr_queue AFTER UPDATE ON public.documents FOR EACH ROW WHEN (((new.ocr_completed_at IS DISTINCT FROM old.ocr_completed_at) AND public.is_finishing_left_to_trigger(new.tableoid))) EXECUTE FUNCTION public.cleanup_completed_ocr_queue();


--
-- Name: TRIGGER trigger_cleanup_completed_ocr_queue ON documents; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON TRIGGER trigger_cleanup_completed_ocr_queue ON public.documents IS 'Removes the job of a completed document and writes the history row (G3).';


--
-- Name: documents trigger_hash_inserted_ocr_text; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER trigger_hash_inserted_ocr_text BEFORE INSERT ON public.documents FOR EACH ROW WHEN ((new.ocr_text IS NOT NULL)) EXECUTE FUNCTION public.hash_inserted_ocr_text();


--
-- Name: TRIGGER trigger_hash_inserted_ocr_text ON documents; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON TRIGGER trigger_hash_inserted_ocr_text ON public.documents IS 'Fills ocr_text_hash of documents that are inserted with their result (G7).';


--
-- Name: documents trigger_validate_ocr_consistency; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER trigger_validate_ocr_consistency BEFORE UPDATE ON public.documents FOR EACH ROW EXECUTE FUNCTION public.validate_ocr_consistency();


--
-- Name: TRIGGER trigger_validate_ocr_consistency ON documents; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON TRIGGER trigger_validate_ocr_consistency ON public.documents IS 'Holds the guarantees against every UPDATE (G8).';


--
-- Name: ocr_file_checks fk_ocr_file_checks_document_id; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.ocr_file_checks
    ADD CONSTRAINT fk_ocr_file_checks_document_id FOREIGN KEY (document_id) REFERENCES public.documents(id) ON DELETE CASCADE;


--
-- Name: ocr_previous_results fk_ocr_previous_results_document_id; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.ocr_previous_results
    ADD CONSTRAINT fk_ocr_previous_results_document_id FOREIGN KEY (document_id) REFERENCES public.documents(id) ON DELETE CASCADE;


--
-- Name: ocr_queue fk_ocr_queue_document_id; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.ocr_queue
    ADD CONSTRAINT fk_ocr_queue_document_id FOREIGN KEY (document_id) REFERENCES public.documents(id) ON DELETE CASCADE;


--
-- Name: TYPE ocr_id_types; Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON TYPE public.ocr_id_types FROM PUBLIC;


--
-- Name: TYPE ocr_result; Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON TYPE public.ocr_result FROM PUBLIC;


--
-- Name: FUNCTION acquire_lease_lock(p_name text, p_owner text, p_ttl interval); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.acquire_lease_lock(p_name text, p_owner text, p_ttl interval) FROM PUBLIC;
GRANT ALL ON FUNCTION public.acquire_lease_lock(p_name text, p_owner text, p_ttl interval) TO ocr_operator;


--
-- Name: FUNCTION admit_circuit_probe(); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.admit_circuit_probe() FROM PUBLIC;


--
-- Name: FUNCTION are_sha256_digits(p_hash text); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.are_sha256_digits(p_hash text) FROM PUBLIC;


--
-- Name: FUNCTION cancel_ocr_job(p_document_id uuid, p_reason text); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.cancel_ocr_job(p_document_id uuid, p_reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.cancel_ocr_job(p_document_id uuid, p_reason text) TO ocr_operator;


--
-- Name: FUNCTION check_lease_arguments(p_document_id uuid, p_lease_token uuid); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.check_lease_arguments(p_document_id uuid, p_lease_token uuid) FROM PUBLIC;


--
-- Name: FUNCTION claim_ocr_jobs(p_worker_id text, p_batch_size integer, p_lease interval, p_raise_if_closed boolean); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.claim_ocr_jobs(p_worker_id text, p_batch_size integer, p_lease interval, p_raise_if_closed boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION public.claim_ocr_jobs(p_worker_id text, p_batch_size integer, p_lease interval, p_raise_if_closed boolean) TO ocr_worker;


--
-- Name: FUNCTION cleanup_completed_ocr_queue(); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.cleanup_completed_ocr_queue() FROM PUBLIC;


--
-- Name: FUNCTION count_circuit_failure(p_document_id uuid, p_lease_token uuid, p_error text, p_error_class text); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.count_circuit_failure(p_document_id uuid, p_lease_token uuid, p_error text, p_error_class text) FROM PUBLIC;


--
-- Name: FUNCTION create_ocr_history_partitions(p_months_ahead integer); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.create_ocr_history_partitions(p_months_ahead integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.create_ocr_history_partitions(p_months_ahead integer) TO ocr_operator;


--
-- Name: FUNCTION elapsed_ms(p_from timestamp with time zone, p_to timestamp with time zone); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.elapsed_ms(p_from timestamp with time zone, p_to timestamp with time zone) FROM PUBLIC;


--
-- Name: FUNCTION end_ocr_leases(p_document_ids uuid[], p_outcome text, p_error text, p_next text, p_is_attempt_spent boolean, p_with_backoff boolean, p_error_class text, p_engine text); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.end_ocr_leases(p_document_ids uuid[], p_outcome text, p_error text, p_next text, p_is_attempt_spent boolean, p_with_backoff boolean, p_error_class text, p_engine text) FROM PUBLIC;


--
-- Name: FUNCTION enqueue_ocr_job(p_document_id uuid, p_priority integer, p_run_after timestamp with time zone, p_max_attempts integer); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.enqueue_ocr_job(p_document_id uuid, p_priority integer, p_run_after timestamp with time zone, p_max_attempts integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.enqueue_ocr_job(p_document_id uuid, p_priority integer, p_run_after timestamp with time zone, p_max_attempts integer) TO ocr_producer;


--
-- Name: FUNCTION enqueue_ocr_jobs(p_document_ids uuid[], p_priority integer, p_run_after timestamp with time zone, p_max_attempts integer); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.enqueue_ocr_jobs(p_document_ids uuid[], p_priority integer, p_run_after timestamp with time zone, p_max_attempts integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.enqueue_ocr_jobs(p_document_ids uuid[], p_priority integer, p_run_after timestamp with time zone, p_max_attempts integer) TO ocr_producer;


--
-- Name: FUNCTION enqueue_pending_documents(p_limit integer); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.enqueue_pending_documents(p_limit integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.enqueue_pending_documents(p_limit integer) TO ocr_producer;


--
-- Name: FUNCTION extend_ocr_leases(p_document_ids uuid[], p_lease_tokens uuid[], p_lease interval); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.extend_ocr_leases(p_document_ids uuid[], p_lease_tokens uuid[], p_lease interval) FROM PUBLIC;
GRANT ALL ON FUNCTION public.extend_ocr_leases(p_document_ids uuid[], p_lease_tokens uuid[], p_lease interval) TO ocr_worker;


--
-- Name: FUNCTION fail_ocr_job(p_document_id uuid, p_lease_token uuid, p_error text, p_error_class text, p_engine text); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.fail_ocr_job(p_document_id uuid, p_lease_token uuid, p_error text, p_error_class text, p_engine text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.fail_ocr_job(p_document_id uuid, p_lease_token uuid, p_error text, p_error_class text, p_engine text) TO ocr_worker;


--
-- Name: FUNCTION fail_rejected_job(p_result public.ocr_result, p_error text); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.fail_rejected_job(p_result public.ocr_result, p_error text) FROM PUBLIC;


--
-- Name: FUNCTION find_document_files(p_after uuid, p_limit integer); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.find_document_files(p_after uuid, p_limit integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.find_document_files(p_after uuid, p_limit integer) TO ocr_operator;


--
-- Name: FUNCTION find_inconsistencies(p_limit integer); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.find_inconsistencies(p_limit integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.find_inconsistencies(p_limit integer) TO ocr_operator;
GRANT ALL ON FUNCTION public.find_inconsistencies(p_limit integer) TO ocr_monitor;


--
-- Name: FUNCTION find_invalid_result(p_document_id uuid, p_expected_filename text, p_ocr_text text, p_confidence double precision, p_word_count integer, p_processing_time_ms integer, p_source_hash text); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.find_invalid_result(p_document_id uuid, p_expected_filename text, p_ocr_text text, p_confidence double precision, p_word_count integer, p_processing_time_ms integer, p_source_hash text) FROM PUBLIC;


--
-- Name: FUNCTION find_stuck_ocr_jobs(p_threshold_minutes integer); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.find_stuck_ocr_jobs(p_threshold_minutes integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.find_stuck_ocr_jobs(p_threshold_minutes integer) TO ocr_operator;
GRANT ALL ON FUNCTION public.find_stuck_ocr_jobs(p_threshold_minutes integer) TO ocr_monitor;


--
-- Name: TABLE ocr_job_history; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT ON TABLE public.ocr_job_history TO ocr_operator;


--
-- Name: FUNCTION form_result_history(p_document_id uuid, p_engine text, p_processing_time_ms integer, p_confidence double precision, p_word_count integer, p_source_hash text, p_lease_token uuid, p_job public.ocr_queue); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.form_result_history(p_document_id uuid, p_engine text, p_processing_time_ms integer, p_confidence double precision, p_word_count integer, p_source_hash text, p_lease_token uuid, p_job public.ocr_queue) FROM PUBLIC;


--
-- Name: FUNCTION hash_inserted_ocr_text(); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.hash_inserted_ocr_text() FROM PUBLIC;


--
-- Name: FUNCTION hash_ocr_text(p_text text); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.hash_ocr_text(p_text text) FROM PUBLIC;


--
-- Name: FUNCTION ingest_ocr_documents(p_files json, p_priority integer); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.ingest_ocr_documents(p_files json, p_priority integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.ingest_ocr_documents(p_files json, p_priority integer) TO ocr_producer;


--
-- Name: FUNCTION is_text_compared(p_ocr_text text, p_word_count integer, p_min_words integer); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.is_text_compared(p_ocr_text text, p_word_count integer, p_min_words integer) FROM PUBLIC;


--
-- Name: FUNCTION judge_ocr_result(p_ocr_status text, p_live_token uuid, p_result_token uuid, p_claims integer, p_filename text, p_file_hash text, p_offered_token uuid, p_expected_filename text, p_source_hash text, p_ocr_text text, p_confidence double precision, p_word_count integer, p_require_lease_token boolean, p_require_source_hash boolean, p_word_count_tolerance numeric); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.judge_ocr_result(p_ocr_status text, p_live_token uuid, p_result_token uuid, p_claims integer, p_filename text, p_file_hash text, p_offered_token uuid, p_expected_filename text, p_source_hash text, p_ocr_text text, p_confidence double precision, p_word_count integer, p_require_lease_token boolean, p_require_source_hash boolean, p_word_count_tolerance numeric) FROM PUBLIC;


--
-- Name: FUNCTION list_broken_guards(); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.list_broken_guards() FROM PUBLIC;


--
-- Name: FUNCTION list_foreign_texts(p_document_id uuid, p_file_hash text, p_ocr_text text, p_word_count integer, p_min_words integer); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.list_foreign_texts(p_document_id uuid, p_file_hash text, p_ocr_text text, p_word_count integer, p_min_words integer) FROM PUBLIC;


--
-- Name: FUNCTION list_loaded_objects(); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.list_loaded_objects() FROM PUBLIC;


--
-- Name: TABLE ocr_settings; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT ON TABLE public.ocr_settings TO ocr_operator;
GRANT SELECT ON TABLE public.ocr_settings TO ocr_monitor;


--
-- Name: FUNCTION list_ocr_findings(); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.list_ocr_findings() FROM PUBLIC;


--
-- Name: FUNCTION lock_live_lease(p_document_id uuid, p_lease_token uuid); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.lock_live_lease(p_document_id uuid, p_lease_token uuid) FROM PUBLIC;


--
-- Name: FUNCTION lock_ocr_documents(p_document_ids uuid[]); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.lock_ocr_documents(p_document_ids uuid[]) FROM PUBLIC;


--
-- Name: FUNCTION lock_ocr_offers(p_results public.ocr_result[]); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.lock_ocr_offers(p_results public.ocr_result[]) FROM PUBLIC;


--
-- Name: FUNCTION lock_resource(p_name text, p_timeout interval); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.lock_resource(p_name text, p_timeout interval) FROM PUBLIC;
GRANT ALL ON FUNCTION public.lock_resource(p_name text, p_timeout interval) TO ocr_operator;


--
-- Name: FUNCTION notify_ocr_workers(); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.notify_ocr_workers() FROM PUBLIC;


--
-- Name: FUNCTION observe_ocr_update(p_old public.documents, p_new public.documents, p_errcode text); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.observe_ocr_update(p_old public.documents, p_new public.documents, p_errcode text) FROM PUBLIC;


--
-- Name: FUNCTION offer_ocr_batch(p_results public.ocr_result[], p_json json); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.offer_ocr_batch(p_results public.ocr_result[], p_json json) FROM PUBLIC;


--
-- Name: FUNCTION offer_ocr_element(p_element json, p_result public.ocr_result, OUT outcome text, OUT detail text); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.offer_ocr_element(p_element json, p_result public.ocr_result, OUT outcome text, OUT detail text) FROM PUBLIC;


--
-- Name: FUNCTION offer_ocr_results(p_results public.ocr_result[]); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.offer_ocr_results(p_results public.ocr_result[]) FROM PUBLIC;


--
-- Name: FUNCTION pause_ocr_queue(p_reason text); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.pause_ocr_queue(p_reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.pause_ocr_queue(p_reason text) TO ocr_operator;


--
-- Name: FUNCTION raise_final_result(p_document_id uuid, p_change text); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.raise_final_result(p_document_id uuid, p_change text) FROM PUBLIC;


--
-- Name: FUNCTION read_claim_marks(); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.read_claim_marks() FROM PUBLIC;


--
-- Name: FUNCTION read_ocr_result(p_element json); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.read_ocr_result(p_element json) FROM PUBLIC;


--
-- Name: FUNCTION record_ocr_file_checks(p_document_ids uuid[], p_present boolean[], p_actual_hashes text[]); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.record_ocr_file_checks(p_document_ids uuid[], p_present boolean[], p_actual_hashes text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION public.record_ocr_file_checks(p_document_ids uuid[], p_present boolean[], p_actual_hashes text[]) TO ocr_operator;


--
-- Name: FUNCTION record_ocr_refusals(p_results public.ocr_result[], p_written bigint[], p_foreign_ids uuid[]); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.record_ocr_refusals(p_results public.ocr_result[], p_written bigint[], p_foreign_ids uuid[]) FROM PUBLIC;


--
-- Name: FUNCTION record_written_results(p_document_ids uuid[], p_jobs public.ocr_queue[]); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.record_written_results(p_document_ids uuid[], p_jobs public.ocr_queue[]) FROM PUBLIC;


--
-- Name: FUNCTION refresh_ocr_stats(); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.refresh_ocr_stats() FROM PUBLIC;
GRANT ALL ON FUNCTION public.refresh_ocr_stats() TO ocr_operator;
GRANT ALL ON FUNCTION public.refresh_ocr_stats() TO ocr_monitor;


--
-- Name: FUNCTION reject_argument(p_argument text, p_expected text, p_value text); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.reject_argument(p_argument text, p_expected text, p_value text) FROM PUBLIC;


--
-- Name: FUNCTION release_lease_lock(p_name text, p_fence bigint); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.release_lease_lock(p_name text, p_fence bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION public.release_lease_lock(p_name text, p_fence bigint) TO ocr_operator;


--
-- Name: FUNCTION release_ocr_job(p_document_id uuid, p_lease_token uuid); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.release_ocr_job(p_document_id uuid, p_lease_token uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION public.release_ocr_job(p_document_id uuid, p_lease_token uuid) TO ocr_worker;


--
-- Name: FUNCTION repair_broken_rows(p_locked_ids uuid[], p_job_ids uuid[]); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.repair_broken_rows(p_locked_ids uuid[], p_job_ids uuid[]) FROM PUBLIC;


--
-- Name: FUNCTION repair_database_consistency(p_dry_run boolean); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.repair_database_consistency(p_dry_run boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION public.repair_database_consistency(p_dry_run boolean) TO ocr_operator;


--
-- Name: FUNCTION report_ocr_progress(p_document_id uuid, p_lease_token uuid, p_current integer, p_total integer); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.report_ocr_progress(p_document_id uuid, p_lease_token uuid, p_current integer, p_total integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.report_ocr_progress(p_document_id uuid, p_lease_token uuid, p_current integer, p_total integer) TO ocr_worker;


--
-- Name: FUNCTION requeue_document(p_document_id uuid, p_reason text, p_priority integer); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.requeue_document(p_document_id uuid, p_reason text, p_priority integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.requeue_document(p_document_id uuid, p_reason text, p_priority integer) TO ocr_producer;
GRANT ALL ON FUNCTION public.requeue_document(p_document_id uuid, p_reason text, p_priority integer) TO ocr_operator;


--
-- Name: FUNCTION reset_stuck_ocr_jobs(p_threshold_minutes integer); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.reset_stuck_ocr_jobs(p_threshold_minutes integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.reset_stuck_ocr_jobs(p_threshold_minutes integer) TO ocr_operator;


--
-- Name: FUNCTION restart_replaced_job(p_document_id uuid, p_lease_token uuid); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.restart_replaced_job(p_document_id uuid, p_lease_token uuid) FROM PUBLIC;


--
-- Name: FUNCTION restore_previous_result(p_document_id uuid); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.restore_previous_result(p_document_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION public.restore_previous_result(p_document_id uuid) TO ocr_producer;
GRANT ALL ON FUNCTION public.restore_previous_result(p_document_id uuid) TO ocr_operator;


--
-- Name: FUNCTION resume_ocr_queue(); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.resume_ocr_queue() FROM PUBLIC;
GRANT ALL ON FUNCTION public.resume_ocr_queue() TO ocr_operator;


--
-- Name: FUNCTION retry_failed_ocr_jobs(p_limit integer, p_error_like text); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.retry_failed_ocr_jobs(p_limit integer, p_error_like text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.retry_failed_ocr_jobs(p_limit integer, p_error_like text) TO ocr_operator;


--
-- Name: FUNCTION return_expired_leases(); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.return_expired_leases() FROM PUBLIC;


--
-- Name: FUNCTION set_circuit_state(p_state text, p_error text, p_probe_document_id uuid, p_probe_token uuid); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.set_circuit_state(p_state text, p_error text, p_probe_document_id uuid, p_probe_token uuid) FROM PUBLIC;


--
-- Name: FUNCTION set_claim_marks(); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.set_claim_marks() FROM PUBLIC;


--
-- Name: FUNCTION set_guard_mode(p_mode text); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.set_guard_mode(p_mode text) FROM PUBLIC;


--
-- Name: FUNCTION set_ocr_setting(p_name text, p_value text); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.set_ocr_setting(p_name text, p_value text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.set_ocr_setting(p_name text, p_value text) TO ocr_operator;


--
-- Name: FUNCTION settle_displaced_jobs(p_now timestamp with time zone, p_marks timestamp with time zone[]); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.settle_displaced_jobs(p_now timestamp with time zone, p_marks timestamp with time zone[]) FROM PUBLIC;


--
-- Name: FUNCTION start_ocr_jobs(p_document_ids uuid[], p_priority integer, p_run_after timestamp with time zone, p_max_attempts integer); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.start_ocr_jobs(p_document_ids uuid[], p_priority integer, p_run_after timestamp with time zone, p_max_attempts integer) FROM PUBLIC;


--
-- Name: FUNCTION strip_literals(p_statement text); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.strip_literals(p_statement text) FROM PUBLIC;


--
-- Name: FUNCTION update_ocr_arrays_safe(p_document_ids uuid[], p_expected_filenames text[], p_ocr_texts text[], p_confidences double precision[], p_word_counts integer[], p_processing_times_ms integer[], p_lease_tokens uuid[], p_source_hashes text[], p_engines text[]); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.update_ocr_arrays_safe(p_document_ids uuid[], p_expected_filenames text[], p_ocr_texts text[], p_confidences double precision[], p_word_counts integer[], p_processing_times_ms integer[], p_lease_tokens uuid[], p_source_hashes text[], p_engines text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION public.update_ocr_arrays_safe(p_document_ids uuid[], p_expected_filenames text[], p_ocr_texts text[], p_confidences double precision[], p_word_counts integer[], p_processing_times_ms integer[], p_lease_tokens uuid[], p_source_hashes text[], p_engines text[]) TO ocr_worker;


--
-- Name: FUNCTION update_ocr_batch_safe(p_results json); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.update_ocr_batch_safe(p_results json) FROM PUBLIC;
GRANT ALL ON FUNCTION public.update_ocr_batch_safe(p_results json) TO ocr_worker;


--
-- Name: FUNCTION update_ocr_safe(p_document_id uuid, p_expected_filename text, p_ocr_text text, p_confidence double precision, p_word_count integer, p_processing_time_ms integer, p_lease_token uuid, p_source_hash text, p_engine text); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.update_ocr_safe(p_document_id uuid, p_expected_filename text, p_ocr_text text, p_confidence double precision, p_word_count integer, p_processing_time_ms integer, p_lease_token uuid, p_source_hash text, p_engine text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.update_ocr_safe(p_document_id uuid, p_expected_filename text, p_ocr_text text, p_confidence double precision, p_word_count integer, p_processing_time_ms integer, p_lease_token uuid, p_source_hash text, p_engine text) TO ocr_worker;


--
-- Name: FUNCTION validate_database_consistency(); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.validate_database_consistency() FROM PUBLIC;
GRANT ALL ON FUNCTION public.validate_database_consistency() TO ocr_operator;
GRANT ALL ON FUNCTION public.validate_database_consistency() TO ocr_monitor;


--
-- Name: FUNCTION validate_ocr_consistency(); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.validate_ocr_consistency() FROM PUBLIC;


--
-- Name: FUNCTION write_ocr_results(p_results public.ocr_result[], OUT is_complete boolean, OUT written bigint[], OUT foreign_ids uuid[]); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.write_ocr_results(p_results public.ocr_result[], OUT is_complete boolean, OUT written bigint[], OUT foreign_ids uuid[]) FROM PUBLIC;


--
-- Name: COLUMN ocr_incidents.id; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT(id) ON TABLE public.ocr_incidents TO ocr_operator;


--
-- Name: COLUMN ocr_incidents.created_at; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT(created_at) ON TABLE public.ocr_incidents TO ocr_operator;


--
-- Name: COLUMN ocr_incidents.reason; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT(reason) ON TABLE public.ocr_incidents TO ocr_operator;


--
-- Name: COLUMN ocr_incidents.document_id; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT(document_id) ON TABLE public.ocr_incidents TO ocr_operator;


--
-- Name: COLUMN ocr_incidents.job_id; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT(job_id) ON TABLE public.ocr_incidents TO ocr_operator;


--
-- Name: COLUMN ocr_incidents.worker_id; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT(worker_id) ON TABLE public.ocr_incidents TO ocr_operator;


--
-- Name: COLUMN ocr_incidents.expected_filename; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT(expected_filename) ON TABLE public.ocr_incidents TO ocr_operator;


--
-- Name: COLUMN ocr_incidents.actual_filename; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT(actual_filename) ON TABLE public.ocr_incidents TO ocr_operator;


--
-- Name: COLUMN ocr_incidents.offered_hash; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT(offered_hash) ON TABLE public.ocr_incidents TO ocr_operator;


--
-- Name: COLUMN ocr_incidents.actual_hash; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT(actual_hash) ON TABLE public.ocr_incidents TO ocr_operator;


--
-- Name: COLUMN ocr_incidents.text_length; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT(text_length) ON TABLE public.ocr_incidents TO ocr_operator;


--
-- Name: COLUMN ocr_incidents.text_hash; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT(text_hash) ON TABLE public.ocr_incidents TO ocr_operator;


--
-- Name: COLUMN ocr_incidents.other_document_id; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT(other_document_id) ON TABLE public.ocr_incidents TO ocr_operator;


--
-- Name: COLUMN ocr_incidents.detail; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT(detail) ON TABLE public.ocr_incidents TO ocr_operator;


--
-- Name: COLUMN ocr_incidents.statement; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT(statement) ON TABLE public.ocr_incidents TO ocr_operator;


--
-- Name: COLUMN ocr_incidents.session_user_name; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT(session_user_name) ON TABLE public.ocr_incidents TO ocr_operator;


--
-- Name: COLUMN ocr_incidents.application_name; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT(application_name) ON TABLE public.ocr_incidents TO ocr_operator;


--
-- Name: COLUMN ocr_incidents.client_addr; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT(client_addr) ON TABLE public.ocr_incidents TO ocr_operator;


--
-- Name: TABLE ocr_processing_rate; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT ON TABLE public.ocr_processing_rate TO ocr_operator;
GRANT SELECT ON TABLE public.ocr_processing_rate TO ocr_monitor;


--
-- Name: TABLE ocr_queue_overview; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT ON TABLE public.ocr_queue_overview TO ocr_worker;
GRANT SELECT ON TABLE public.ocr_queue_overview TO ocr_operator;
GRANT SELECT ON TABLE public.ocr_queue_overview TO ocr_monitor;


--
-- Name: COLUMN ocr_queue_state.paused_at; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT(paused_at) ON TABLE public.ocr_queue_state TO ocr_worker;
GRANT SELECT(paused_at) ON TABLE public.ocr_queue_state TO ocr_operator;
GRANT SELECT(paused_at) ON TABLE public.ocr_queue_state TO ocr_monitor;


--
-- Name: COLUMN ocr_queue_state.paused_by; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT(paused_by) ON TABLE public.ocr_queue_state TO ocr_operator;
GRANT SELECT(paused_by) ON TABLE public.ocr_queue_state TO ocr_monitor;


--
-- Name: COLUMN ocr_queue_state.paused_reason; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT(paused_reason) ON TABLE public.ocr_queue_state TO ocr_operator;
GRANT SELECT(paused_reason) ON TABLE public.ocr_queue_state TO ocr_monitor;


--
-- Name: COLUMN ocr_queue_state.circuit_state; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT(circuit_state) ON TABLE public.ocr_queue_state TO ocr_operator;
GRANT SELECT(circuit_state) ON TABLE public.ocr_queue_state TO ocr_monitor;


--
-- Name: COLUMN ocr_queue_state.circuit_changed_at; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT(circuit_changed_at) ON TABLE public.ocr_queue_state TO ocr_operator;
GRANT SELECT(circuit_changed_at) ON TABLE public.ocr_queue_state TO ocr_monitor;


--
-- Name: COLUMN ocr_queue_state.circuit_open_until; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT(circuit_open_until) ON TABLE public.ocr_queue_state TO ocr_operator;
GRANT SELECT(circuit_open_until) ON TABLE public.ocr_queue_state TO ocr_monitor;


--
-- Name: COLUMN ocr_queue_state.circuit_last_error; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT(circuit_last_error) ON TABLE public.ocr_queue_state TO ocr_operator;
GRANT SELECT(circuit_last_error) ON TABLE public.ocr_queue_state TO ocr_monitor;


--
-- Name: TABLE ocr_recent_failures; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT ON TABLE public.ocr_recent_failures TO ocr_operator;
GRANT SELECT ON TABLE public.ocr_recent_failures TO ocr_monitor;


--
-- Name: TABLE ocr_recent_incidents; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT ON TABLE public.ocr_recent_incidents TO ocr_operator;
GRANT SELECT ON TABLE public.ocr_recent_incidents TO ocr_monitor;


--
-- Name: TABLE ocr_stats; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT ON TABLE public.ocr_stats TO ocr_operator;
GRANT SELECT ON TABLE public.ocr_stats TO ocr_monitor;


--
-- Name: TABLE ocr_unsafe_statements; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT ON TABLE public.ocr_unsafe_statements TO ocr_operator;
GRANT SELECT ON TABLE public.ocr_unsafe_statements TO ocr_monitor;


--
-- Name: TABLE ocr_worker_activity; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT ON TABLE public.ocr_worker_activity TO ocr_operator;
GRANT SELECT ON TABLE public.ocr_worker_activity TO ocr_monitor;


--
-- PostgreSQL database dump complete
--
