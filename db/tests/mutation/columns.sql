-- What no column may be without, table by table, from the catalog: beside what
-- tables.sql shows by trying, which constraint refuses what.

begin;
\ir ../functions/fixtures.psql

select plan(27);

create temporary table expected (table_name text, required text, key text);
insert into expected
values
('documents', 'id, filename, ocr_status, ocr_claims, created_at, updated_at', 'id'),
('ocr_file_checks', 'document_id, present, checked_at', 'document_id'),
('ocr_incidents', 'id, created_at, reason, session_user_name', 'id'),
('ocr_job_history', 'document_id, outcome, finished_at', null),
('ocr_lease_locks', 'name, owner, fence, acquired_at, expires_at', 'name'),
('ocr_previous_results', 'id, document_id, ocr_text, ocr_confidence, ocr_word_count, ocr_completed_at, reason, set_aside_at, set_aside_by', 'id'),
('ocr_queue', 'id, document_id, status, priority, attempts, max_attempts, run_after, created_at', 'id'),
('ocr_queue_state', 'id, circuit_state, circuit_changed_at', 'id'),
('ocr_schema_files', 'path, checksum, loaded_at', 'path'),
('ocr_settings', 'id, default_lease, default_max_attempts, backoff_base, backoff_cap, circuit_threshold, circuit_window, circuit_cooldown, require_lease_token, require_source_hash, foreign_text_policy, foreign_text_min_words, expiry_sweep_interval, guard_mode', 'id');

select is(
    (
        select string_agg(a.attname, ', ' order by a.attnum)
        from pg_attribute as a
        where
            a.attrelid = e.table_name::regclass
            and a.attnum > 0
            and not a.attisdropped
            and a.attnotnull
    ),
    e.required,
    format('%s: these columns are never null', e.table_name)
)
from expected as e;
select is(
    (
        select pg_get_constraintdef(c.oid)
        from pg_constraint as c
        where c.conrelid = e.table_name::regclass and c.contype = 'p'
    ),
    'PRIMARY KEY (' || e.key || ')',
    format('%s: its primary key', e.table_name)
)
from expected as e;

-- A job that is due at no time would wait for ever (G9).
insert into documents (filename) values ('scan.pdf') returning id as document \gset
select throws_ok(
    format(
        'insert into ocr_queue (document_id, run_after) values (%L, %L)',
        :'document', c.run_after
    ),
    '23514',
    null,
    format('a job for %s is refused (G9)', c.run_after)
)
from (values ('infinity'), ('-infinity')) as c (run_after);

-- The circuit's states, each with what belongs to it.
select lives_ok(
    'update ocr_queue_state set ' || c.assignments,
    'the circuit may be ' || c.description
)
from (
    values
    (
        'circuit_state = ''open'', circuit_open_until = now()',
        'open until a time'
    ),
    (
        'circuit_state = ''half_open'', circuit_open_until = null, '
        'circuit_probe_token = gen_random_uuid()',
        'half open with a probe'
    ),
    ('circuit_state = ''closed'', circuit_open_until = null', 'closed')
) as c (assignments, description);
select throws_ok(
    $$update ocr_settings set circuit_window = '2 days'$$, '23514', null,
    'the circuit looks back a day at most'
);
select throws_ok(
    $$update ocr_settings set circuit_cooldown = '2 days'$$, '23514', null,
    'the circuit stays open a day at most'
);

select * from finish();
rollback;
