-- The constraints of the tables: what no SQL can put there (G5, G6, G8).

begin;
\ir functions/fixtures.psql

create temporary table refused (
    table_name text, assignments text, constraint_name text
);
insert into refused
values
('documents', 'ocr_status = ''done''', 'check_ocr_status'),
('documents', 'ocr_status = ''Pending''', 'check_ocr_status'),
('documents', 'ocr_status = ''''', 'check_ocr_status'),
('documents', 'ocr_status = null', 'not null'),
('documents', 'ocr_confidence = -0.1', 'check_ocr_confidence'),
('documents', 'ocr_confidence = 100.1', 'check_ocr_confidence'),
('documents', 'ocr_confidence = ''NaN''', 'check_ocr_confidence'),
('documents', 'ocr_confidence = ''Infinity''', 'check_ocr_confidence'),
('documents', 'ocr_confidence = ''-Infinity''', 'check_ocr_confidence'),
('documents', 'ocr_word_count = -1', 'check_ocr_numbers'),
('documents', 'ocr_processing_time_ms = -1', 'check_ocr_numbers'),
('documents', 'file_size = -1', 'check_ocr_numbers'),
('documents', 'ocr_claims = -1', 'check_ocr_numbers'),
('documents', 'ocr_claims = null', 'not null'),
('documents', 'filename = null', 'not null'),
('documents', 'ocr_status = ''completed''', 'check_ocr_completed_result'),
('documents', 'ocr_status = ''completed'', ocr_confidence = 1, ocr_word_count = 1, ocr_completed_at = now()', 'check_ocr_completed_result'),
('documents', 'ocr_status = ''completed'', ocr_text = ''a'', ocr_word_count = 1, ocr_completed_at = now()', 'check_ocr_completed_result'),
('documents', 'ocr_status = ''completed'', ocr_text = ''a'', ocr_confidence = 1, ocr_completed_at = now()', 'check_ocr_completed_result'),
('documents', 'ocr_status = ''completed'', ocr_text = ''a'', ocr_confidence = 1, ocr_word_count = 1', 'check_ocr_completed_result'),
('documents', 'ocr_status = ''processing''', 'check_ocr_lease'),
('documents', 'ocr_lease_token = gen_random_uuid()', 'check_ocr_lease'),
('documents', 'ocr_status = ''failed'', ocr_lease_token = gen_random_uuid()', 'check_ocr_lease'),
('documents', 'file_hash = repeat(''A'', 64)', 'check_ocr_file_hash'),
('documents', 'file_hash = repeat(''a'', 63)', 'check_ocr_file_hash'),
('documents', 'file_hash = repeat(''a'', 65)', 'check_ocr_file_hash'),
('documents', 'file_hash = ''''', 'check_ocr_file_hash'),
('documents', 'file_hash = repeat(''a'', 64) || e''\n''', 'check_ocr_file_hash'),
('ocr_queue', 'status = ''completed''', 'check_ocr_queue_status'),
('ocr_queue', 'status = null', 'not null'),
('ocr_queue', 'document_id = null', 'not null'),
('ocr_queue', 'document_id = gen_random_uuid()', 'fk_ocr_queue_document_id'),
('ocr_queue', 'priority = -1', 'check_ocr_queue_priority'),
('ocr_queue', 'priority = 11', 'check_ocr_queue_priority'),
('ocr_queue', 'priority = null', 'not null'),
('ocr_queue', 'attempts = -1', 'check_ocr_queue_attempts'),
('ocr_queue', 'attempts = null', 'not null'),
('ocr_queue', 'max_attempts = 0', 'check_ocr_queue_attempts'),
('ocr_queue', 'max_attempts = 101', 'check_ocr_queue_attempts'),
('ocr_queue', 'max_attempts = null', 'not null'),
('ocr_queue', 'attempts = 3', 'check_ocr_queue_attempts'),
('ocr_queue', 'status = ''failed'', attempts = 4', 'check_ocr_queue_attempts'),
('ocr_queue', 'run_after = null', 'not null'),
('ocr_queue', 'status = ''processing''', 'check_ocr_queue_lease'),
('ocr_queue', 'status = ''processing'', started_at = now(), worker_id = ''w''', 'check_ocr_queue_lease'),
('ocr_queue', 'status = ''processing'', lease_expires_at = now(), worker_id = ''w''', 'check_ocr_queue_lease'),
('ocr_queue', 'status = ''processing'', lease_expires_at = now(), started_at = now()', 'check_ocr_queue_lease'),
('ocr_queue', 'lease_expires_at = now()', 'check_ocr_queue_lease'),
('ocr_queue', 'status = ''failed'', lease_expires_at = now()', 'check_ocr_queue_lease'),
('ocr_queue', 'progress_current = -1', 'check_ocr_queue_numbers'),
('ocr_queue', 'progress_total = -1', 'check_ocr_queue_numbers'),
('ocr_queue', 'progress_current = 2, progress_total = 1', 'check_ocr_queue_numbers'),
('ocr_queue', 'processing_time_ms = -1', 'check_ocr_queue_numbers'),
('ocr_queue', 'file_size = -1', 'check_ocr_queue_numbers'),
('ocr_job_history', 'outcome = ''done''', 'check_ocr_job_history_outcome'),
('ocr_job_history', 'outcome = null', 'not null'),
('ocr_job_history', 'finished_at = null', 'not null'),
('ocr_job_history', 'document_id = null', 'not null'),
('ocr_incidents', 'reason = null', 'not null'),
('ocr_previous_results', 'document_id = gen_random_uuid()', 'fk_ocr_previous_results_document_id'),
('ocr_previous_results', 'ocr_text = null', 'not null'),
('ocr_previous_results', 'reason = null', 'not null'),
('ocr_file_checks', 'document_id = gen_random_uuid()', 'fk_ocr_file_checks_document_id'),
('ocr_file_checks', 'present = null', 'not null'),
('ocr_file_checks', 'actual_hash = ''abc''', 'check_ocr_file_checks_actual_hash'),
('ocr_settings', 'id = false', 'check_ocr_settings_one_row'),
('ocr_settings', 'default_lease = null', 'not null'),
('ocr_settings', 'default_lease = ''0''', 'check_ocr_settings_default_lease'),
('ocr_settings', 'default_max_attempts = 0', 'check_ocr_settings_default_max_attempts'),
('ocr_settings', 'max_concurrent_jobs = 0', 'check_ocr_settings_max_concurrent_jobs'),
('ocr_settings', 'backoff_base = ''-1 s''', 'check_ocr_settings_backoff'),
('ocr_settings', 'backoff_base = ''2 hours''', 'check_ocr_settings_backoff'),
('ocr_settings', 'circuit_threshold = 0', 'check_ocr_settings_circuit'),
('ocr_settings', 'word_count_tolerance = -1', 'check_ocr_settings_word_count_tolerance'),
('ocr_settings', 'foreign_text_policy = ''delete''', 'check_ocr_settings_foreign_text'),
('ocr_settings', 'foreign_text_min_words = 0', 'check_ocr_settings_foreign_text'),
('ocr_settings', 'expiry_sweep_interval = ''2 hours''', 'check_ocr_settings_expiry_sweep_interval'),
('ocr_settings', 'guard_mode = ''off''', 'check_ocr_settings_guard_mode'),
('ocr_settings', 'guard_mode = null', 'not null'),
('ocr_queue_state', 'id = false', 'check_ocr_queue_state_one_row'),
('ocr_queue_state', 'circuit_state = ''broken''', 'check_ocr_queue_state_circuit'),
('ocr_queue_state', 'circuit_state = ''open''', 'check_ocr_queue_state_circuit'),
('ocr_queue_state', 'circuit_state = ''half_open''', 'check_ocr_queue_state_circuit'),
('ocr_queue_state', 'circuit_open_until = now()', 'check_ocr_queue_state_circuit');

