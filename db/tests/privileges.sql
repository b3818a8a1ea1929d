-- The matrix of db/privileges.sql, right by right: every role, and PUBLIC, on every
-- function, relation, sequence and type. What is not listed here fails, so that nobody
-- adds something without saying who may use it.

begin;

create temporary table of_functions (
    name text,
    producer text,
    worker text,
    operator text,
    monitor text
);
-- A line that cannot be read leaves its function without an entry, which fails.
insert into of_functions
select f.words[1], f.words[2], f.words[3], f.words[4], f.words[5]
from regexp_split_to_table(
    $$
        function                       producer  worker  operator  monitor

        everyone:
        is_finishing_left_to_trigger    yes       yes     yes       yes

        producing:
        enqueue_ocr_job                 yes       -       -         -
        enqueue_ocr_jobs                yes       -       -         -
        enqueue_pending_documents       yes       -       -         -
        ingest_ocr_documents            yes       -       -         -

        producing and operating:
        requeue_document                yes       -       yes       -
        restore_previous_result         yes       -       yes       -

        working:
        claim_ocr_jobs                  -         yes     -         -
        extend_ocr_leases               -         yes     -         -
        fail_ocr_job                    -         yes     -         -
        release_ocr_job                 -         yes     -         -
        report_ocr_progress             -         yes     -         -
        update_ocr_arrays_safe          -         yes     -         -
        update_ocr_batch_safe           -         yes     -         -
        update_ocr_safe                 -         yes     -         -

        operating:
        acquire_lease_lock              -         -       yes       -
        cancel_ocr_job                  -         -       yes       -
        create_ocr_history_partitions   -         -       yes       -
        find_document_files             -         -       yes       -
        lock_resource                   -         -       yes       -
        pause_ocr_queue                 -         -       yes       -
        record_ocr_file_checks          -         -       yes       -
        release_lease_lock              -         -       yes       -
        repair_database_consistency     -         -       yes       -
        reset_stuck_ocr_jobs            -         -       yes       -
        resume_ocr_queue                -         -       yes       -
        retry_failed_ocr_jobs           -         -       yes       -
        set_ocr_setting                 -         -       yes       -

        looking:
        find_inconsistencies            -         -       yes       yes
        find_stuck_ocr_jobs             -         -       yes       yes
        refresh_ocr_stats               -         -       yes       yes
        validate_database_consistency   -         -       yes       yes

        the owner's alone, since it takes guards away and puts them back:
        set_guard_mode                  -         -       -         -

        triggers':
        cleanup_completed_ocr_queue     -         -       -         -
        hash_inserted_ocr_text          -         -       -         -
        validate_ocr_consistency        -         -       -         -

        internal:
        admit_circuit_probe             -         -       -         -
        are_sha256_digits               -         -       -         -
        check_lease_arguments           -         -       -         -
        count_circuit_failure           -         -       -         -
        elapsed_ms                      -         -       -         -
        end_ocr_leases                  -         -       -         -
        fail_rejected_job               -         -       -         -
        find_invalid_result             -         -       -         -
        form_result_history             -         -       -         -
        hash_ocr_text                   -         -       -         -
        is_text_compared                -         -       -         -
        judge_ocr_result                -         -       -         -
        list_broken_guards              -         -       -         -
        list_foreign_texts              -         -       -         -
        list_loaded_objects             -         -       -         -
        list_ocr_findings               -         -       -         -
        lock_live_lease                 -         -       -         -
        lock_ocr_documents              -         -       -         -
        lock_ocr_offers                 -         -       -         -
        notify_ocr_workers              -         -       -         -
        observe_ocr_update              -         -       -         -
        offer_ocr_batch                 -         -       -         -
        offer_ocr_element               -         -       -         -
        offer_ocr_results               -         -       -         -
        raise_final_result              -         -       -         -
        read_claim_marks                -         -       -         -
        read_ocr_result                 -         -       -         -
        record_ocr_refusals             -         -       -         -
        record_written_results          -         -       -         -
        reject_argument                 -         -       -         -
        repair_broken_rows              -         -       -         -
        restart_replaced_job            -         -       -         -
        return_expired_leases           -         -       -         -
        set_circuit_state               -         -       -         -
        set_claim_marks                 -         -       -         -
        settle_displaced_jobs           -         -       -         -
        start_ocr_jobs                  -         -       -         -
        strip_literals                  -         -       -         -
        write_ocr_results               -         -       -         -
    $$, '\n'
) as t (line)
cross join lateral regexp_split_to_array(btrim(t.line), '\s+') as f (words)
where f.words[2] in ('yes', '-') and cardinality(f.words) = 5;

