-- The types and CHECKs of ocr_settings decide what is accepted; this only names the
-- column and turns their refusal into one that names the setting.

create or replace function set_ocr_setting(
    p_name text,
    p_value text
)
returns void
language plpgsql
volatile
security definer
set search_path from current
as $function$
declare
    v_constraint text;
begin
    if p_name = 'guard_mode' then
        raise exception using
            errcode = 'object_not_in_prerequisite_state',
            message = 'guard_mode is more than a setting',
            detail = 'Constraints come and go with it.',
            hint = 'Call set_guard_mode().';
    end if;
    if p_name is null or p_name = 'id' or not exists (
        select from pg_attribute as a
        where
            a.attrelid = 'ocr_settings'::regclass
            and a.attname = p_name
            and a.attnum > 0
            and not a.attisdropped
    ) then
        perform reject_argument(
            'p_name',
            'one of ' || (
                select string_agg(a.attname, ', ' order by a.attnum)
                from pg_attribute as a
                where
                    a.attrelid = 'ocr_settings'::regclass
                    and a.attnum > 0
                    and not a.attisdropped
                    and a.attname not in ('id', 'guard_mode')
            ),
            p_name
        );
    end if;

    begin
        execute format('update ocr_settings set %I = %L', p_name, p_value);
    exception
        when check_violation then
            get stacked diagnostics v_constraint = constraint_name;
            perform reject_argument(
                format('p_value for %s', p_name),
                (
                    select 'accepted by ' || pg_get_constraintdef(c.oid)
                    from pg_constraint as c
                    where
                        c.conrelid = 'ocr_settings'::regclass
                        and c.conname = v_constraint
                ),
                p_value
            );
        when not_null_violation or data_exception then
            perform reject_argument(
                format('p_value for %s', p_name),
                (
                    select 'a value of type ' || format_type(a.atttypid, a.atttypmod)
                    from pg_attribute as a
                    where a.attrelid = 'ocr_settings'::regclass and a.attname = p_name
                ),
                p_value
            );
    end;
end;
$function$;

comment on function set_ocr_setting is
'Changes one column of ocr_settings; p_value as text, null only where the setting may be
null. In force for every call that begins afterwards. Raises 22023 for an unknown
setting, a value of the wrong type or out of range, and says what is accepted.';
