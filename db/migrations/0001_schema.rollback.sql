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
-- Adopted tables stay, without the guards that stand on the settings' word; the rest
-- is taken back by the rollback of 0000_adoption.
do $do$
declare
    v_guard record;
    v_table text;
begin
    for v_guard in
        select a.undo from ocr_adoption as a where a.kind = 'guard' order by a.id desc
    loop
        execute v_guard.undo;
    end loop;
    update ocr_adoption set is_in_force = false where kind = 'guard';
    foreach v_table in array array['ocr_queue', 'documents'] loop
        if not exists (
            select from ocr_adoption as a
            where a.kind = 'table' and a.object = v_table
        ) then
            execute format('drop table %I', v_table);
        end if;
    end loop;
end
$do$;

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
