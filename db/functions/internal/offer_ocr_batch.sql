-- What all ways of offering many results have in common. The whole batch is one
-- statement. Only when it cannot be read, or the statement raises, is each element
-- offered alone, inside its own savepoint, so that one bad result never takes the
-- others down. All locks are taken before that, since a savepoint per element would
-- take them one after the other (G12).

create or replace function offer_ocr_batch(
    p_results ocr_result [],
    p_json json default null
)
returns table (
    document_id documents.id%type,
    outcome text,
    detail text
)
language plpgsql
volatile
set search_path from current
set plan_cache_mode = force_generic_plan
as $function$
declare
    v_is_whole boolean := p_results is not null;
    v_results ocr_result [] := p_results;
    v_elements json [];
    v_document_ids ocr_id_types.document_ids%type;
    v_outcomes text [];
    v_details text [];
begin
    if v_is_whole then
        begin
            select
                array_agg(o.document_id order by o.ordinal),
                array_agg(o.outcome order by o.ordinal),
                array_agg(o.detail order by o.ordinal)
            into v_document_ids, v_outcomes, v_details
            from offer_ocr_results(v_results) as o;
        exception
            when transaction_rollback then
                raise;
            -- nothing is swallowed: what else it was comes again, element by element
            when others then
                v_is_whole := false;
        end;
    end if;
    if not v_is_whole then
        if p_json is not null then
            v_elements := array(
                select e.value
                from json_array_elements(p_json) with ordinality as e (value, n)
                order by e.n
            );
            v_results := array(
                select read_ocr_result(e.value)
                from unnest(v_elements) with ordinality as e (value, n)
                order by e.n
            );
        end if;
        perform lock_ocr_offers(v_results);
        select
            array_agg((v_results[i.n]).document_id order by i.n),
            array_agg(o.outcome order by i.n),
            array_agg(o.detail order by i.n)
        into v_document_ids, v_outcomes, v_details
        from generate_subscripts(v_results, 1) as i (n)
        cross join lateral offer_ocr_element(v_elements[i.n], v_results[i.n]) as o;
    end if;

    if 'rejected_by_database' = any(v_outcomes) then
        perform fail_rejected_job(v_results[i.n], v_details[i.n])
        from generate_subscripts(v_outcomes, 1) as i (n)
        where v_outcomes[i.n] = 'rejected_by_database';
    end if;
    return query
    select r.document_id, r.outcome, r.detail
    from unnest(v_document_ids, v_outcomes, v_details)
        as r (document_id, outcome, detail);
end;
$function$;

comment on function offer_ocr_batch is
'Internal. Offers many results so that one bad one does not take the others down, and
fails the jobs of those that the database rejected. p_json is the array that the results
came as, if they did; p_results is null where it could not be read as a whole. Returns
one row for each, in order.';
