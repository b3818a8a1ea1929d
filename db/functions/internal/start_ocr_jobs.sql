-- Every way in which a document gets a new job goes through here. The caller has locked
-- the documents and knows that they have no live job; on conflict is for a plain INSERT
-- that does not lock them.

create or replace function start_ocr_jobs(
    p_document_ids ocr_id_types.document_ids%type,
    p_priority integer,
    p_run_after timestamptz,
    p_max_attempts integer
)
returns integer
language plpgsql
volatile
set search_path from current
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set jit = off
as $function$
declare
    v_count integer;
begin
    delete from ocr_queue as q
    where q.document_id = any(p_document_ids) and q.status = 'failed';

    insert into ocr_queue (
        document_id, priority, run_after, max_attempts, file_size
    )
    select
        d.id,
        p_priority,
        -- in the order in which they came, and each at a time of its own, so that a
        -- mark can stand between any two (set_claim_marks())
        p_run_after
        + (row_number() over (order by d.created_at, d.id) - 1)
        * interval '1 microsecond',
        coalesce(p_max_attempts, s.default_max_attempts),
        d.file_size
    from documents as d
    cross join ocr_settings as s
    where d.id = any(p_document_ids) and s.id
    order by d.created_at, d.id
    on conflict do nothing;
    get diagnostics v_count = row_count;

    update documents as d
    set ocr_status = 'pending', ocr_error = null, updated_at = clock_timestamp()
    where d.id = any(p_document_ids) and d.ocr_status is distinct from 'pending';

    if p_run_after <= clock_timestamp() then
        perform notify_ocr_workers();
    end if;
    return v_count;
end;
$function$;

comment on function start_ocr_jobs is
'Internal. Makes a pending job for each of the given documents, removes dead ones, makes
the documents pending and wakes the workers. Returns how many jobs it made.';