select plan((select count(*)::integer from refused) + 19);

-- The columns of one good row of each table, changed in one way.
create function pg_temp.check_refused(p_case refused)
returns text
language plpgsql
as $function$
declare
    v_constraint text;
    v_state text;
begin
    begin
        execute format('update %I set %s', p_case.table_name, p_case.assignments);
    exception
        when integrity_constraint_violation then
            get stacked diagnostics
                v_constraint = constraint_name,
                v_state = returned_sqlstate;
    end;
    return is(
        case v_state when '23502' then 'not null' else v_constraint end,
        p_case.constraint_name,
        format('%s: %s is refused', p_case.table_name, p_case.assignments)
    );
end;
$function$;

insert into documents (filename) values ('scan.pdf') returning id as document \gset
insert into ocr_queue (document_id) values (:'document');
insert into ocr_job_history (document_id, outcome) values (:'document', 'released');
insert into ocr_incidents (reason) values ('test');
insert into ocr_previous_results (
    document_id, ocr_text, ocr_confidence, ocr_word_count, ocr_completed_at, reason
)
values (:'document', 'text', 90, 1, now(), 'test');
insert into ocr_file_checks (document_id, present) values (:'document', true);
-- the trigger would be the first to refuse; here the constraints are asked
alter table documents disable trigger trigger_validate_ocr_consistency;
select pg_temp.check_refused(r) from refused as r;
alter table documents enable trigger trigger_validate_ocr_consistency;