create temporary table of_relations (
    name text,
    producer text,
    worker text,
    operator text,
    monitor text
);
insert into of_relations values
    -- producer, worker, operator, monitor
    ('documents', '', '', '', ''),
    ('ocr_queue', '', '', '', ''),
    ('ocr_previous_results', '', '', '', ''),
    ('ocr_file_checks', '', '', '', ''),
    ('ocr_lease_locks', '', '', '', ''),
    ('ocr_adoption', '', '', '', ''),
    ('ocr_adoption_id_seq', '', '', '', ''),
    ('ocr_schema_files', '', '', '', ''),
    ('ocr_schema_objects', '', '', '', ''),
    ('_yoyo_log', '', '', '', ''),
    ('_yoyo_migration', '', '', '', ''),
    ('_yoyo_version', '', '', '', ''),
    ('yoyo_lock', '', '', '', ''),
    ('ocr_claim_look_clock', '', '', '', ''),
    ('ocr_claim_whole_clock', '', '', '', ''),
    ('ocr_expiry_sweep_clock', '', '', '', ''),
    ('ocr_incidents_id_seq', '', '', '', ''),
    ('ocr_previous_results_id_seq', '', '', '', ''),
    ('ocr_id_types', '', '', '', ''),
    ('ocr_result', '', '', '', ''),
    ('ocr_processing_rate', '', '', 'SELECT', 'SELECT'),
    ('ocr_queue_overview', '', 'SELECT', 'SELECT', 'SELECT'),
    ('ocr_recent_failures', '', '', 'SELECT', 'SELECT'),
    ('ocr_recent_incidents', '', '', 'SELECT', 'SELECT'),
    ('ocr_stats', '', '', 'SELECT', 'SELECT'),
    ('ocr_unsafe_statements', '', '', 'SELECT', 'SELECT'),
    ('ocr_worker_activity', '', '', 'SELECT', 'SELECT'),
    ('ocr_settings', '', '', 'SELECT', 'SELECT'),
    ('ocr_job_history', '', '', 'SELECT', ''),
    -- all but the tokens
    ('ocr_incidents', '', '',
        'SELECT (actual_filename, actual_hash, application_name, client_addr, '
        'created_at, detail, document_id, expected_filename, id, job_id, offered_hash, '
        'other_document_id, reason, session_user_name, statement, text_hash, '
        'text_length, worker_id)',
        ''),
    -- all but the probe
    ('ocr_queue_state', '', 'SELECT (paused_at)',
        'SELECT (circuit_changed_at, circuit_last_error, circuit_open_until, '
        'circuit_state, paused_at, paused_by, paused_reason)',
        'SELECT (circuit_changed_at, circuit_last_error, circuit_open_until, '
        'circuit_state, paused_at, paused_by, paused_reason)');
insert into of_relations
select format('ocr_claim_mark_%s', n.n), '', '', '', ''
from generate_series(0, 10) as n (n);
-- named after the month of the installation
insert into of_relations
select i.inhrelid::regclass::text, '', '', '', ''
from pg_inherits as i
where i.inhparent = 'ocr_job_history'::regclass;

-- What the catalog says. Not what belongs to an extension.
create temporary view ours as
select
    'function' as kind,
    p.proname::text as name,
    p.oid,
    'f' as relkind
