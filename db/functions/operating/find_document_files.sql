-- For whoever looks after the files, record_ocr_file_checks() at hand: which there
-- should be. A page is found through the primary key, however many came before it.

create or replace function find_document_files(
    p_after documents.id%type default null,
    p_limit integer default 1000
)
returns table (
    document_id documents.id%type,
    file_path text,
    file_hash text
)
language plpgsql
stable
security definer
set search_path from current
set plan_cache_mode = force_custom_plan
as $function$
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
$function$;

comment on function find_document_files is
'The files that documents say they have, p_limit of them in the order of the document''s
id, from the first id after p_after. Take the last id of a page as p_after of the next;
a page with fewer than p_limit rows is the last. Raises 22023 for a limit outside 1 to
10000.';