-- One live job (G5).
select throws_ok(
    format($$insert into ocr_queue (document_id) values (%L)$$, :'document'),
    '23505',
    null,
    'a second pending job of a document is refused (G5)'
);
select pg_temp.claim(:'document') as token \gset
select throws_ok(
    format($$insert into ocr_queue (document_id) values (%L)$$, :'document'),
    '23505',
    null,
    'a pending job beside a processing one too'
);
select lives_ok(
    format(
        $$
            insert into ocr_queue (document_id, status, attempts)
            values (%1$L, 'failed', 3), (%1$L, 'failed', 3)
        $$,
        :'document'
    ),
    'dead jobs may stand beside it'
);
select lives_ok(
    format(
        $$insert into ocr_queue (document_id) values (%L) on conflict do nothing$$,
        :'document'
    ),
    'ON CONFLICT DO NOTHING is satisfied by the live job'
);
select is(
    (
        select count(*)
        from ocr_queue as q
        where q.document_id = :'document' and q.status in ('pending', 'processing')
    ),
    1::bigint,
    'which stays the only one'
);

-- Defaults.
select results_eq(
    $$
        insert into documents (filename) values ('new.pdf')
        returning ocr_status, ocr_claims, created_at, updated_at, id is not null
    $$,
    $$values ('pending', 0, now(), now(), true)$$,
    'a new document is pending'
);
select results_eq(
    $$
        insert into ocr_queue (document_id)
        select d.id from documents as d where d.filename = 'new.pdf'
        returning
            status, priority, attempts, max_attempts,
            run_after between now() and clock_timestamp()
    $$,
    $$values ('pending', 5, 0, 3, true)$$,
    'a new job is pending, of priority 5, due now'
);

-- Settings and state are one row each.
select throws_ok(
    'insert into ocr_settings default values',
    '23505',
    null,
    'no second row of settings'
);
select throws_ok(
    'insert into ocr_queue_state default values',
    '23505',
    null,
    'no second row of state'
);
select results_eq(
    $$
        select
            s.default_lease, s.default_max_attempts, s.max_concurrent_jobs,
            s.backoff_base, s.backoff_cap, s.circuit_threshold, s.circuit_window,
            s.circuit_cooldown, s.require_lease_token, s.require_source_hash,
            s.word_count_tolerance, s.foreign_text_policy, s.foreign_text_min_words,
            s.expiry_sweep_interval, s.guard_mode
        from ocr_settings as s
    $$,
    $$
        values (
            interval '5 minutes', 3, null::integer, interval '10 seconds',
            interval '1 hour', 10, interval '1 minute', interval '30 seconds',
            false, false, null::numeric, 'record', 10, interval '5 seconds',
            'enforce'
        )
    $$,
    'the default settings'
);

-- What hangs on a document goes with it; evidence stays (G10).
delete from documents as d where d.id = :'document';
select is(
    (
        select count(*) from ocr_queue as q where q.document_id = :'document'
    ) + (
        select count(*) from ocr_previous_results as r where r.document_id = :'document'
    ) + (
        select count(*) from ocr_file_checks as c where c.document_id = :'document'
    ),
    0::bigint,
    'jobs, set-aside results and file checks go with their document'
);
select is(
    (select count(*) from ocr_job_history as h where h.document_id = :'document'),
    1::bigint,
    'the history outlives it (G10)'
);

-- Indexes.
select has_index('ocr_queue', c.name, format('%s is there', c.name))
from (
    values
    ('idx_ocr_queue_unique_pending_document'), ('idx_ocr_queue_claim'),
    ('idx_ocr_queue_processing'), ('idx_ocr_queue_document_id')
) as c (name);
select is(
    (
        select format(
            '%s %s', i.indisunique, pg_get_expr(i.indpred, i.indrelid)
        )
        from pg_index as i
        where i.indexrelid = 'idx_ocr_queue_unique_pending_document'::regclass
    ),
    't (status = ANY (ARRAY[''pending''::text, ''processing''::text]))',
    'the index of live jobs is unique and partial'
);
select is(
    (
        select pg_get_expr(i.indpred, i.indrelid)
        from pg_index as i
        where i.indexrelid = 'idx_ocr_queue_claim'::regclass
    ),
    '(status = ''pending''::text)',
    'the claim''s index holds pending jobs only'
);
select is_empty(
    $$
        select c.relname
        from pg_class as c
        where
            c.oid in ('documents'::regclass, 'ocr_queue'::regclass)
            and coalesce(c.reloptions::text, '') !~ 'fillfactor=[1-9][0-9]?\M'
    $$,
    'documents and ocr_queue leave room on their pages for HOT updates'
);

select * from finish();
rollback;
