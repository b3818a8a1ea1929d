-- Tables, types, constraints and indexes of a fresh installation.
-- Every name is resolved through search_path, so the whole package lives in the
-- one schema that stands first there.

do $do$
begin
    if to_regclass(format('%I.documents', current_schema())) is not null
        or to_regclass(format('%I.ocr_queue', current_schema())) is not null
    then
        raise exception using
            errcode = 'duplicate_table',
            message = format(
                'schema %I already has a table documents or ocr_queue',
                current_schema()
            ),
            detail = 'This version installs its own tables and does not adopt '
                'existing ones yet.',
            hint = 'Install into a schema of its own: '
                'ocr-guardrails --schema ocr migrate';
    end if;
end
$do$;

create table documents (
    id uuid not null default gen_random_uuid(),
    filename text not null,
    file_path text,
    file_hash text,
    file_size bigint,
    mime_type text,
    ocr_status text not null default 'pending',
    ocr_text text,
    ocr_confidence real,
    ocr_word_count integer,
    ocr_processing_time_ms integer,
    ocr_engine text,
    ocr_source_hash text,
    ocr_text_hash bigint,
    ocr_error text,
    ocr_completed_at timestamptz,
    ocr_lease_token uuid,
    ocr_result_token uuid,
    ocr_claims integer not null default 0,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint documents_pkey primary key (id),
    constraint check_ocr_status
    check (ocr_status in ('pending', 'processing', 'completed', 'failed')),
    constraint check_ocr_confidence
    check (ocr_confidence between 0 and 100),
    -- a statement reads the text of every CHECK anew: the fewer operators, the cheaper
    constraint check_ocr_numbers
    check (
        least(ocr_word_count, ocr_processing_time_ms, ocr_claims) >= 0
        and file_size >= 0
    ),
    constraint check_ocr_completed_result
    check (
        ocr_status <> 'completed'
        or (
            ocr_text is not null
            and ocr_confidence is not null
            and ocr_word_count is not null
            and ocr_completed_at is not null
        )
    ),
    constraint check_ocr_lease
    check ((ocr_status = 'processing') = (ocr_lease_token is not null)),
    -- the length by itself: a bounded repetition costs eight times as much, and every
    -- update of the row pays it
    constraint check_ocr_file_hash
    check (octet_length(file_hash) = 64 and file_hash ~ '^[0-9a-f]+$')
);

comment on table documents is
'Uploaded files and their OCR results: one row per file. The fence of a result
(ocr_lease_token, ocr_result_token) stands on the row that it protects.';
comment on column documents.id is
'Primary key; time-ordered (uuid version 7).';
comment on column documents.filename is
'Name as uploaded. Not unique: scanners call every file scan.pdf.';
comment on column documents.file_path is
'Where a worker finds the file.';
comment on column documents.file_hash is
'SHA-256 of the file, 64 lower-case hexadecimal digits; null when unknown.';
comment on column documents.file_size is
'Size of the file in bytes.';
comment on column documents.mime_type is
'Media type of the file, for example application/pdf.';
comment on column documents.ocr_status is
'pending, processing (a lease is live), completed (a result stands) or failed.';
comment on column documents.ocr_text is
'The recognised text. Written once, under a lease (G1, G4).';
comment on column documents.ocr_confidence is
'Mean confidence of the recognition in percent, 0 to 100.';
comment on column documents.ocr_word_count is
'Number of words in ocr_text as the worker counted them.';
comment on column documents.ocr_processing_time_ms is
'Time that the recognition took, in milliseconds.';
comment on column documents.ocr_engine is
'Name and version of the engine that made the result.';
comment on column documents.ocr_source_hash is
'SHA-256 of the bytes that the result was read from: as offered by the worker,
else file_hash at that moment. Differs from file_hash once the file is replaced.';
comment on column documents.ocr_text_hash is
'64-bit hash of ocr_text, kept by the trigger; finds texts that two documents share.';
comment on column documents.ocr_error is
'Why the last attempt failed; null once a result is written.';
comment on column documents.ocr_completed_at is
'When the result was written.';
comment on column documents.ocr_lease_token is
'The live lease: set by claim_ocr_jobs(), cleared by whatever ends the lease (G2).';
comment on column documents.ocr_result_token is
'The lease under which the result was written (G11).';
comment on column documents.ocr_claims is
'How often the document was claimed. From the second claim on, a result without a
lease token is ambiguous and refused.';
comment on column documents.created_at is
'When the row was made.';
comment on column documents.updated_at is
'When the package last changed the row.';

