-- One call for a folder of files. Serialised by an advisory lock, so that two ingests
-- of the same folder cannot both find a hash to be new; a unique constraint would
-- forbid what is legal, two documents with the same file.

create or replace function ingest_ocr_documents(
    p_files json,
    p_priority integer default 5
)
returns table (
    ordinal integer,
    document_id documents.id%type,
    created boolean
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
$function$;

comment on function ingest_ocr_documents is
'Adds files as documents and enqueues them; a file whose SHA-256 a document already has
is passed over. p_files is a json array of objects with the keys filename, file_path,
file_hash, file_size (bytes), mime_type. Returns one row per file in order: the document
with this hash, and whether it was made by this call. Raises 22023 for a malformed file,
then nothing is added.';
