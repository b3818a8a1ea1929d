drop type ocr_result;
drop type ocr_id_types;
drop table ocr_schema_files;
drop table ocr_lease_locks;
drop table ocr_file_checks;
drop sequence ocr_expiry_sweep_clock;
drop sequence ocr_claim_look_clock;
drop sequence ocr_claim_whole_clock;
drop sequence ocr_claim_mark_0;
drop sequence ocr_claim_mark_1;
drop sequence ocr_claim_mark_2;
drop sequence ocr_claim_mark_3;
drop sequence ocr_claim_mark_4;
drop sequence ocr_claim_mark_5;
drop sequence ocr_claim_mark_6;
drop sequence ocr_claim_mark_7;
drop sequence ocr_claim_mark_8;
drop sequence ocr_claim_mark_9;
drop sequence ocr_claim_mark_10;
drop table ocr_queue_state;
drop table ocr_settings;
drop table ocr_previous_results;
drop table ocr_incidents;
drop table ocr_job_history;
drop table ocr_queue;
drop table documents;

-- The one right of the group roles that does not go with an object. The roles stay:
-- other databases may use them.
do $do$
declare
    v_role text;
begin
    for v_role in
        select r.rolname
        from pg_namespace as n
        cross join lateral aclexplode(n.nspacl) as a
        inner join pg_roles as r on r.oid = a.grantee
        where
            n.nspname = current_schema()
            and a.privilege_type = 'USAGE'
            and r.rolname in (
                'ocr_producer', 'ocr_worker', 'ocr_operator', 'ocr_monitor'
            )
    loop
        execute format('revoke usage on schema %I from %I', current_schema(), v_role);
    end loop;
end
$do$;