create index idx_documents_pending_ocr
on documents (created_at) where ocr_status = 'pending';
create index idx_documents_processing_ocr
on documents (updated_at) where ocr_status = 'processing';
-- Only ever asked for equality; a B-tree of 64 random characters is several times as
-- large, and each new version of a row would add to it.
create index idx_documents_file_hash
on documents using hash (file_hash) where file_hash is not null;
create index idx_documents_ocr_text_hash
on documents (ocr_text_hash) where ocr_text_hash is not null;

-- A row is written three times in its life (insert, claim, result); the free space
-- lets those versions share a page.
alter table documents set (fillfactor = 80);

create table ocr_queue (
    id uuid not null default gen_random_uuid(),
    document_id uuid not null,
    status text not null default 'pending',
    priority integer not null default 5,
    attempts integer not null default 0,
    max_attempts integer not null default 3,
    run_after timestamptz not null default clock_timestamp(),
    created_at timestamptz not null default now(),
    started_at timestamptz,
    heartbeat_at timestamptz,
    completed_at timestamptz,
    worker_id text,
    lease_expires_at timestamptz,
    progress_current integer,
    progress_total integer,
    error_message text,
    processing_time_ms integer,
    file_size bigint,
    constraint ocr_queue_pkey primary key (id),
    constraint fk_ocr_queue_document_id
    foreign key (document_id) references documents (id) on delete cascade,
    constraint check_ocr_queue_status
    check (status in ('pending', 'processing', 'failed')),
    constraint check_ocr_queue_priority
    check (priority between 0 and 10),
    constraint check_ocr_queue_run_after
    check (isfinite(run_after)),
    constraint check_ocr_queue_attempts
    check (
        attempts >= 0
        and max_attempts between 1 and 100
        and attempts <= max_attempts
        and (status <> 'pending' or attempts < max_attempts)
    ),
    constraint check_ocr_queue_lease
    check (
        case
            when status = 'processing'
                then (
                    lease_expires_at is not null
                    and started_at is not null
                    and worker_id is not null
                )
            else lease_expires_at is null
        end
    ),
    constraint check_ocr_queue_numbers
    check (
        least(progress_current, progress_total, processing_time_ms) >= 0
        and progress_current <= progress_total
        and file_size >= 0
    )
);

comment on table ocr_queue is
'OCR jobs that are waiting, running or dead. A completed job is removed (its history
stays in ocr_job_history), so the table is as small as the work that is left.';
comment on column ocr_queue.id is
'Primary key; time-ordered (uuid version 7).';
comment on column ocr_queue.document_id is
'The document to be processed; at most one live job each (G5).';
comment on column ocr_queue.status is
'pending, processing (under a lease) or failed (dead: attempts are used up).';
comment on column ocr_queue.priority is
'0 (last) to 10 (first).';
comment on column ocr_queue.attempts is
'Attempts spent, the running one included.';
comment on column ocr_queue.max_attempts is
'Attempts after which the job is dead.';
comment on column ocr_queue.run_after is
'Not to be claimed before this time: backoff, or a job for later.';
comment on column ocr_queue.created_at is
'When the job was enqueued.';
comment on column ocr_queue.started_at is
'When the running or last attempt was claimed.';
comment on column ocr_queue.heartbeat_at is
'Last sign of life from the worker. In no index, so that heartbeats stay HOT.';
comment on column ocr_queue.completed_at is
'When a dead job died.';
comment on column ocr_queue.worker_id is
'Who holds the lease, or held the last one of a dead job.';
comment on column ocr_queue.lease_expires_at is
'When the lease ends unless extended. In no index, so that heartbeats stay HOT.';
comment on column ocr_queue.progress_current is
'Pages done.';
comment on column ocr_queue.progress_total is
'Pages in all.';
comment on column ocr_queue.error_message is
'Error of the last attempt.';
comment on column ocr_queue.processing_time_ms is
'How long the last failed attempt took, in milliseconds.';
comment on column ocr_queue.file_size is
'Size of the file in bytes when the job was enqueued.';

