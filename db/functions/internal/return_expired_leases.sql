-- Called by claims, now and then (ocr_settings.expiry_sweep_interval). The turnstile is
-- a sequence: it is set at once for everybody, and no claim that keeps its transaction
-- open can hold it; should two get through together, they pass over each other's rows.
-- Reads the jobs in processing, of which there are as many as there is work in hand,
-- through their own partial index. Never waits: what is locked is being ended or
-- written right now.

create or replace function return_expired_leases()
returns integer
language plpgsql
volatile
set search_path from current
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set jit = off
as $function$
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
$function$;

comment on function return_expired_leases is
'Internal. Returns jobs whose lease has expired to pending, or to failed where attempts
are used up (G9), and sets the time of the next look. Returns how many.';
