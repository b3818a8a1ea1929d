-- plpgsql_check reads every PL/pgSQL function as the server would run it: each
-- statement is planned, on every path. It finds what no test happens to come by.
-- A trigger function is checked for each table that it serves.

\set QUIET on
begin;

select count(*) > 0 as available
from pg_available_extensions as e
where e.name = 'plpgsql_check'
\gset

\if :available

create extension if not exists plpgsql_check schema tap;

create temporary view checked as
select
    p.oid,
    coalesce(t.tgrelid, 0) as relid,
    t.tgoldtable,
    t.tgnewtable,
    p.oid::regprocedure::text
    || coalesce(' on ' || t.tgrelid::regclass::text, '') as name
from pg_proc as p
inner join pg_language as l on p.prolang = l.oid
-- Partitions have clones of their parent's triggers.
left join pg_trigger as t
    on p.oid = t.tgfoid and not t.tgisinternal and t.tgparentid = 0
where p.pronamespace = current_schema()::regnamespace
    and l.lanname = 'plpgsql'
    and (p.prorettype <> 'trigger'::regtype or t.oid is not null);

-- Their statements cannot be put together from names and literals alone: they stand in
-- ocr_adoption, which nobody but the installer can write to.
create temporary view runs_listed_statements as
select l.name
from (values ('list_broken_guards()'), ('set_guard_mode(text)')) as l (name);

create temporary view findings as
select
    c.name,
    string_agg(
        concat_ws(
            ', ',
            f.level,
            'line ' || f.lineno::text,
            f.statement,
            f.message,
            f.detail,
            f.hint,
            f.query
        ),
        e'\n'
        order by f.lineno
    ) as found
from checked as c
left join lateral plpgsql_check_function_tb(
    funcoid => c.oid,
    relid => c.relid,
    oldtable => c.tgoldtable,
    newtable => c.tgnewtable,
    fatal_errors => false,
    other_warnings => true,
    extra_warnings => true,
    performance_warnings => true,
    security_warnings => true
) as f on
    f.level <> 'security'
    or c.name not in (select l.name from runs_listed_statements as l)
group by c.name;

select plan(1 + count(*)::integer)
from checked;

select cmp_ok(
    (select count(*) from checked), '>', 10::bigint,
    'the PL/pgSQL functions of the package are found'
);
select is(nullif(f.found, ''), null, 'plpgsql_check finds nothing in ' || f.name)
from findings as f
order by f.name;

\else

select plan(1);
select skip('plpgsql_check is not among this server''s extensions', 1);

\endif

select * from finish();
rollback;