create unique index idx_ocr_queue_unique_pending_document
on ocr_queue (document_id) where status in ('pending', 'processing');
-- The cascade from documents looks for jobs of every status.
create index idx_ocr_queue_document_id on ocr_queue (document_id);
-- Claim order within a priority; jobs that wait out a backoff stand at its end.
create index idx_ocr_queue_claim
on ocr_queue (priority, run_after) where status = 'pending';
create index idx_ocr_queue_processing
on ocr_queue (started_at) where status = 'processing';
create index idx_ocr_queue_failed
on ocr_queue (completed_at) where status = 'failed';

-- Heartbeats and progress update in place (HOT); the table churns like a queue.
alter table ocr_queue set (
    fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_threshold = 500,
    autovacuum_analyze_scale_factor = 0.05,
    autovacuum_vacuum_cost_delay = 0
);

create table ocr_job_history (
    document_id uuid not null,
    job_id uuid,
    outcome text not null,
    error_class text,
    worker_id text,
    engine text,
    attempt integer,
    priority integer,
    queued_at timestamptz,
    started_at timestamptz,
    finished_at timestamptz not null default clock_timestamp(),
    wait_ms bigint,
    processing_time_ms integer,
    confidence real,
    word_count integer,
    source_hash text,
    lease_token uuid,
    error text,
    constraint check_ocr_job_history_outcome
    check (
        outcome in ('written', 'failed', 'retry', 'expired', 'released', 'cancelled')
    )
) partition by range (finished_at);

create table ocr_job_history_default partition of ocr_job_history default;

comment on table ocr_job_history is
'Append-only: one row per finished attempt (G10). Partitioned by month of finished_at;
outlives its document.';
comment on table ocr_job_history_default is
'Rows for which create_ocr_history_partitions() has not made a partition yet, so that
an insert never fails for want of one.';
comment on column ocr_job_history.document_id is
'The document; no foreign key, the evidence stays when the document goes.';
comment on column ocr_job_history.job_id is
'The job; null when the document had lost its job.';
comment on column ocr_job_history.outcome is
'written; failed (dead now); retry (will be tried again); expired (the lease ran out or
was reset); released (given back unspent); cancelled (by an operator, a requeue or a
replaced file).';
comment on column ocr_job_history.error_class is
'document, permanent or infrastructure, for failed and retry.';
comment on column ocr_job_history.worker_id is
'Who held the lease.';
comment on column ocr_job_history.engine is
'Name and version of the OCR engine.';
comment on column ocr_job_history.attempt is
'Number of the attempt, from 1.';
comment on column ocr_job_history.priority is
'Priority of the job.';
comment on column ocr_job_history.queued_at is
'When the job was enqueued.';
comment on column ocr_job_history.started_at is
'When the attempt was claimed.';
comment on column ocr_job_history.finished_at is
'When the attempt ended; the partition key.';
comment on column ocr_job_history.wait_ms is
'From the moment the job was due to its claim, in milliseconds.';
comment on column ocr_job_history.processing_time_ms is
'As the worker measured it for a written result, else from claim to end, in
milliseconds.';
comment on column ocr_job_history.confidence is
'Confidence of a written result in percent.';
comment on column ocr_job_history.word_count is
'Words of a written result.';
comment on column ocr_job_history.source_hash is
'SHA-256 of the bytes that a written result was read from.';
comment on column ocr_job_history.lease_token is
'The lease of the attempt.';
comment on column ocr_job_history.error is
'What went wrong, or who ended the attempt and why.';

create index idx_ocr_job_history_document_id on ocr_job_history (document_id);
create index idx_ocr_job_history_finished_at on ocr_job_history (finished_at);
-- What the circuit counts: few rows, whatever the number of finished documents.
create index idx_ocr_job_history_infrastructure
on ocr_job_history (finished_at) where error_class = 'infrastructure';

