-- The same rules for many results in one call. The results come as json, which every
-- language can write, and as json rather than jsonb: a NUL in one text must not make
-- the whole argument unreadable. The whole batch is one statement. Only when it cannot
-- be read, or the statement raises, is each element offered alone, inside its own
-- savepoint, so that one bad result never takes the others down. All locks are taken
-- before that, since a savepoint per element would take them one after the other (G12).

create or replace function update_ocr_batch_safe(p_results json)
returns table (
    document_id documents.id%type,
    outcome text,
    detail text
)
language plpgsql
volatile
security definer
set search_path from current
as $function$
declare
    v_results ocr_result [];
    v_elements json [];
    v_document_ids ocr_id_types.document_ids%type;
    v_outcomes text [];
    v_details text [];
begin
    if json_typeof(p_results) is distinct from 'array' then
        perform reject_argument(
            'p_results', 'a json array of results', left(p_results::text, 100)
        );
    end if;
    if json_array_length(p_results) > 10000 then
        perform reject_argument(
            'p_results', 'at most 10000 results',
            format('%s results', json_array_length(p_results))
        );
    end if;

    begin
        v_results := array(
            select r::ocr_result
            from json_populate_recordset(null::ocr_result, p_results) as r
        );
        select
            array_agg(o.document_id order by o.ordinal),
            array_agg(o.outcome order by o.ordinal),
            array_agg(o.detail order by o.ordinal)
        into v_document_ids, v_outcomes, v_details
        from offer_ocr_results(v_results) as o;
    exception
        when transaction_rollback then
            raise;
        -- nothing is swallowed: whatever else it was comes again, element by element
        when others then
            v_elements := array(
                select e.value
                from json_array_elements(p_results) with ordinality as e (value, n)
                order by e.n
            );
    end;
    if v_elements is not null then
        v_results := array(
            select read_ocr_result(e.value)
            from unnest(v_elements) with ordinality as e (value, n)
            order by e.n
        );
        perform lock_ocr_offers(v_results);
        select
            array_agg((v_results[i.n]).document_id order by i.n),
            array_agg(o.outcome order by i.n),
            array_agg(o.detail order by i.n)
        into v_document_ids, v_outcomes, v_details
        from generate_subscripts(v_elements, 1) as i (n)
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

comment on function update_ocr_batch_safe is
'Offers many results in one call, by the rules of update_ocr_safe(). p_results is a json
array of objects with the keys document_id, expected_filename, ocr_text, confidence,
word_count, processing_time_ms, lease_token, source_hash, engine. Returns one row for
each, in order, with the outcome; everything but written and already_written was
refused, changed nothing and left an incident. One result that the database cannot take
(a number out of range, a NUL, an index or constraint of the user''s own that refuses
the text) is rejected_by_database, with SQLSTATE and message as detail, and its job is
failed as document; the others are written. Raises 22023 when p_results is not an array
of at most 10000, and errors of the transaction or the server, which concern the whole
call.';
