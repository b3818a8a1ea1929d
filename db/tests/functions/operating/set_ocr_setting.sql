begin;
\ir ../fixtures.psql

create temporary table good (name text, value text);
insert into good
values
('default_lease', '1 second'), ('default_lease', '24 hours'), ('default_max_attempts', '1'),
('default_max_attempts', '100'), ('max_concurrent_jobs', '1'), ('max_concurrent_jobs', null),
('max_concurrent_jobs', '2147483647'), ('backoff_base', '0'), ('backoff_base', '1 hour'),
('backoff_cap', '30 days'), ('circuit_threshold', '1'), ('circuit_window', '1 second'),
('circuit_window', '1 day'), ('circuit_cooldown', '0'), ('circuit_cooldown', '1 day'),
('require_lease_token', 'true'), ('require_source_hash', 'on'),
('word_count_tolerance', '0'), ('word_count_tolerance', '10'), ('word_count_tolerance', null),
('foreign_text_policy', 'off'), ('foreign_text_policy', 'record'),
('foreign_text_policy', 'refuse'), ('foreign_text_min_words', '1'),
('expiry_sweep_interval', '0'), ('expiry_sweep_interval', '1 hour');

-- 'range': a CHECK refuses it; else the type that is asked for
create temporary table bad (name text, value text, expected text);
insert into bad
values
('default_lease', '999 ms', 'range'), ('default_lease', '25 hours', 'range'),
('default_lease', '-60 s', 'range'), ('default_lease', '0', 'range'),
('default_lease', 'soon', 'interval'), ('default_lease', '', 'interval'),
('default_lease', null, 'interval'), ('default_max_attempts', '0', 'range'),
('default_max_attempts', '-1', 'range'), ('default_max_attempts', '101', 'range'),
('default_max_attempts', '2147483648', 'integer'), ('default_max_attempts', '1.5', 'integer'),
('default_max_attempts', null, 'integer'), ('max_concurrent_jobs', '0', 'range'),
('max_concurrent_jobs', '-1', 'range'), ('max_concurrent_jobs', 'many', 'integer'),
('backoff_base', '-1 s', 'range'), ('backoff_base', '2 hours', 'range'),
('backoff_cap', '1 second', 'range'), ('backoff_cap', '31 days', 'range'),
('circuit_threshold', '0', 'range'), ('circuit_window', '0', 'range'),
('circuit_window', '25 hours', 'range'), ('circuit_cooldown', '-1 s', 'range'),
('circuit_cooldown', '25 hours', 'range'), ('require_lease_token', 'perhaps', 'boolean'),
('require_lease_token', null, 'boolean'), ('require_source_hash', '', 'boolean'),
('word_count_tolerance', '-0.1', 'range'), ('word_count_tolerance', '10.1', 'range'),
('word_count_tolerance', 'NaN', 'range'), ('word_count_tolerance', 'Infinity', 'range'),
('word_count_tolerance', '1e999', 'range'), ('foreign_text_policy', 'delete', 'range'),
('foreign_text_policy', '', 'range'), ('foreign_text_policy', null, 'text'),
('foreign_text_min_words', '0', 'range'), ('expiry_sweep_interval', '-1 s', 'range'),
('expiry_sweep_interval', '61 minutes', 'range');

select plan(
    (select count(*)::integer from good)
    + (select count(*)::integer from bad)
    + 14
);

create function pg_temp.get_setting(p_name text)
returns text
language sql
as $function$
    select to_jsonb(s) ->> p_name from ocr_settings as s;
$function$;
create function pg_temp.check_setting(p_name text, p_value text)
returns text
language plpgsql
as $function$
declare
    v_result text;
    v_type text;
    v_wanted text;
begin
    perform set_ocr_setting(p_name, p_value);
    select format_type(a.atttypid, a.atttypmod) into v_type
    from pg_attribute as a
    where a.attrelid = 'ocr_settings'::regclass and a.attname = p_name;
    execute format('select to_jsonb(%L::%s) #>> ''{}''', p_value, v_type) into v_wanted;
    v_result := is(
        pg_temp.get_setting(p_name), v_wanted,
        format('%s may be %s', p_name, coalesce(p_value, 'null'))
    );
    delete from ocr_settings;
    insert into ocr_settings default values;
    return v_result;
end;
$function$;

select pg_temp.check_setting(g.name, g.value) from good as g;
select pg_temp.snapshot() as before \gset
select throws_like(
    format('select set_ocr_setting(%L, %L)', b.name, b.value),
    format(
        'p_value for %s must be %s, not %s',
        b.name,
        case
            when b.expected = 'range' then 'accepted by CHECK (%'
            else 'a value of type ' || b.expected
        end,
        coalesce(b.value, 'null')
    ),
    format('%s cannot be %s', b.name, coalesce(b.value, 'null'))
)
from bad as b;
select is(pg_temp.snapshot(), :'before', 'what is refused changes nothing');
select throws_ok(
    $$select set_ocr_setting('default_lease', '0')$$, '22023', null, 'by 22023'
);
select throws_ok(
    $$select set_ocr_setting('default_lease', 'soon')$$,
    '22023',
    null,
    'of a wrong type too'
);
select throws_ok(
    format('select set_ocr_setting(%L, %L)', c.name, 'true'),
    '22023',
    'p_name must be one of ' || (
        select string_agg(a.attname, ', ' order by a.attnum)
        from pg_attribute as a
        where
            a.attrelid = 'ocr_settings'::regclass and a.attnum > 0
            and not a.attisdropped and a.attname not in ('id', 'guard_mode')
    ) || ', not ' || coalesce(c.name, 'null'),
    format('there is no setting %s', coalesce(c.name, 'null'))
)
from (
    values (null), (''), ('id'), ('ctid'), ('tableoid'), ('nonsense'),
    ('default_lease = null, require_lease_token')
) as c (name);
select is(
    (select count(*) from ocr_settings), 1::bigint, 'there is exactly one row of settings'
);

-- A setting is in force for the calls that follow.
select set_ocr_setting('default_lease', '42 minutes');
select pg_temp.claim(pg_temp.add_document()) as token \gset
select is(
    (select q.lease_expires_at - q.started_at from ocr_queue as q),
    interval '42 minutes',
    'a setting is in force for the next call'
);

select throws_ok(
    $$select set_ocr_setting('filename', 'a')$$, '22023', null,
    'a column of another table is no setting'
);

select throws_ok(
    $$select set_ocr_setting('guard_mode', 'observe')$$,
    '55000',
    'guard_mode is more than a setting',
    'guard_mode has a function of its own'
);

select * from finish();
rollback;