from pg_proc as p
where p.pronamespace = current_schema()::regnamespace
    and not exists (
        select from pg_depend as d
        where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e'
    )
union all
select
    'relation' as kind,
    c.relname::text as name,
    c.oid,
    c.relkind::text as relkind
from pg_class as c
where c.relnamespace = current_schema()::regnamespace
    and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S', 'c')
    and not exists (
        select from pg_depend as d
        where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'
    );

create temporary table grantees as
select g.role
from (
    values ('ocr_producer'), ('ocr_worker'), ('ocr_operator'), ('ocr_monitor'),
    ('public')
) as g (role);

create function pg_temp.rights_on_table(p_role text, p_table oid)
returns text
language sql
as $function$
    with
    rights as (
        select r.name
        from unnest(
            string_to_array(
                'SELECT INSERT UPDATE DELETE TRUNCATE REFERENCES TRIGGER'
                || case
                    when current_setting('server_version_num')::integer >= 170000
                        then ' MAINTAIN'
                    else ''
                end,
                ' '
            )
        ) as r (name)
    )
    select coalesce(string_agg(h.held, ', ' order by h.held), '')
    from (
        select r.name as held
        from rights as r
        where has_table_privilege(p_role, p_table, r.name)
        union all
        select format('%s (%s)', r.name, string_agg(a.attname, ', ' order by a.attname))
        from rights as r
        inner join pg_attribute as a
            on a.attrelid = p_table and a.attnum > 0 and not a.attisdropped
        where
            r.name in ('SELECT', 'INSERT', 'UPDATE', 'REFERENCES')
            and not has_table_privilege(p_role, p_table, r.name)
            -- the right on the table is asked for first, whatever the planner thinks
            and case
                when r.name in ('SELECT', 'INSERT', 'UPDATE', 'REFERENCES')
                    then has_column_privilege(p_role, p_table, a.attnum, r.name)
            end
        group by r.name
    ) as h;
$function$;

create temporary view actual as
select
    o.kind,
    o.name,
    g.role,
    case
        when o.relkind = 'f'
            then case
                when has_function_privilege(g.role, o.oid, 'execute') then 'yes'
                else '-'
            end
        when o.relkind = 'c'
            then case
                when has_type_privilege(g.role, t.oid, 'usage') then 'USAGE'
                else ''
            end
        when o.relkind = 'S'
            then concat_ws(
                ', ',
                case when has_sequence_privilege(g.role, o.oid, 'usage')
                    then 'USAGE' end,
                case when has_sequence_privilege(g.role, o.oid, 'select')
                    then 'SELECT' end,
                case when has_sequence_privilege(g.role, o.oid, 'update')
                    then 'UPDATE' end
            )
        else pg_temp.rights_on_table(g.role, o.oid)
    end as rights
from ours as o
cross join grantees as g
left join pg_type as t on t.typrelid = o.oid;

create temporary view expected as
select
    m.kind,
    m.name,
    r.role,
    r.rights
from (
    select 'function' as kind, f.* from of_functions as f
    union all
    select 'relation' as kind, l.* from of_relations as l
) as m
cross join lateral (
    values
    ('ocr_producer', m.producer),
    ('ocr_worker', m.worker),
    ('ocr_operator', m.operator),
    ('ocr_monitor', m.monitor),
    (
        'public',
        case
            when m.kind = 'relation' then ''
            when m.name = 'is_finishing_left_to_trigger' then 'yes'
            else '-'
        end
    )
) as r (role, rights);

select plan((select count(*)::integer from expected) + 12);

select is_empty(
    $$
        select o.kind, o.name from ours as o
        except
        select e.kind, e.name from expected as e
    $$,
    'whatever there is, the matrix says who may use it'
);
select is_empty(
    $$
        select e.kind, e.name from expected as e
        except
        select o.kind, o.name from ours as o
    $$,
    'and it names nothing that is not there'
);
select is(
    a.rights,
    e.rights,
    format('%s on the %s %s', e.role, e.kind, e.name)
)
from expected as e
left join actual as a on a.kind = e.kind and a.name = e.name and a.role = e.role
order by e.kind, e.name, e.role;

