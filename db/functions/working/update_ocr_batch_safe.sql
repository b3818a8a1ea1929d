-- The same rules for many results in one call. The results come as json, which every
-- language can write, and as json rather than jsonb: a NUL in one text must not make
-- the whole argument unreadable.

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
begin
    if json_typeof(p_results) is distinct from 'array' then
        perform reject_argument(
            'p_results', 'a json array of results', left(p_results::text, 100)
        );
    end if;

    begin
        v_results := array(
            select r::ocr_result
            from json_populate_recordset(null::ocr_result, p_results) as r
        );
    exception
        when data_exception then
            -- offer_ocr_batch() reads what can be read
            v_results := null;
    end;
    if coalesce(cardinality(v_results), json_array_length(p_results)) > 10000 then
        perform reject_argument(
            'p_results', 'at most 10000 results',
            format('%s results', json_array_length(p_results))
        );
    end if;
    return query
    select o.document_id, o.outcome, o.detail
    from offer_ocr_batch(v_results, p_results) as o;
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
call. update_ocr_arrays_safe() takes the same as arrays, for clients that have them.';
