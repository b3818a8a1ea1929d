-- Fenced (G2): a failure that comes after the job was given to somebody else changes
-- nothing. Infrastructure errors say nothing about the document: no attempt is spent,
-- and enough of them open the circuit.

create or replace function fail_ocr_job(
    p_document_id documents.id%type,
    p_lease_token uuid,
    p_error text,
    p_error_class text default 'document',
    p_engine text default null
)
returns text
language plpgsql
volatile
security definer
set search_path from current
as $function$
declare
    v_job_status text;
begin
    perform check_lease_arguments(p_document_id, p_lease_token);
    if p_error is null or p_error !~ '[^[:space:]]' then
        perform reject_argument('p_error', 'the reason of the failure', p_error);
    end if;
    if (p_error_class in ('document', 'permanent', 'infrastructure')) is not true then
        perform reject_argument(
            'p_error_class', 'document, permanent or infrastructure', p_error_class
        );
    end if;

    if not lock_live_lease(p_document_id, p_lease_token) then
        return 'stale_lease';
    end if;

    select e.job_status into strict v_job_status
    from end_ocr_leases(
        array[p_document_id],
        case
            when p_error_class = 'permanent' then 'failed'
            else 'retry'
        end,
        left(p_error, 10000),
        case when p_error_class = 'permanent' then 'dead' else 'retry' end,
        p_error_class <> 'infrastructure',
        true,
        p_error_class,
        p_engine
    ) as e;

    perform count_circuit_failure(p_document_id, p_lease_token, p_error, p_error_class);
    return case v_job_status when 'failed' then 'dead' else 'retry' end;
end;
$function$;

comment on function fail_ocr_job is
'Reports that an attempt failed. p_error_class says whose fault it was: document (tried
again after a backoff with full jitter until attempts are used up, then dead), permanent
(dead at once) or infrastructure (tried again, no attempt spent; ocr_settings.
circuit_threshold of them within circuit_window open the circuit). Returns retry, dead,
or stale_lease when the lease is no longer the caller''s (G2). Raises 22023 on a null or
empty argument or an unknown class.';