-- The schema, and the roles themselves

select results_eq(
    $$
        select
            g.role,
            has_schema_privilege(g.role, current_schema(), 'usage'),
            has_schema_privilege(g.role, current_schema(), 'create')
        from grantees as g
        where g.role <> 'public'
        order by g.role
    $$,
    $$
        values
        ('ocr_monitor', true, false),
        ('ocr_operator', true, false),
        ('ocr_producer', true, false),
        ('ocr_worker', true, false)
    $$,
    'the roles may look into the schema and create nothing there'
);
select is(
    has_schema_privilege('public', current_schema(), 'create'), false,
    'nor may anybody else'
);
select is_empty(
    $$
        select r.rolname
        from pg_roles as r
        inner join grantees as g on g.role = r.rolname
        where r.rolsuper or r.rolcanlogin or r.rolcreaterole or r.rolcreatedb
            or r.rolbypassrls or r.rolreplication
    $$,
    'no group role has an attribute that gives rights'
);
select is_empty(
    $$
        select m.member::regrole, m.roleid::regrole
        from pg_auth_members as m
        inner join pg_roles as r on r.oid = m.member
        inner join grantees as g on g.role = r.rolname
    $$,
    'none is a member of another role'
);
select is(
    (
        select count(*)
        from pg_roles as r
        inner join grantees as g on g.role = r.rolname
        where shobj_description(r.oid, 'pg_authid') ~ '^OCR Guardrails'
    ),
    4::bigint,
    'each says in its comment whose it is'
);
select is_empty(
    $$
        select a.role, a.name, a.rights
        from actual as a
        where a.kind = 'relation'
            and a.rights ~ '(INSERT|UPDATE|DELETE|TRUNCATE|REFERENCES|TRIGGER|MAINTAIN)'
    $$,
    'no role may write to a table or sequence'
);
select is_empty(
    $$
        select g.role, c.relname, a.attname
        from grantees as g
        cross join pg_class as c
        inner join pg_attribute as a
            on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        where
            c.relnamespace = current_schema()::regnamespace
            and c.relkind in ('r', 'p', 'v', 'm')
            -- those of attempts that have ended open nothing any more
            and c.relname <> 'ocr_job_history'
            and (
                a.attname = 'ocr_text'
                or (a.attname ~ 'token' and a.atttypid = 'uuid'::regtype)
            )
            and has_column_privilege(g.role, c.oid, a.attnum, 'select')
    $$,
    'no role may read a text or the token of a lease that may be live'
);

-- SECURITY DEFINER is for what a role calls, or an application's statement triggers:
-- anything else would only be a way to more rights.
select is_empty(
    $$
        select p.oid::regprocedure
        from pg_proc as p
        inner join of_functions as f on f.name = p.proname
        where
            p.pronamespace = current_schema()::regnamespace
            and p.prosecdef
            and p.prorettype <> 'trigger'::regtype
            and 'yes' <> all(array[f.producer, f.worker, f.operator, f.monitor])
    $$,
    'no internal function runs with the rights of its owner'
);
select is_empty(
    $$
        select p.oid::regprocedure
        from pg_proc as p
        inner join of_functions as f on f.name = p.proname
        where
            p.pronamespace = current_schema()::regnamespace
            and not p.prosecdef
            and p.proname <> 'is_finishing_left_to_trigger'
            and 'yes' = any(array[f.producer, f.worker, f.operator, f.monitor])
    $$,
    'every function that a role calls does, so that it needs no right on a table'
);
select is_empty(
    $$
        select p.oid::regprocedure
        from pg_proc as p
        where
            p.pronamespace = current_schema()::regnamespace
            and p.prorettype = 'trigger'::regtype
            and not p.prosecdef
    $$,
    'and so do the triggers, whoever writes to documents'
);

select * from finish();
rollback;
