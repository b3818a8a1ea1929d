begin;
\ir ../fixtures.psql

select plan(20);

create temporary view partitions as
select c.oid::regclass::text as name, pg_get_expr(c.relpartbound, c.oid) as bounds
from pg_inherits as i
inner join pg_class as c on c.oid = i.inhrelid
where i.inhparent = 'ocr_job_history'::regclass
    and c.relname <> 'ocr_job_history_default';
do $do$
declare
    v_name text;
begin
    for v_name in select p.name from partitions as p loop
        execute format('drop table %I', v_name);
    end loop;
end
$do$;
set local timezone = 'UTC';
create function pg_temp.month_name(p_ahead integer)
returns text
language sql
as $function$
    select to_char(
        now() + make_interval(months => p_ahead), '"ocr_job_history_y"YYYY"m"MM'
    );
$function$;

-- given: attempts that finished last month, this month, next month and in a year
insert into ocr_job_history (document_id, outcome, finished_at, error)
values
(gen_random_uuid(), 'written', date_trunc('month', now()) - interval '1 second', 'last month'),
(gen_random_uuid(), 'written', date_trunc('month', now()), 'this month'),
(gen_random_uuid(), 'retry', date_trunc('month', now()) + interval '1 month' - interval '1 microsecond', 'this month'),
(gen_random_uuid(), 'failed', date_trunc('month', now()) + interval '1 month', 'next month'),
(gen_random_uuid(), 'failed', now() + interval '1 year', 'next year');
select is(
    (select count(*) from ocr_job_history_default),
    5::bigint,
    'an insert never fails for want of a partition'
);
select jsonb_agg(to_jsonb(h) order by h.document_id) as before
from ocr_job_history as h \gset

select is(create_ocr_history_partitions(2), 3, 'this month and two more are made');
select results_eq(
    'select p.name from partitions as p order by p.name',
    $$select pg_temp.month_name(n) from generate_series(0, 2) as n$$,
    'each by its month'
);
select is(
    (select jsonb_agg(to_jsonb(h) order by h.document_id) from ocr_job_history as h),
    :'before'::jsonb,
    'no row is lost or changed'
);
select results_eq(
    $$
        select h.tableoid::regclass::text, h.error
        from ocr_job_history as h
        order by h.finished_at
    $$,
    $$
        values
        ('ocr_job_history_default', 'last month'),
        (pg_temp.month_name(0), 'this month'),
        (pg_temp.month_name(0), 'this month'),
        (pg_temp.month_name(1), 'next month'),
        ('ocr_job_history_default', 'next year')
    $$,
    'rows of these months move out of the default partition'
);
select is(create_ocr_history_partitions(2), 0, 'a second call has nothing to make');
select is(create_ocr_history_partitions(), 1, 'three months ahead by default');
select is(create_ocr_history_partitions(0), 0, 'this month is there');

select pg_temp.complete(pg_temp.add_document()) as token \gset
select is(
    (
        select h.tableoid::regclass::text
        from ocr_job_history as h
        where h.worker_id = 'w-one'
    ),
    pg_temp.month_name(0),
    'the next attempt goes to its month'
);
select is_empty(
    $$
        select p.name
        from partitions as p
        where (
            select count(*) from pg_index as i where i.indrelid = p.name::regclass
        ) <> (
            select count(*) from pg_index as i
            where i.indrelid = 'ocr_job_history'::regclass
        )
    $$,
    'each has the indexes of the history'
);
select is_empty(
    $$
        select p.name
        from partitions as p
        where not exists (
            select from pg_constraint as c
            where c.conrelid = p.name::regclass
                and c.conname = 'check_ocr_job_history_outcome'
        )
    $$,
    'and its constraint'
);

-- Months are those of UTC, wherever the session is.
set local timezone = 'Pacific/Kiritimati';
select is(
    create_ocr_history_partitions(), 0, 'another time zone makes no other months'
);
select is(create_ocr_history_partitions(4), 1, 'it makes the same');
set local timezone = 'UTC';
select is(
    (select max(p.name) from partitions as p),
    pg_temp.month_name(4),
    'by the same name'
);

select throws_ok(
    format('select create_ocr_history_partitions(%s)', c.arguments), '22023', c.message,
    format('create_ocr_history_partitions(%s) is refused (22023)', c.arguments)
)
from (
    values
    ('null', 'p_months_ahead must be between 0 and 120, not null'),
    ('-1', 'p_months_ahead must be between 0 and 120, not -1'),
    ('-60', 'p_months_ahead must be between 0 and 120, not -60'),
    ('121', 'p_months_ahead must be between 0 and 120, not 121'),
    ('2147483647', 'p_months_ahead must be between 0 and 120, not 2147483647')
) as c (arguments, message);

select is_empty(
    $$
        select i.inhrelid::regclass
        from pg_inherits as i
        where
            i.inhparent = 'ocr_job_history'::regclass
            and coalesce(obj_description(i.inhrelid, 'pg_class'), '') = ''
    $$,
    'each partition says what is in it'
);

select * from finish();
rollback;
