-- A CHECK stops whoever breaks it, NOT VALID or not, an unrelated UPDATE of an old row
-- included; so on adopted tables those of the package come with the mode that refuses.
-- They are added NOT VALID, which takes a moment: their validity is for a statement of
-- its own, which locks nobody out (ocr-guardrails guard-mode enforce).

create or replace function set_guard_mode(p_mode text)
returns text
language plpgsql
volatile
set search_path from current
as $function$
declare
    v_before text;
    v_stranded text;
    v_guard record;
begin
    if (p_mode in ('observe', 'enforce')) is not true then
        perform reject_argument('p_mode', 'observe or enforce', p_mode);
    end if;
    select s.guard_mode into strict v_before
    from ocr_settings as s
    where s.id
    for update;
    if p_mode = v_before then
        return v_before;
    end if;
    if not exists (select from ocr_adoption as a where a.kind = 'table') then
        raise exception using
            errcode = 'object_not_in_prerequisite_state',
            message = 'this installation has made its own tables, which always enforce',
            detail = 'Nothing was changed.',
            hint = 'Observing is for tables that were there before the package.';
    end if;

    if p_mode = 'enforce' then
        select string_agg(format('%s (%s)', f.kind, f.findings), ', ' order by f.kind)
        into v_stranded
        from (
            select f.kind, count(*) as findings
            from list_ocr_findings() as f
            where
                f.kind not in (
                    'changed_file', 'missing_file', 'pending_without_job',
                    'replaced_file_result', 'shared_text'
                )
            group by f.kind
        ) as f;
        if v_stranded is not null then
            raise exception using
                errcode = 'object_not_in_prerequisite_state',
                message = format('rows would be stranded: %s', v_stranded),
                detail = 'guard_mode stays observe.',
                hint = 'Call repair_database_consistency(false); '
                    'find_inconsistencies() lists what it leaves.';
        end if;
        update ocr_settings as s set guard_mode = 'enforce' where s.id;
        for v_guard in
            select a.id, a.statement
            from ocr_adoption as a
            where a.kind = 'guard' and not a.is_in_force
            order by a.id
        loop
            execute format('%s', v_guard.statement);
            update ocr_adoption as a set is_in_force = true where a.id = v_guard.id;
        end loop;
    else
        update ocr_settings as s set guard_mode = 'observe' where s.id;
        for v_guard in
            select a.id, a.undo
            from ocr_adoption as a
            where a.kind = 'guard' and a.is_in_force
            order by a.id desc
        loop
            execute format('%s', v_guard.undo);
            update ocr_adoption as a set is_in_force = false where a.id = v_guard.id;
        end loop;
    end if;
    return v_before;
end;
$function$;

comment on function set_guard_mode is
'Says what becomes of plain SQL that breaks a guarantee where tables were adopted:
observe (let through, recorded as the incident unsafe_statement) or enforce (refused).
With enforce the constraints of the package come into force, not valid yet for the rows
that are there; with observe they go. Returns the mode before. Raises 55000 while the
validator finds rows that enforcement would strand, and names the kinds, and where the
package has made its own tables; 22023 for another mode.';
