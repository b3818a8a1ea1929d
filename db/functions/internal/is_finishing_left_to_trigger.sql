-- write_ocr_results() removes jobs and writes history itself, and says so by a setting
-- for statements at its own trigger depth. Anybody can set a setting; it counts only
-- for a role that may create triggers on the table, who could as well take any of ours
-- out of action.
-- The condition of a trigger is evaluated as the role that updates, which needs
-- EXECUTE, and under its search_path. Pinning that would cost more than all the rest,
-- so every name is qualified, and equality is a function, not an operator.

create or replace function is_finishing_left_to_trigger(p_table oid)
returns boolean
language plpgsql
stable
as $function$
begin
    return pg_catalog.texteq(
        pg_catalog.current_setting('ocr_guardrails.finishing_depth', true),
        pg_catalog.pg_trigger_depth()::pg_catalog.text
    ) is not true
    or not pg_catalog.has_table_privilege(p_table, 'trigger');
end;
$function$;

comment on function is_finishing_left_to_trigger is
'Internal, and called by whoever updates documents. Whether the statement leaves it to
trigger_cleanup_completed_ocr_queue to remove the job of a completed document and to
write its history. True for everybody but write_ocr_results().';
