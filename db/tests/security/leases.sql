-- What a hostile worker gets out of the functions that it may call: nothing that is
-- another's. The honest worker's document is in processing all the time, so that only
-- the token stands between the two.

begin;
\ir ../functions/fixtures.psql
\ir attempts.psql

-- given: a document in the hands of each, and what the hostile worker can get hold of
select pg_temp.add_document('honest.pdf', repeat('a', 64)) as honest \gset
select pg_temp.add_document('hostile.pdf', repeat('b', 64)) as hostile \gset
select pg_temp.claim(:'honest', 'honest') as first_token \gset
select pg_temp.take_over(:'honest', 'honest') as honest_token \gset
select pg_temp.claim(:'hostile', 'hostile') as hostile_token \gset

create temporary table token (what text, value uuid);
insert into token values
('a random token', gen_random_uuid()),
('its own live token', :'hostile_token'),
('the token of a lease that has ended', :'first_token'),
('the nil uuid', '00000000-0000-0000-0000-000000000000'),
('the document''s id', :'honest'),
('the live token but for its last digit',
    overlay(
        :'honest_token'::text
        placing case right(:'honest_token'::text, 1) when '0' then '1' else '0' end
        from 36
    )::uuid
);
create temporary table deed (what text, statement text, refusal text);
-- $1 document, $2 token
insert into deed values
('write', $$select update_ocr_safe(%1$L, 'honest.pdf', 'x y', 90, 2, 1, %2$L)$$,
    'false'),
('write in a batch', $$
    select b.outcome from update_ocr_batch_safe(json_build_array(json_build_object(
        'document_id', %1$L, 'expected_filename', 'honest.pdf', 'ocr_text', 'x y',
        'confidence', 90, 'word_count', 2, 'processing_time_ms', 1,
        'lease_token', %2$L
    ))) as b$$,
    'stale_lease'),
('write arrays', $$
    select b.outcome from update_ocr_arrays_safe(
        array[%1$L]::uuid[], array['honest.pdf'], array['x y'], array[90.0],
        array[2], array[1], array[%2$L]::uuid[]
    ) as b$$,
    'stale_lease'),
('extend the lease', $$select count(*) from extend_ocr_leases(
    array[%1$L]::uuid[], array[%2$L]::uuid[], '1 day')$$, '0'),
('report progress', $$select report_ocr_progress(%1$L, %2$L, 1, 2)$$, 'false'),
('fail the job', $$select fail_ocr_job(%1$L, %2$L, 'x', 'permanent')$$,
    'stale_lease'),
('give the job back', $$select release_ocr_job(%1$L, %2$L)$$, 'false');

create temporary table before as
select pg_temp.snapshot() as data;

select plan(
    (
        (select count(*) from deed) * (select count(*) from token) + 16
    )::integer
);

-- when, then
select is(
    pg_temp.attempt(
        'hostile_worker', format(d.statement, :'honest'::text, t.value::text)
    ),
    d.refusal,
    format('a worker cannot %s with %s', d.what, t.what)
)
from deed as d
cross join token as t;

select is(
    (select b.data from before as b), pg_temp.snapshot(),
    'after all of it every row is as it was (G2)'
);
select results_eq(
    $$
        select i.reason, i.session_user_name, i.worker_id, count(*)
        from ocr_incidents as i
        group by i.reason, i.session_user_name, i.worker_id
    $$,
    $$values ('stale_lease', 'hostile_worker', 'honest', 18::bigint)$$,
    'and each offer has left an incident with the login that made it (G10)'
);

-- without a token: a document that was claimed once may be written by the six arguments
-- of old, unless tokens are required
select pg_temp.add_document('once.pdf') as once \gset
select pg_temp.claim(:'once', 'honest') as once_token \gset
update ocr_settings set require_lease_token = true;
select is(
    pg_temp.attempt('hostile_worker', format(
        $$select update_ocr_safe(%L, 'once.pdf', 'x y', 90, 2, 1)$$, :'once'
    )),
    'false',
    'where tokens are required nobody writes without one'
);
select is(
    pg_temp.incidents(:'once'), 'lease_required', 'and the incident says so (G10)'
);
update ocr_settings set require_lease_token = false;
select is(
    pg_temp.attempt('hostile_worker', format(
        $$select update_ocr_safe(%L, 'once.pdf', 'x y', 90, 2, 1)$$, :'once'
    )),
    'true',
    'where they are not, whoever knows the id and the name of a document in its first '
    'claim writes it'
);

