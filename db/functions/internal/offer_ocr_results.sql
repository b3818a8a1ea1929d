-- Results as a batch offers them. Elements that depend on each other (the same document
-- twice, the same text twice) are offered one after the other, so that each sees the
-- one before it; all others are written at once.

create or replace function offer_ocr_results(p_results ocr_result [])
returns table (
    ordinal integer,
    document_id documents.id%type,
    outcome text,
    detail text
)
language plpgsql
volatile
set search_path from current
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set jit = off
as $function$
declare
    v_result ocr_result;
    v_answer record;
    v_is_dependent boolean := false;
    v_ordinal integer := 0;
begin
    if cardinality(p_results) > 1 then
        select
            count(*) <> count(distinct r.document_id)
            or count(h.hash) <> count(distinct h.hash)
        into v_is_dependent
        from ocr_settings as s
        cross join unnest(p_results) as r
        left join lateral (
            select hash_ocr_text(r.ocr_text)
            where is_text_compared(r.ocr_text, r.word_count, s.foreign_text_min_words)
        ) as h (hash) on true
        where s.id;
    end if;
    if v_is_dependent then
        perform lock_ocr_offers(p_results);
        foreach v_result in array p_results loop
            v_ordinal := v_ordinal + 1;
            return query
            select v_ordinal, o.document_id, o.outcome, o.detail
            from offer_ocr_results(array[v_result]) as o;
        end loop;
        return;
    end if;

    v_answer := write_ocr_results(p_results);
    if v_answer.is_complete then
        return query
        select r.ordinal::integer, r.document_id, 'written', null
        from unnest(p_results) with ordinality as r (
            document_id, expected_filename, ocr_text, confidence, word_count,
            processing_time_ms, lease_token, source_hash, engine, ordinal
        );
        return;
    end if;
    return query
    select e.ordinal, e.document_id, e.outcome, e.detail
    from record_ocr_refusals(
        p_results, v_answer.written, v_answer.foreign_ids
    ) as e;
end;
$function$;

comment on function offer_ocr_results is
'Internal. Offers results for documents: writes what may be written and records an
incident for what may not (G10). Returns the outcome of each element, in order. An error
that the write itself raises goes through to the caller.';
