-- Where results are written (G1-G4, G6, G7, G10, G11). update_ocr_safe() and
-- update_ocr_batch_safe() are two doors to it; one result is a batch of one.
-- Three steps: lock the documents, judge and write in one statement, record the history
-- of what was written and an incident for what was refused.
-- A second statement after the locks, because only a new snapshot sees what those had
-- written for whom the locks were waited for.
-- Elements that depend on each other (the same document twice, the same text twice) are
-- offered one after the other, so that each sees the one before it.

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
-- one index lookup per element: a condition = any(array) beside the join would sort the
-- array anew for each of them
set enable_hashjoin = off
set enable_mergejoin = off
set jit = off
-- read by the trigger that would otherwise write the history, row by row
set ocr_guardrails.history_follows = on
as $function$
declare
    v_settings ocr_settings;
    v_result ocr_result;
    v_is_dependent boolean := false;
    v_ordinal integer := 0;
    v_outcomes text [];
    v_invalids text [];
    v_foreign_ids ocr_id_types.document_ids%type;
    v_written ocr_id_types.document_ids%type;
    v_jobs ocr_queue [];
    v_details text [];
begin
    perform lock_ocr_offers(p_results);
    select s.* into strict v_settings from ocr_settings as s where s.id;

    if cardinality(p_results) > 1 then
        select
            count(*) <> count(distinct r.document_id)
            or count(h.hash) <> count(distinct h.hash)
        into v_is_dependent
        from unnest(p_results) as r
        left join lateral (
            select hash_ocr_text(r.ocr_text)
            where is_text_compared(
                r.ocr_text, r.word_count, v_settings.foreign_text_min_words
            )
        ) as h (hash) on true;
    end if;
    if v_is_dependent then
        foreach v_result in array p_results loop
            v_ordinal := v_ordinal + 1;
            return query
            select v_ordinal, o.document_id, o.outcome, o.detail
            from offer_ocr_results(array[v_result]) as o;
        end loop;
        return;
    end if;

    with
    judged as materialized (
        select
            r.ordinal,
            r.document_id,
            r.ocr_text,
            r.confidence,
            r.word_count,
            r.processing_time_ms,
            r.source_hash,
            r.engine,
            d.ocr_lease_token,
            i.invalid,
            f.id as foreign_id,
            case
                when v.verdict in ('written', 'implausible_result')
                    and i.invalid is not null
                    then 'rejected_by_database'
                when v.verdict = 'written'
                    and f.id is not null
                    and v_settings.foreign_text_policy = 'refuse'
                    then 'foreign_text'
                else v.verdict
            end as outcome
        from unnest(p_results) with ordinality as r (
            document_id, expected_filename, ocr_text, confidence, word_count,
            processing_time_ms, lease_token, source_hash, engine, ordinal
        )
        left join documents as d on d.id = r.document_id
        cross join lateral (
            select judge_ocr_result(
                d.ocr_status, d.ocr_lease_token, d.ocr_result_token, d.ocr_claims,
                d.filename, d.file_hash,
                r.lease_token, r.expected_filename, r.source_hash,
                r.ocr_text, r.confidence, r.word_count,
                v_settings.require_lease_token, v_settings.require_source_hash,
                v_settings.word_count_tolerance
            )
            -- inlined, but evaluated once
            offset 0
        ) as v (verdict)
        cross join lateral (
            select find_invalid_result(
                r.document_id, r.expected_filename, r.ocr_text, r.confidence,
                r.word_count, r.processing_time_ms, r.source_hash
            )
            offset 0
        ) as i (invalid)
        left join lateral (
            select o.id
            from documents as o
            where
                v.verdict = 'written'
                and v_settings.foreign_text_policy <> 'off'
                and is_text_compared(
                    r.ocr_text, r.word_count, v_settings.foreign_text_min_words
                )
                and o.ocr_text_hash = hash_ocr_text(r.ocr_text)
                and o.id <> r.document_id
                and (o.file_hash = d.file_hash) is not true
                and o.ocr_text = r.ocr_text
            limit 1
        ) as f on true
    ),
    written as (
        update documents as d
        set
            ocr_status = 'completed',
            ocr_text = j.ocr_text,
            -- the column holds a real, which has no numbers closer to zero
            ocr_confidence = case
                when j.confidence > 1e-30 then j.confidence else 0
            end,
            ocr_word_count = j.word_count,
            ocr_processing_time_ms = j.processing_time_ms,
            ocr_engine = j.engine,
            ocr_source_hash = j.source_hash,
            ocr_result_token = j.ocr_lease_token,
            ocr_completed_at = clock_timestamp(),
            updated_at = clock_timestamp()
        from judged as j
        where
            d.id = j.document_id
            and j.outcome = 'written'
        returning d.id
    ),
    removed as (
        delete from ocr_queue as q
        using written as w
        where q.document_id = w.id
        returning q.*
    )
    select
        array_agg(j.outcome order by j.ordinal),
        array_agg(j.invalid order by j.ordinal),
        array_agg(j.foreign_id order by j.ordinal),
        array_agg(j.document_id) filter (where j.outcome = 'written'),
        (select array_agg(m::ocr_queue) from removed as m)
    into v_outcomes, v_invalids, v_foreign_ids, v_written, v_jobs
    from judged as j;

    if v_written is not null then
        perform record_written_results(v_written, v_jobs);
    end if;
    if v_outcomes <> array_fill('written'::text, array[cardinality(v_outcomes)])
        or num_nonnulls(variadic v_foreign_ids) > 0
    then
        v_details := record_ocr_incidents(
            p_results, v_outcomes, v_invalids, v_foreign_ids
        );
    end if;
    return query
    select o.ordinal::integer, p_results[o.ordinal].document_id, o.outcome, o.detail
    from unnest(v_outcomes, v_details) with ordinality as o (outcome, detail, ordinal);
end;
$function$;

comment on function offer_ocr_results is
'Internal. Offers results for documents: locks, judges by judge_ocr_result(), looks for
foreign texts (G7), writes what may be written and records an incident for what may not
(G10). Returns the outcome of each element, in order. An error that the write itself
raises goes through to the caller.';
