-- Reads pending documents in idx_documents_pending_ocr order. Those that have a job are
-- passed over one index probe each; documents that somebody is working on are left for
-- the next call.

create or replace function enqueue_pending_documents(p_limit integer default 1000)
returns integer
language plpgsql
volatile
security definer
set search_path from current
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set jit = off
as $function$
declare
    v_document_ids ocr_id_types.document_ids%type;
begin
    if (p_limit between 1 and 1000000) is not true then
        perform reject_argument('p_limit', 'between 1 and 1000000', p_limit::text);
    end if;

    v_document_ids := array(
        select d.id
        from documents as d
        where
            d.ocr_status = 'pending'
            and not exists (
                select from ocr_queue as q
                where q.document_id = d.id and q.status in ('pending', 'processing')
            )
        order by d.created_at
        limit p_limit
        for no key update skip locked
    );
    if cardinality(v_document_ids) = 0 then
        return 0;
    end if;
    return start_ocr_jobs(v_document_ids, 5, clock_timestamp(), null);
end;
$function$;

comment on function enqueue_pending_documents is
'Enqueues up to p_limit pending documents that have no live job, oldest first, with the
default priority and attempts: what a plain INSERT into documents needs to be processed.
Returns how many. Raises 22023 for a limit outside 1 to 1000000.';