create table ocr_incidents (
    id bigint generated always as identity,
    created_at timestamptz not null default clock_timestamp(),
    reason text not null,
    document_id uuid,
    job_id uuid,
    worker_id text,
    offered_token uuid,
    live_token uuid,
    expected_filename text,
    actual_filename text,
    offered_hash text,
    actual_hash text,
    text_length integer,
    text_hash bigint,
    other_document_id uuid,
    detail text,
    session_user_name text not null default session_user,
    application_name text default current_setting('application_name', true),
    client_addr inet default inet_client_addr(),
    constraint ocr_incidents_pkey primary key (id)
);

comment on table ocr_incidents is
'Append-only: one row per refused result, and per foreign text that was written under
the policy record (G7, G10). Never the text itself: its length and hash.';
comment on column ocr_incidents.id is
'Primary key.';
comment on column ocr_incidents.created_at is
'When the result was offered.';
comment on column ocr_incidents.reason is
'The outcome: stale_lease, lease_required, already_completed, document_missing,
filename_mismatch, source_mismatch, implausible_result, foreign_text or
rejected_by_database.';
comment on column ocr_incidents.document_id is
'The document that the result was offered for; it may be gone.';
comment on column ocr_incidents.job_id is
'The job of that document that was in processing at that moment.';
comment on column ocr_incidents.worker_id is
'Who held that job; the refused writer is named by application_name and offered_token.';
comment on column ocr_incidents.offered_token is
'The lease token that came with the result.';
comment on column ocr_incidents.live_token is
'The lease token that was live.';
comment on column ocr_incidents.expected_filename is
'The filename that the writer expected.';
comment on column ocr_incidents.actual_filename is
'The filename of the document.';
comment on column ocr_incidents.offered_hash is
'SHA-256 of the bytes that the writer read.';
comment on column ocr_incidents.actual_hash is
'SHA-256 of the document''s file.';
comment on column ocr_incidents.text_length is
'Length of the refused text in characters.';
comment on column ocr_incidents.text_hash is
'Hash of the refused text, comparable with documents.ocr_text_hash.';
comment on column ocr_incidents.other_document_id is
'For foreign_text: a document that already carries this text.';
comment on column ocr_incidents.detail is
'The reason in words.';
comment on column ocr_incidents.session_user_name is
'The role that had logged in.';
comment on column ocr_incidents.application_name is
'application_name of the session; the reference worker puts its worker id there.';
comment on column ocr_incidents.client_addr is
'Address of the client; null on a Unix socket.';

create index idx_ocr_incidents_created_at on ocr_incidents (created_at);
create index idx_ocr_incidents_document_id on ocr_incidents (document_id);

create table ocr_previous_results (
    id bigint generated always as identity,
    document_id uuid not null,
    ocr_text text not null,
    ocr_confidence real not null,
    ocr_word_count integer not null,
    ocr_processing_time_ms integer,
    ocr_engine text,
    ocr_source_hash text,
    ocr_completed_at timestamptz not null,
    ocr_result_token uuid,
    reason text not null,
    set_aside_at timestamptz not null default clock_timestamp(),
    set_aside_by text not null default session_user,
    constraint ocr_previous_results_pkey primary key (id),
    constraint fk_ocr_previous_results_document_id
    foreign key (document_id) references documents (id) on delete cascade
);

comment on table ocr_previous_results is
'Results that requeue_document() set aside, the newest last; restore_previous_result()
brings the newest back (G4).';
comment on column ocr_previous_results.id is
'Primary key; grows with time.';
comment on column ocr_previous_results.document_id is
'The document.';
comment on column ocr_previous_results.ocr_text is
'The text that stood there.';
comment on column ocr_previous_results.ocr_confidence is
'Its confidence in percent.';
comment on column ocr_previous_results.ocr_word_count is
'Its number of words.';
comment on column ocr_previous_results.ocr_processing_time_ms is
'How long it took, in milliseconds.';
comment on column ocr_previous_results.ocr_engine is
'The engine that made it.';
comment on column ocr_previous_results.ocr_source_hash is
'SHA-256 of the bytes that it was read from.';
comment on column ocr_previous_results.ocr_completed_at is
'When it was written.';
comment on column ocr_previous_results.ocr_result_token is
'The lease under which it was written.';
comment on column ocr_previous_results.reason is
'Why the document was requeued.';
comment on column ocr_previous_results.set_aside_at is
'When it was set aside.';
comment on column ocr_previous_results.set_aside_by is
'The role that requeued the document.';

