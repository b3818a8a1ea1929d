-- The house rules that the catalog can answer for. Each lists what breaks the rule, so
-- a failure names the culprits.
--
-- Ours is what lies in the schema of the installation and belongs to no extension.
-- yoyo keeps its own tables there too; partitions follow the table they are part of.

begin;
select plan(27);

create temporary view our_functions as
select
    p.*,
    p.oid::regprocedure::text as signature
from pg_proc as p
where p.pronamespace = current_schema()::regnamespace
    and not exists (
        select
        from pg_depend as d
        where d.classid = 'pg_proc'::regclass
            and d.objid = p.oid
            and d.deptype = 'e'
    );

create temporary view our_relations as
select c.*
from pg_class as c
where c.relnamespace = current_schema()::regnamespace
    and c.relkind in ('r', 'p', 'v', 'm', 'f')
    and not c.relispartition
    and c.relname !~ '^_?yoyo_'
    and not exists (
        select
        from pg_depend as d
        where d.classid = 'pg_class'::regclass
            and d.objid = c.oid
            and d.deptype = 'e'
    );

-- In the order of the declaration; without modes all arguments are input.
create temporary view our_arguments as
select
    f.signature,
    a.position,
    f.proargnames[a.position] as name
from our_functions as f
cross join
    generate_series(1, coalesce(cardinality(f.proallargtypes), f.pronargs))
        as a (position)
where coalesce(f.proargmodes[a.position], 'i') in ('i', 'b', 'v');

create temporary view our_settings as
select
    f.signature,
    split_part(s.setting, '=', 1) as name,
    substr(s.setting, strpos(s.setting, '=') + 1) as value
from our_functions as f
cross join lateral unnest(f.proconfig) as s (setting);

-- Without these the rest would pass on an empty schema.
select cmp_ok(
    (select count(*) from our_functions), '>', 20::bigint,
    'the functions of the package are found'
);
select cmp_ok(
    (select count(*) from our_relations), '>', 10::bigint,
    'the tables and views of the package are found'
);

-- Comments are the contract and the source of the reference.

select is_empty(
    $$
        select f.signature
        from our_functions as f
        where coalesce(btrim(obj_description(f.oid, 'pg_proc')), '') = ''
    $$,
    'every function has a comment'
);
select is_empty(
    $$
        select c.oid::regclass
        from our_relations as c
        where coalesce(btrim(obj_description(c.oid, 'pg_class')), '') = ''
    $$,
    'every table and every view has a comment'
);
select is_empty(
    $$
        select
            c.oid::regclass,
            a.attname
        from our_relations as c
        inner join pg_attribute as a on c.oid = a.attrelid
        where a.attnum > 0
            and not a.attisdropped
            and coalesce(btrim(col_description(c.oid, a.attnum)), '') = ''
    $$,
    'every column of a table or view has a comment'
);
select is_empty(
    $$
        select t.oid::regtype
        from pg_type as t
        left join pg_class as c on t.typrelid = c.oid
        where t.typnamespace = current_schema()::regnamespace
            and (t.typtype in ('d', 'e', 'r') or c.relkind = 'c')
            and coalesce(
                obj_description(t.oid, 'pg_type'), obj_description(c.oid, 'pg_class')
            ) is null
    $$,
    'every type has a comment'
);

-- What a caller puts before us in his search_path must not be found by our code.

select is_empty(
    $$
        select f.signature
        from our_functions as f
        where f.prosqlbody is null
            -- qualifies every name instead
            and f.signature <> 'is_finishing_left_to_trigger(oid)'
            and not exists (
                select
                from our_settings as s
                where s.signature = f.signature
                    and s.name = 'search_path'
            )
    $$,
    'every function pins its search_path, unless its names are bound at creation'
);
select is_empty(
    $$
        select
            s.signature,
            s.value
        from our_settings as s
        where s.name = 'search_path'
            and s.value not in (
                format('%I, pg_temp', current_schema()),
                format('pg_catalog, %I, pg_temp', current_schema())
            )
    $$,
    'a pinned search_path is the schema of the package, and pg_temp last'
);
select is_empty(
    $$
        select f.signature
        from our_functions as f
        where f.prosecdef
            and not exists (
                select
                from our_settings as s
                where s.signature = f.signature
                    and s.name = 'search_path'
                    and s.value like '%pg_temp'
            )
    $$,
    'every security definer function pins its search_path, bound at creation or not'
);
select is_empty(
    $$
        select f.signature
        from our_functions as f
        where f.prosecdef
            and f.prosrc ~* '\mexecute\M'
            and f.prosrc !~* '\mformat\s*\('
    $$,
    'no security definer function puts a statement together without format()'
);
select is_empty(
    $$
        select f.signature
        from our_functions as f
        where has_function_privilege('public', f.oid, 'execute')
            -- called by the condition of a trigger, as whoever updates documents
            and f.signature <> 'is_finishing_left_to_trigger(oid)'
    $$,
    'no function may be called by everyone'
);
select is_empty(
    $$
        select
            c.oid::regclass,
            a.privilege_type
        from our_relations as c
        cross join lateral aclexplode(c.relacl) as a
        where a.grantee = 0
    $$,
    'everyone has no right on any table or view'
);

-- Names

