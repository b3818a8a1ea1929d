-- What there is of functions, triggers and views: every object of the schema that a
-- repeatable file can create. The loader reads the body of this function out of this
-- file, since it compares before and after, and before there may be no function.
-- `identity` is what DROP takes while search_path names the schema, `definition` a hash
-- of what the object does, `version` changes with every write to it.

create or replace function list_loaded_objects()
returns table (
    kind text,
    identity text,
    definition text,
    version text
)
language sql
stable
set search_path from current
as $function$

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
$function$;

comment on function list_loaded_objects is
'Internal. Functions, triggers and views of the schema: kind and identity as in
ocr_schema_objects, a hash of the definition as it is now, and a version.';
