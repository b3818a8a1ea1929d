-- Rows of adopted tables that a constraint would refuse which is not valid yet, or not
-- in force. The constraints themselves say what is wrong: one scan of each table for
-- all of its own, and none once they are valid.

create or replace function list_broken_guards()
returns table (
    document_id documents.id%type,
    job_id ocr_queue.id%type,
    constraint_name text
)
language plpgsql
stable
set search_path from current
as $function$
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
$function$;

comment on function list_broken_guards is
'Internal. Documents and jobs of adopted tables that break a constraint of the package
which is not valid there yet, each with the first constraint that it breaks.';