-- no claim takes what another holds, whatever it says of itself
select is(
    pg_temp.attempt(
        'hostile_worker',
        $$select count(*) from claim_ocr_jobs('honest', 10000, '1 second')$$
    ),
    '0',
    'a claim under another worker''s name gets none of its jobs'
);

-- a completed result
select is(
    pg_temp.attempt('honest_worker', format(
        $$select update_ocr_safe(%L, 'honest.pdf', 'one two', 90, 2, 1, %L)$$,
        :'honest', :'honest_token'
    )),
    'true',
    'the honest worker''s result is written'
);
select is(
    pg_temp.attempt('hostile_worker', format(
        $$select update_ocr_safe(%L, 'honest.pdf', 'x y', 90, 2, 1, %L)$$,
        :'honest', :'honest_token'
    )),
    'true',
    'even the right token, repeated with another text, is answered'
);
select is(
    (select d.ocr_text from documents as d where d.id = :'honest'), 'one two',
    'and changes nothing (G4, G11)'
);
select is(
    pg_temp.attempt('hostile_worker', format(
        $$select update_ocr_safe(%L, 'honest.pdf', 'x y', 90, 2, 1, %L)$$,
        :'honest', :'hostile_token'
    )),
    'false',
    'another token is refused'
);

-- settings of the session that change how SQL is read or what a statement does
create temporary table setting (name text, value text);
insert into setting values
('ocr_guardrails.finishing_depth', '0'),
('standard_conforming_strings', 'off'),
('backslash_quote', 'on'),
('transform_null_equals', 'on'),
('array_nulls', 'off'),
('quote_all_identifiers', 'on'),
('datestyle', 'German, DMY'),
('intervalstyle', 'sql_standard'),
('timezone', 'Pacific/Kiritimati'),
('extra_float_digits', '-15'),
('lc_numeric', 'C'),
('xmloption', 'document'),
('row_security', 'off'),
('jit_above_cost', '0'),
('enable_indexscan', 'off'),
('plan_cache_mode', 'force_custom_plan');
select set_config(s.name, s.value, true) from setting as s \g /dev/null
select is(
    pg_temp.attempt('hostile_worker', format(
        $$select release_ocr_job(%L, %L)$$, :'honest', :'hostile_token'
    )),
    'false',
    'no setting of the session lets another token in'
);
select pg_temp.add_document('settings.pdf', repeat('c', 64)) as settings \gset
select pg_temp.claim(:'settings', 'worker one') as settings_token \gset
select is(
    pg_temp.attempt('hostile_worker', format(
        $$select update_ocr_safe(%L, 'settings.pdf', ' ', 90, 0, 1, %L)$$,
        :'settings', :'settings_token'
    )),
    'false',
    'nor a result that cannot be right (G6)'
);
select is(
    pg_temp.attempt('hostile_worker', format(
        $$select update_ocr_safe(%L, 'settings.pdf', 'one two', 90, 2, 1, %L)$$,
        :'settings', :'settings_token'
    )),
    'true',
    'while a right one is written'
);
select is(
    pg_temp.state(:'settings') || pg_temp.history(:'settings'),
    'completed / no jobwritten',
    'with its history, and its job is gone (G3, G10)'
);
select is(
    pg_temp.attempt('a_producer', format(
        $$select requeue_document(%L, 'again') is not null$$, :'settings'
    ))
    || pg_temp.attempt('a_producer', format(
        $$select restore_previous_result(%L)$$, :'settings'
    )),
    'truetrue',
    'a producer has it read again, and takes that back'
);
select is(
    pg_temp.state(:'settings') || pg_temp.history(:'settings'),
    'completed / no jobwritten',
    'and the job that is not needed any more is gone (G3)'
);

select * from finish();
rollback;
