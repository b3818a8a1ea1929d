create or replace function record_ocr_file_checks(
    p_document_ids ocr_id_types.document_ids%type,
    p_present boolean [],
    p_actual_hashes text []
)
returns integer
language plpgsql
volatile
security definer
set search_path from current
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set jit = off
as $function$
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
$function$;

comment on function record_ocr_file_checks is
'Records what a look at the files of documents found: whether each was present, and its
SHA-256 where it was read. Read by validate_database_consistency(). Returns how many;
documents that do not exist are passed over. Raises 22023 for arrays that differ in
length or hold what they must not.';
