-- Jobs that are due while their document says otherwise, which plain SQL can bring
-- about. A claim passes over them and, when it falls short, settles them here. Like the
-- claim it waits for nobody (G12).

create or replace function settle_displaced_jobs(
    p_now timestamptz,
    p_marks timestamptz []
)
returns boolean
language plpgsql
volatile
set search_path from current
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_sort = off
set enable_hashjoin = off
set enable_mergejoin = off
set jit = off
as $function$
declare
    v_leftovers ocr_id_types.document_ids%type;
    v_taken_over ocr_id_types.document_ids%type;
begin
    select
        array_agg(o.document_id) filter (where o.ocr_status = 'completed'),
        array_agg(o.document_id) filter (where o.ocr_status = 'processing')
    into v_leftovers, v_taken_over
    from generate_series(0, 10) as n (priority)
    cross join lateral (
        select
            q.document_id,
            d.ocr_status
        from ocr_queue as q
        inner join documents as d on d.id = q.document_id
        where
            q.status = 'pending'
            and q.priority = n.priority
            and q.run_after >= coalesce(p_marks[n.priority + 1], '-infinity')
            and q.run_after <= p_now
            and d.ocr_status in ('completed', 'processing')
        order by q.run_after
        limit 1000
        for no key update of d skip locked
        for update of q skip locked
    ) as o;

    if v_leftovers is not null then
        -- jobs that somebody enqueued by hand for completed documents (G4)
        delete from ocr_queue as q where q.document_id = any(v_leftovers);
    end if;
    if v_taken_over is not null then
        -- the job was put back by hand, the document was not: the attempt that this
        -- ends leaves its row like any other (G10)
        perform from end_ocr_leases(
            v_taken_over, 'expired', 'its job was put back by hand', 'retry', true
        );
    end if;
    return v_leftovers is not null or v_taken_over is not null;
end;
$function$;

comment on function settle_displaced_jobs is
'Internal. Removes due jobs of completed documents and ends the leases of documents
whose jobs are pending, so that these can be claimed. p_marks as read_claim_marks()
gives them. Returns whether there were any.';
