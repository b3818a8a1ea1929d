-- Called where nobody waits for it: by migrate and by refresh_ocr_stats(). Until then
-- rows go to the default partition, and an insert never fails; rows that landed there
-- move. Attaching a partition locks the default partition exclusively, so it gives up
-- at once when somebody reads it, and the next call tries again.

create or replace function create_ocr_history_partitions(
    p_months_ahead integer default 3
)
returns integer
language plpgsql
volatile
security definer
set search_path from current
set lock_timeout = '200ms'
-- a time is read back as it was written, whatever abbreviations of time zones mean here
set datestyle = 'ISO'
as $function$
declare
    v_from timestamptz;
    v_to timestamptz;
    v_name text;
    v_count integer := 0;
begin
    if (p_months_ahead between 0 and 120) is not true then
        perform reject_argument(
            'p_months_ahead', 'between 0 and 120', p_months_ahead::text
        );
    end if;

    -- a loop because each month is DDL of its own
    for v_from in
        select m.month at time zone 'UTC'
        from generate_series(
            date_trunc('month', now() at time zone 'UTC'),
            date_trunc('month', now() at time zone 'UTC')
            + make_interval(months => p_months_ahead),
            interval '1 month'
        ) as m (month)
    loop
        v_to := ((v_from at time zone 'UTC') + interval '1 month') at time zone 'UTC';
        v_name := 'ocr_job_history_'
            || to_char(v_from at time zone 'UTC', '"y"YYYY"m"MM');
        -- a temporary table of this name is none of ours
        continue when
            to_regclass(format('%I.%I', current_schema(), v_name)) is not null;
        begin
            lock table ocr_job_history_default in access exclusive mode;
            execute format(
                'create table %I (like ocr_job_history including all)', v_name
            );
            execute format(
                'with moved as ('
                'delete from ocr_job_history_default '
                'where finished_at >= %L and finished_at < %L returning *) '
                'insert into %I select * from moved',
                v_from, v_to, v_name
            );
            execute format(
                'alter table ocr_job_history attach partition %I '
                'for values from (%L) to (%L)',
                v_name, v_from, v_to
            );
            execute format(
                'comment on table %I is %L',
                v_name,
                format(
                    'Finished attempts of %s (UTC).',
                    to_char(v_from at time zone 'UTC', 'YYYY-MM')
                )
            );
            v_count := v_count + 1;
        exception
            when lock_not_available or duplicate_table then
                return v_count;
        end;
    end loop;
    return v_count;
end;
$function$;

comment on function create_ocr_history_partitions is
'Makes the monthly partitions of ocr_job_history for this month and p_months_ahead more
(months in UTC), and moves rows that had to go to the default partition. Returns how
many it made; fewer when another session is reading the default partition, which is not
waited for. Raises 22023 for a number outside 0 to 120.';
