create or replace function find_inconsistencies(p_limit integer default 100)
returns table (
    kind text,
    document_id documents.id%type,
    job_id ocr_queue.id%type,
    detail text
)
language plpgsql
stable
security definer
set search_path from current
as $function$
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
$function$;

comment on function find_inconsistencies is
'Lists what validate_database_consistency() counts, at most p_limit rows: the kind of
finding, the document or job, and the finding in words. Raises 22023 for a limit outside
1 to 1000000.';