create index idx_ocr_previous_results_document_id
on ocr_previous_results (document_id);

create table ocr_settings (
    id boolean not null default true,
    default_lease interval not null default '5 minutes',
    default_max_attempts integer not null default 3,
    max_concurrent_jobs integer,
    backoff_base interval not null default '10 seconds',
    backoff_cap interval not null default '1 hour',
    circuit_threshold integer not null default 10,
    circuit_window interval not null default '1 minute',
    circuit_cooldown interval not null default '30 seconds',
    require_lease_token boolean not null default false,
    require_source_hash boolean not null default false,
    word_count_tolerance numeric,
    foreign_text_policy text not null default 'record',
    foreign_text_min_words integer not null default 10,
    expiry_sweep_interval interval not null default '5 seconds',
    constraint ocr_settings_pkey primary key (id),
    constraint check_ocr_settings_one_row check (id),
    constraint check_ocr_settings_default_lease
    check (default_lease between interval '1 second' and interval '1 day'),
    constraint check_ocr_settings_default_max_attempts
    check (default_max_attempts between 1 and 100),
    constraint check_ocr_settings_max_concurrent_jobs
    check (max_concurrent_jobs >= 1),
    constraint check_ocr_settings_backoff
    check (
        backoff_base between interval '0' and interval '1 day'
        and backoff_cap between backoff_base and interval '30 days'
    ),
    constraint check_ocr_settings_circuit
    check (
        circuit_threshold >= 1
        and circuit_window between interval '1 second' and interval '1 day'
        and circuit_cooldown between interval '0' and interval '1 day'
    ),
    constraint check_ocr_settings_word_count_tolerance
    check (word_count_tolerance >= 0 and word_count_tolerance <= 10),
    constraint check_ocr_settings_foreign_text
    check (
        foreign_text_policy in ('off', 'record', 'refuse')
        and foreign_text_min_words >= 1
    ),
    constraint check_ocr_settings_expiry_sweep_interval
    check (expiry_sweep_interval between interval '0' and interval '1 hour')
);

insert into ocr_settings default values;

comment on table ocr_settings is
'Exactly one row: how the package behaves. Changed by set_ocr_setting().';
comment on column ocr_settings.id is
'Always true: there is one row.';
comment on column ocr_settings.default_lease is
'How long a lease lasts unless extended.';
comment on column ocr_settings.default_max_attempts is
'Attempts of a job for which enqueue_ocr_job() is given none.';
comment on column ocr_settings.max_concurrent_jobs is
'Most jobs in processing at a time; null for no limit.';
comment on column ocr_settings.backoff_base is
'Base of the exponential backoff: a retry waits a random time between 0 and
least(backoff_cap, backoff_base * 2^attempt).';
comment on column ocr_settings.backoff_cap is
'Longest backoff.';
comment on column ocr_settings.circuit_threshold is
'Infrastructure errors within circuit_window that open the circuit.';
comment on column ocr_settings.circuit_window is
'Window in which infrastructure errors are counted.';
comment on column ocr_settings.circuit_cooldown is
'How long an open circuit lets nothing through before one job probes.';
comment on column ocr_settings.require_lease_token is
'Refuse every result that comes without a lease token.';
comment on column ocr_settings.require_source_hash is
'Refuse every result that comes without the hash of the bytes it was read from.';
comment on column ocr_settings.word_count_tolerance is
'Largest accepted difference between the offered and the counted words, as a share of
the counted ones (0.2 = 20 %); null: not checked, since scripts count differently.';
comment on column ocr_settings.foreign_text_policy is
'What to do with a text that a document with another file already carries: off (do not
look), record (write it, leave an incident) or refuse (G7).';
comment on column ocr_settings.foreign_text_min_words is
'Shorter texts are not compared.';
comment on column ocr_settings.expiry_sweep_interval is
'How often claims look for expired leases.';

