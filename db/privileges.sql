-- Who may do what: the one place where rights are given. Loaded last, by every run of
-- migrate, when everything exists. docs/security.md explains it role by role, and
-- db/tests/privileges.sql holds it against the catalog, right by right.
--
-- Functions are open to PUBLIC by default; the package's are closed, and no others,
-- since the schema may hold functions of the application as well. The functions of
-- producing, working and operating are SECURITY DEFINER, so nobody needs a right on a
-- table to call them, and none is given that would go round them: nothing here writes
-- to a table, reads a text, or shows the token of a live lease.
--
-- Roles belong to the cluster, not to the database. They are made where they are
-- missing and the installer may; else the others are served, and a later run gives the
-- rest its rights. Rights that an administrator has given beyond these stay, and so
-- would one that a later version takes out of this list: revoke it here by name.

do $do$
declare
    v_roles constant text[] := array[
        'ocr_producer', 'ocr_worker', 'ocr_operator', 'ocr_monitor'
    ];
    v_role text;
    v_right record;
    v_missing text[];
begin
    for v_right in
        select s.identity from ocr_schema_objects as s where s.kind = 'routine'
    loop
        execute format('revoke execute on routine %s from public', v_right.identity);
    end loop;
    -- asked by the condition of a trigger, as whoever updates documents
    grant execute on function is_finishing_left_to_trigger to public;
    -- whoever may use a type can hang objects of his own on it, and it stays
    revoke usage on type ocr_id_types, ocr_result from public;

    foreach v_role in array v_roles loop
        continue when exists (select from pg_roles as r where r.rolname = v_role);
        begin
            execute format('create role %I nologin', v_role);
            execute format(
                'comment on role %I is %L',
                v_role,
                'OCR Guardrails: may call the functions of its part, and no more.'
            );
        exception
            -- an installation in another database was first
            when duplicate_object or unique_violation then
                null;
            when insufficient_privilege then
                v_missing := array_append(v_missing, v_role);
        end;
    end loop;

    for v_right in
        select
            m.what,
            r.rolname as role
        from (
            values
            -- producing
            ('execute on function enqueue_ocr_job', 'ocr_producer'),
            ('execute on function enqueue_ocr_jobs', 'ocr_producer'),
            ('execute on function enqueue_pending_documents', 'ocr_producer'),
            ('execute on function ingest_ocr_documents', 'ocr_producer'),
            ('execute on function requeue_document', 'ocr_producer ocr_operator'),
            ('execute on function restore_previous_result',
                'ocr_producer ocr_operator'),

            -- working; a worker that drains the queue has to see when it is empty
            ('execute on function claim_ocr_jobs', 'ocr_worker'),
            ('execute on function extend_ocr_leases', 'ocr_worker'),
            ('execute on function fail_ocr_job', 'ocr_worker'),
            ('execute on function release_ocr_job', 'ocr_worker'),
            ('execute on function report_ocr_progress', 'ocr_worker'),
            ('execute on function update_ocr_arrays_safe', 'ocr_worker'),
            ('execute on function update_ocr_batch_safe', 'ocr_worker'),
            ('execute on function update_ocr_safe', 'ocr_worker'),
            ('select on ocr_queue_overview', 'ocr_worker'),
            ('select (paused_at) on ocr_queue_state', 'ocr_worker'),

            -- operating: what changes something
            ('execute on function acquire_lease_lock', 'ocr_operator'),
            ('execute on function cancel_ocr_job', 'ocr_operator'),
            ('execute on function create_ocr_history_partitions', 'ocr_operator'),
            ('execute on function find_document_files', 'ocr_operator'),
            ('execute on function lock_resource', 'ocr_operator'),
            ('execute on function pause_ocr_queue', 'ocr_operator'),
            ('execute on function record_ocr_file_checks', 'ocr_operator'),
            ('execute on function release_lease_lock', 'ocr_operator'),
            ('execute on function repair_database_consistency', 'ocr_operator'),
            ('execute on function reset_stuck_ocr_jobs', 'ocr_operator'),
            ('execute on function resume_ocr_queue', 'ocr_operator'),
            ('execute on function retry_failed_ocr_jobs', 'ocr_operator'),
            ('execute on function set_ocr_setting', 'ocr_operator'),
            -- and the evidence of any age. Not the tokens of incidents: the lease that
            -- an offer was refused under may still be live.
            ('select on ocr_job_history', 'ocr_operator'),
            ('select (
                id, created_at, reason, document_id, job_id, worker_id,
                expected_filename, actual_filename, offered_hash, actual_hash,
                text_length, text_hash, other_document_id, detail, statement,
                session_user_name, application_name, client_addr
            ) on ocr_incidents', 'ocr_operator'),

            -- looking
            ('execute on function find_inconsistencies', 'ocr_operator ocr_monitor'),
            ('execute on function find_stuck_ocr_jobs', 'ocr_operator ocr_monitor'),
            ('execute on function refresh_ocr_stats', 'ocr_operator ocr_monitor'),
            ('execute on function validate_database_consistency',
                'ocr_operator ocr_monitor'),
            ('select on ocr_processing_rate', 'ocr_operator ocr_monitor'),
            ('select on ocr_queue_overview', 'ocr_operator ocr_monitor'),
            ('select on ocr_recent_failures', 'ocr_operator ocr_monitor'),
            ('select on ocr_recent_incidents', 'ocr_operator ocr_monitor'),
            ('select on ocr_settings', 'ocr_operator ocr_monitor'),
            ('select on ocr_stats', 'ocr_operator ocr_monitor'),
            ('select on ocr_unsafe_statements', 'ocr_operator ocr_monitor'),
            ('select on ocr_worker_activity', 'ocr_operator ocr_monitor'),
            -- not the token of the probe
            ('select (
                paused_at, paused_by, paused_reason, circuit_state, circuit_changed_at,
                circuit_open_until, circuit_last_error
            ) on ocr_queue_state', 'ocr_operator ocr_monitor')
        ) as m (what, roles)
        inner join pg_roles as r on r.rolname = any(string_to_array(m.roles, ' '))
    loop
        execute format('grant %s to %I', v_right.what, v_right.role);
    end loop;

    -- in a schema of its own; public is open to everyone, as a rule
    foreach v_role in array v_roles loop
        continue when v_role = any(v_missing)
            or has_schema_privilege(v_role, current_schema(), 'usage');
        execute format('grant usage on schema %I to %I', current_schema(), v_role);
    end loop;

    if v_missing is not null then
        raise warning using
            message = format(
                '%I may not create roles: %s have to be created by somebody else',
                current_user, array_to_string(v_missing, ', ')
            ),
            hint = format(
                'Everything else is installed. Let an administrator run: %s; then '
                'migrate again, which gives them their rights.',
                (
                    select string_agg(format('create role %I nologin', m.role), '; ')
                    from unnest(v_missing) as m (role)
                )
            );
    end if;

    -- Functions that run with their owner's rights look for names in this schema.
    if exists (
        select
        from pg_namespace as n
        cross join
            lateral aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) as a
        where
            n.nspname = current_schema()
            and a.privilege_type = 'CREATE'
            and (
                a.grantee = 0
                or a.grantee in (
                    select r.oid from pg_roles as r where r.rolname = any(v_roles)
                )
            )
    ) then
        raise warning using
            message = format(
                'others may create objects in schema %I, and take over its owner''s '
                'rights by them',
                current_schema()
            ),
            hint = format(
                'Install into a schema of its own, or: revoke create on schema %I from '
                'public, %s;',
                current_schema(), array_to_string(v_roles, ', ')
            );
    end if;

    if row_security_active('documents') then
        raise warning using
            message = 'row-level security hides documents from the functions of the '
                'package',
            hint = format(
                'Unless a policy shows all of them to %I: alter table documents no '
                'force row level security.',
                current_user
            );
    end if;
end
$do$;