select is_empty(
    $$
        select
            a.signature,
            a.position,
            a.name
        from our_arguments as a
        where a.name !~ '^p_[a-z][a-z0-9_]*$'
            or a.name is null
    $$,
    'every argument has a name that begins with p_'
);
select is_empty(
    $$
        select f.proname
        from our_functions as f
        group by f.proname
        having count(*) > 1
    $$,
    'no function is overloaded: create or replace would leave the old one behind'
);
select is_empty(
    $$
        select f.signature
        from our_functions as f
        where f.prosrc ~* '#\s*variable_conflict'
    $$,
    'no function leaves it to the compiler which of two names is meant'
);

-- Volatility: a plan that is made with the wrong one gives wrong answers.

select is_empty(
    $$
        select f.signature
        from our_functions as f
        where f.provolatile <> 'v'
            and (
                pg_get_functiondef(f.oid) ~* '\m(insert\s+into|delete\s+from)\M'
                or pg_get_functiondef(f.oid)
                ~* '\mupdate\s+[a-z_.]+\s+(as\s+\w+\s+)?set\M'
                or pg_get_functiondef(f.oid) ~* '\mfor\s+(no\s+key\s+)?update\M'
                or pg_get_functiondef(f.oid)
                ~* '\m(pg_notify|nextval|set_config|pg_(try_)?advisory\w*lock\w*)\s*\('
                or pg_get_functiondef(f.oid)
                ~* '\m(random|gen_random_uuid|uuidv7)\s*\('
            )
    $$,
    'every function that changes, locks or draws something is volatile'
);
select is_empty(
    $$
        select f.signature
        from our_functions as f
        inner join our_relations as c
            on pg_get_functiondef(f.oid) ~* format('\m(from|join)\s+%s\M', c.relname)
        where f.provolatile = 'i'
    $$,
    'no function that reads a table is immutable'
);
select is_empty(
    $$
        select f.signature
        from our_functions as f
        where f.prorettype = 'trigger'::regtype
            and f.provolatile <> 'v'
    $$,
    'every trigger function is volatile'
);
select is_empty(
    $$
        select f.signature
        from our_functions as f
        where f.provolatile = 'v'
            and f.prorettype <> 'trigger'::regtype
            and f.proname ~ '^(find|is|get|validate)_'
    $$,
    'every function that is named as a reader is not volatile'
);

-- Errors

-- A handler for everything is right in few places only: where it passes on what it
-- caught, or where this is the reason not to.
create temporary table keeps_what_it_caught as
select
    k.name,
    k.reason
from (
    values
    ('offer_ocr_batch', 'the results are then offered one by one'),
    ('offer_ocr_element', 'the error is recorded as the outcome of this result')
) as k (name, reason);

select is_empty(
    $$
        select
            f.signature,
            h.handler
        from our_functions as f
        cross join regexp_split_to_table(
            f.prosrc, '\mwhen\s+others\s+then\M', 'i'
        ) with ordinality as h (handler, part)
        where h.part > 1
            and substring(h.handler, '^.*?\mend\s*(?:;|$)') !~* '\mraise\s*;'
            and f.proname not in (select k.name from keeps_what_it_caught as k)
    $$,
    'no function swallows whatever error there is'
);
select is_empty(
    $$
        select k.name
        from keeps_what_it_caught as k
        where not exists (
            select
            from our_functions as f
            where f.proname = k.name
                and f.prosrc ~* '\mwhen\s+others\M'
        )
    $$,
    'and those that are let off do catch one'
);
select is_empty(
    $$
        select f.signature
        from our_functions as f
        where f.prosrc ~* '\mraise\s+(exception\s+)?'''
    $$,
    'every error has an SQLSTATE of its own'
);

-- Tables

select is_empty(
    $$
        select
            k.conrelid::regclass,
            k.conname
        from pg_constraint as k
        inner join our_relations as c on k.conrelid = c.oid
        where k.contype = 'f'
            and k.confdeltype <> 'c'
    $$,
    'what hangs on a row goes with it: every foreign key is on delete cascade'
);

-- Append-only: a row is never looked up by itself, and the key of a partitioned
-- table would have to hold the column that it is partitioned by.
create temporary table needs_no_key as
select 'ocr_job_history' as name;

select is_empty(
    $$
        select c.oid::regclass
        from our_relations as c
        where c.relkind in ('r', 'p')
            and not exists (
                select
                from pg_constraint as k
                where k.conrelid = c.oid
                    and k.contype = 'p'
            )
            and c.relname not in (select n.name from needs_no_key as n)
    $$,
    'every table has a primary key'
);
select is_empty(
    $$
        select
            k.conrelid::regclass,
            k.conname
        from pg_constraint as k
        inner join our_relations as c on k.conrelid = c.oid
        where not k.convalidated
    $$,
    'on a fresh installation every constraint is validated'
);
select is_empty(
    $$
        select
            k.conrelid::regclass,
            k.conname
        from pg_constraint as k
        inner join our_relations as c on k.conrelid = c.oid
        where k.contype = 'f'
            and not exists (
                select
                from pg_index as i
                where i.indrelid = k.conrelid
                    and i.indpred is null
                    and (i.indkey::int2[])[0:cardinality(k.conkey) - 1] @> k.conkey
            )
    $$,
    'every foreign key has an index, or deleting a document reads the whole table'
);
select is_empty(
    $$
        select f.signature
        from our_functions as f
        where f.prorettype = 'trigger'::regtype
            and not exists (
                select
                from pg_trigger as t
                where t.tgfoid = f.oid
            )
    $$,
    'every trigger function has its trigger'
);

select * from finish();
rollback;
