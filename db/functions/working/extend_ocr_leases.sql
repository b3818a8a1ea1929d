-- The documents are locked, not only read: a reset and a new claim may be under way,
-- and a heartbeat that is let in between would keep a stranger's lease alive (G2).

create or replace function extend_ocr_leases(
    p_document_ids ocr_id_types.document_ids%type,
    p_lease_tokens uuid[],
    p_lease interval default null
)
returns table (
    document_id documents.id%type,
    lease_expires_at timestamptz
)
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
$function$;

comment on function extend_ocr_leases is
'Heartbeat for many jobs at once: each lease that is still the caller''s lasts p_lease
(default: ocr_settings.default_lease) from now. A document that is missing from the
answer is lost: stop working on it, its result would be refused (G2). An expired lease
that nobody has taken over yet is extended. Raises 22023 for arrays that are null, hold
nulls or differ in length.';
