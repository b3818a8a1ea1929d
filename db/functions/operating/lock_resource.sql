-- PostgreSQL's own advisory locks, by name. For short critical sections inside one
-- transaction; acquire_lease_lock() is for what outlasts a connection.

create or replace function lock_resource(
    p_name text,
    p_timeout interval default '0'
)
returns boolean
language plpgsql
volatile
security definer
set search_path from current
as $function$
declare
    v_key bigint;
    v_lock_timeout constant text := current_setting('lock_timeout');
begin
    if p_name is null or p_name !~ '[^[:space:]]' then
        perform reject_argument('p_name', 'the name of the resource', p_name);
    end if;
    if (p_timeout between interval '0' and interval '1 day') is not true then
        perform reject_argument('p_timeout', 'between 0 and 1 day', p_timeout::text);
    end if;

    v_key := hashtextextended('ocr_guardrails.lock_resource.' || p_name, 0);
    if pg_try_advisory_xact_lock(v_key) then
        return true;
    end if;
    -- lock_timeout counts whole milliseconds, and 0 would mean for ever
    if p_timeout < interval '1 millisecond' then
        return false;
    end if;
    begin
        perform set_config(
            'lock_timeout',
            ceil(extract(epoch from p_timeout) * 1000)::bigint::text,
            true
        );
        perform pg_advisory_xact_lock(v_key);
        perform set_config('lock_timeout', v_lock_timeout, true);
    exception
        when lock_not_available then
            return false;
    end;
    return true;
end;
$function$;

comment on function lock_resource is
'Takes the advisory lock of that name until the transaction ends. Waits for it no longer
than p_timeout (0: not at all; at most 1 day). Returns whether the lock is held. The
same transaction may take it again. Raises 22023 without a name or for a timeout out of
range.';
