-- A lock that survives its connection: a row with an owner and an end. The fence lets a
-- resource outside the database refuse a holder that was overtaken while it slept.

create or replace function acquire_lease_lock(
    p_name text,
    p_owner text,
    p_ttl interval
)
returns bigint
language plpgsql
volatile
security definer
set search_path from current
as $function$
declare
    v_fence bigint;
begin
    if p_name is null or p_name !~ '[^[:space:]]' then
        perform reject_argument('p_name', 'the name of the lock', p_name);
    end if;
    if p_owner is null or p_owner !~ '[^[:space:]]' then
        perform reject_argument('p_owner', 'the name of the holder', p_owner);
    end if;
    if (p_ttl between interval '1 millisecond' and interval '7 days') is not true then
        perform reject_argument(
            'p_ttl', 'between 1 millisecond and 7 days', p_ttl::text
        );
    end if;

    insert into ocr_lease_locks as l (name, owner, expires_at)
    values (p_name, p_owner, clock_timestamp() + p_ttl)
    on conflict (name) do update
        set
            fence = l.fence + case
                when l.owner = excluded.owner and l.expires_at > clock_timestamp()
                    then 0
                else 1
            end,
            acquired_at = case
                when l.owner = excluded.owner and l.expires_at > clock_timestamp()
                    then l.acquired_at
                else clock_timestamp()
            end,
            owner = excluded.owner,
            expires_at = clock_timestamp() + p_ttl
        where l.owner = excluded.owner or l.expires_at <= clock_timestamp()
    returning l.fence into v_fence;
    return v_fence;
end;
$function$;

comment on function acquire_lease_lock is
'Takes the named lock for p_owner until p_ttl from now, or extends it when p_owner holds
it. Returns the fence, a number that grows with every holder, or null when somebody else
holds the lock. Works behind a transaction pooler and needs no open connection. Raises
22023 for a missing name or owner, or a ttl outside 1 millisecond to 7 days.';