create table ocr_queue_state (
    id boolean not null default true,
    paused_at timestamptz,
    paused_by text,
    paused_reason text,
    circuit_state text not null default 'closed',
    circuit_changed_at timestamptz not null default clock_timestamp(),
    circuit_open_until timestamptz,
    circuit_last_error text,
    circuit_probe_document_id uuid,
    circuit_probe_token uuid,
    constraint ocr_queue_state_pkey primary key (id),
    constraint check_ocr_queue_state_one_row check (id),
    constraint check_ocr_queue_state_circuit
    check (
        case circuit_state
            when 'closed' then circuit_open_until is null
            when 'open' then circuit_open_until is not null
            when 'half_open' then circuit_probe_token is not null
            else false
        end
    )
);

insert into ocr_queue_state default values;
alter table ocr_queue_state set (fillfactor = 10);

comment on table ocr_queue_state is
'Exactly one row: whether the queue is paused, and what the circuit does.';
comment on column ocr_queue_state.id is
'Always true: there is one row.';
comment on column ocr_queue_state.paused_at is
'Since when the queue is paused; null: it is not.';
comment on column ocr_queue_state.paused_by is
'The role that paused it.';
comment on column ocr_queue_state.paused_reason is
'Why.';
comment on column ocr_queue_state.circuit_state is
'closed (normal), open (claims return nothing) or half_open (one probe decides).';
comment on column ocr_queue_state.circuit_changed_at is
'When circuit_state last changed.';
comment on column ocr_queue_state.circuit_open_until is
'When an open circuit will let a probe through.';
comment on column ocr_queue_state.circuit_last_error is
'The infrastructure error that opened it last.';
comment on column ocr_queue_state.circuit_probe_document_id is
'The document whose attempt is the probe.';
comment on column ocr_queue_state.circuit_probe_token is
'The lease of the probe.';

create sequence ocr_expiry_sweep_clock;

comment on sequence ocr_expiry_sweep_clock is
'When a claim will look for expired leases next, in milliseconds since 1970. A sequence,
because setting it is not transactional: a claim whose transaction stays open must not
keep the others from looking.';

-- Where claims begin to look, per priority: set_claim_marks() says why and how.
-- Sequences for the same reason, and because a row of a table would itself gather dead
-- versions just when the marks are needed. Unlogged: after a crash there are no marks.
do $do$
begin
    execute 'create unlogged sequence ocr_claim_look_clock minvalue 0 start 0';
    execute 'create unlogged sequence ocr_claim_whole_clock minvalue 0 start 0';
    for v_priority in 0 .. 10 loop
        execute format(
            'create unlogged sequence %I minvalue 0 start 0',
            'ocr_claim_mark_' || v_priority
        );
        execute format(
            'comment on sequence %I is %L',
            'ocr_claim_mark_' || v_priority,
            format(
                'No pending job of priority %s was due before this time when a claim '
                'last looked, in microseconds since 1970.',
                v_priority
            )
        );
    end loop;
end
$do$;

comment on sequence ocr_claim_look_clock is
'When a claim will set the marks anew, in milliseconds since 1970.';
comment on sequence ocr_claim_whole_clock is
'When the marks will be set from the whole queue again, in milliseconds since 1970;
0: they are not in use.';

create table ocr_file_checks (
    document_id uuid not null,
    present boolean not null,
    actual_hash text,
    checked_at timestamptz not null default clock_timestamp(),
    constraint ocr_file_checks_pkey primary key (document_id),
    constraint fk_ocr_file_checks_document_id
    foreign key (document_id) references documents (id) on delete cascade,
    constraint check_ocr_file_checks_actual_hash
    check (octet_length(actual_hash) = 64 and actual_hash ~ '^[0-9a-f]+$')
);

