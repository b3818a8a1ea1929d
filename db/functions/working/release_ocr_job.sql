-- For a worker that shuts down: the job goes back to its place in the line, and the
-- attempt does not count. Fenced (G2).

create or replace function release_ocr_job(
    p_document_id documents.id%type,
    p_lease_token uuid
)
returns boolean
language plpgsql
volatile
security definer
set search_path from current
as $function$
begin
    perform check_lease_arguments(p_document_id, p_lease_token);
    if not lock_live_lease(p_document_id, p_lease_token) then
        return false;
    end if;
    perform from end_ocr_leases(
        array[p_document_id], 'released', null, 'retry', false
    );
    return true;
end;
$function$;

comment on function release_ocr_job is
'Gives a claimed job back without spending an attempt, as a worker does on shutdown.
Returns true, or false when the lease is no longer the caller''s (G2). Raises 22023 on a
null argument.';
