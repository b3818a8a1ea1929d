create or replace function release_lease_lock(
    p_name text,
    p_fence bigint
)
returns boolean
language plpgsql
volatile
security definer
set search_path from current
as $function$
begin
    if p_name is null then
        perform reject_argument('p_name', 'the name of the lock', null);
    end if;
    if p_fence is null then
        perform reject_argument(
            'p_fence', 'the fence that acquire_lease_lock() returned', null
        );
    end if;
    -- the row stays, so that the next fence is a higher one
    update ocr_lease_locks as l
    set expires_at = clock_timestamp()
    where
        l.name = p_name
        and l.fence = p_fence
        and l.expires_at > clock_timestamp();
    return found;
end;
$function$;

comment on function release_lease_lock is
'Gives the named lock back. Returns false when the fence is not that of the present
holder, or the lock had expired. Raises 22023 on a null argument.';