comment on table ocr_file_checks is
'What the last look at each document''s file found. PostgreSQL cannot see the files:
record_ocr_file_checks() is told by someone who can.';
comment on column ocr_file_checks.document_id is
'The document.';
comment on column ocr_file_checks.present is
'Whether the file was there.';
comment on column ocr_file_checks.actual_hash is
'SHA-256 of what was there; null when it was not read.';
comment on column ocr_file_checks.checked_at is
'When.';

create index idx_ocr_file_checks_missing
on ocr_file_checks (document_id) where not present;

create table ocr_lease_locks (
    name text not null,
    owner text not null,
    fence bigint not null default 1,
    acquired_at timestamptz not null default clock_timestamp(),
    expires_at timestamptz not null,
    constraint ocr_lease_locks_pkey primary key (name)
);

comment on table ocr_lease_locks is
'Named locks with a time to live, for holders that outlast a connection or stand behind
a transaction pooler. A row stays after release, so that its fence keeps growing.';
comment on column ocr_lease_locks.name is
'Name of the lock.';
comment on column ocr_lease_locks.owner is
'Who holds it, or held it last.';
comment on column ocr_lease_locks.fence is
'Grows with every holder; a resource that remembers the highest one it saw can refuse
a holder that comes too late.';
comment on column ocr_lease_locks.acquired_at is
'When the present holder got it.';
comment on column ocr_lease_locks.expires_at is
'Free from this time on.';

create table ocr_schema_files (
    path text not null,
    checksum text not null,
    loaded_at timestamptz not null default clock_timestamp(),
    constraint ocr_schema_files_pkey primary key (path)
);

comment on table ocr_schema_files is
'The repeatable SQL files (functions, triggers, views, privileges) that were loaded.';
comment on column ocr_schema_files.path is
'Path of the file below db/.';
comment on column ocr_schema_files.checksum is
'SHA-256 of the file when it was loaded.';
comment on column ocr_schema_files.loaded_at is
'When.';

-- The types of the identifiers, once: functions refer to them by %type, so that they
-- fit whatever type documents.id has.
create type ocr_id_types as (
    document_id uuid,
    document_ids uuid[]
);

comment on type ocr_id_types is
'Names the type of documents.id, alone and as an array, for signatures by %type.';

create type ocr_result as (
    document_id uuid,
    expected_filename text,
    ocr_text text,
    confidence double precision,
    word_count integer,
    processing_time_ms integer,
    lease_token uuid,
    source_hash text,
    engine text
);

comment on type ocr_result is
'One offered result: the arguments of update_ocr_safe(), and the keys of an element of
update_ocr_batch_safe().';

-- What depends on the server: time-ordered identifiers keep the indexes dense (with
-- random ones a claim of 100 jobs touches another page for each of its index entries),
-- and lz4 compresses the text at a fraction of pglz's cost. Before uuidv7() the same is
-- put together: the milliseconds since 1970 in the first six bytes of a random
-- identifier, and the version 7 (RFC 9562) over its 4; the bits of the variant are
-- right already.
do $do$
declare
    v_identifier constant text := case
        when to_regprocedure('pg_catalog.uuidv7()') is not null then 'uuidv7()'
        else $$
            encode(
                set_bit(
                    set_bit(
                        overlay(
                            uuid_send(gen_random_uuid())
                            placing substring(
                                int8send((1000 * extract(
                                    epoch from clock_timestamp()
                                ))::bigint) from 3
                            ) from 1 for 6
                        ),
                        52, 1
                    ),
                    53, 1
                ),
                'hex'
            )::uuid
        $$
    end;
begin
    execute format(
        'alter table documents alter column id set default %s', v_identifier
    );
    execute format(
        'alter table ocr_queue alter column id set default %s', v_identifier
    );
    if exists (
        select from pg_settings as s
        where s.name = 'default_toast_compression' and 'lz4' = any(s.enumvals)
    ) then
        alter table documents alter column ocr_text set compression lz4;
        alter table ocr_previous_results alter column ocr_text set compression lz4;
    end if;
end
$do$;
