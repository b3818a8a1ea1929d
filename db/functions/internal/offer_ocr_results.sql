-- Where results are written (G1-G4, G6, G7, G10, G11). update_ocr_safe(),
-- update_ocr_batch_safe() and update_ocr_arrays_safe() are doors to it; one result is a
-- batch of one. What may be written is judged and written in one statement, with the
-- removal of the jobs; what is left over is explained by record_ocr_refusals().
-- One document is locked by that statement itself, which judges the newest version of
-- the row if it had to wait. Several are locked before it, by lock_ocr_documents(),
-- which never waits while it holds some of them (G12), and so is one whose text may
-- have to be refused: only a statement that begins after the locks sees what those had
-- written for whom they were waited for.
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
as $function$
declare
    v_settings ocr_settings;
    v_result ocr_result;
    v_is_locked boolean := cardinality(p_results) > 1;
    v_is_dependent boolean := false;
    v_ordinal integer := 0;
    v_ordinals bigint [];
    v_document_ids ocr_id_types.document_ids%type;
    v_foreign_ids ocr_id_types.document_ids%type;
    v_jobs ocr_queue [];
begin
    if v_is_locked then
        perform lock_ocr_offers(p_results);
    end if;
    select s.* into strict v_settings from ocr_settings as s where s.id;
    if v_settings.foreign_text_policy = 'refuse' and not v_is_locked then
        perform lock_ocr_offers(p_results);
        v_is_locked := true;
    end if;

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

    -- Read by the trigger that would otherwise write the history, row by row. Not a SET
    -- of the function: only a superuser may give a function a setting of this kind.
    perform set_config('ocr_guardrails.history_follows', 'on', true);
    loop
        with
        written as (
            update documents as d
            set
                ocr_status = 'completed',
                ocr_text = r.ocr_text,
                -- the column holds a real, which has no numbers closer to zero
                ocr_confidence = case
                    when r.confidence > 1e-30 then r.confidence else 0
                end,
                ocr_word_count = r.word_count,
                ocr_processing_time_ms = r.processing_time_ms,
                ocr_engine = r.engine,
                ocr_source_hash = r.source_hash,
                ocr_result_token = d.ocr_lease_token,
                ocr_completed_at = clock_timestamp(),
                updated_at = clock_timestamp()
            from unnest(p_results) with ordinality as r (
                document_id, expected_filename, ocr_text, confidence, word_count,
                processing_time_ms, lease_token, source_hash, engine, ordinal
            )
            where
                d.id = r.document_id
                and judge_ocr_result(
                    d.ocr_status, d.ocr_lease_token, d.ocr_result_token, d.ocr_claims,
                    d.filename, d.file_hash,
                    r.lease_token, r.expected_filename, r.source_hash,
                    r.ocr_text, r.confidence, r.word_count,
                    v_settings.require_lease_token, v_settings.require_source_hash,
                    v_settings.word_count_tolerance
                ) = 'written'
                and find_invalid_result(
                    r.document_id, r.expected_filename, r.ocr_text, r.confidence,
                    r.word_count, r.processing_time_ms, r.source_hash
                ) is null
                and (
                    v_settings.foreign_text_policy <> 'refuse'
                    or not exists (
                        select from list_foreign_texts(
                            d.id, d.file_hash, r.ocr_text, r.word_count,
                            v_settings.foreign_text_min_words
                        )
                    )
                )
            returning
                d.id,
                r.ordinal,
                case
                    when v_settings.foreign_text_policy = 'record'
                        then (
                            select f.id
                            from list_foreign_texts(
                                d.id, d.file_hash, r.ocr_text, r.word_count,
                                v_settings.foreign_text_min_words
                            ) as f (id)
                            limit 1
                        )
                end as foreign_id
        ),
        removed as (
            delete from ocr_queue as q
            using written as w
            where q.document_id = w.id
            returning q.*
        )
        select
            array_agg(w.ordinal),
            array_agg(w.id),
            array_agg(w.foreign_id),
            (select array_agg(m::ocr_queue) from removed as m)
        into v_ordinals, v_document_ids, v_foreign_ids, v_jobs
        from written as w;
        exit when v_is_locked or v_ordinals is not null;
        -- why it was refused is to be said of a row that cannot change meanwhile
        perform lock_ocr_offers(p_results);
        v_is_locked := true;
    end loop;
    perform set_config('ocr_guardrails.history_follows', 'off', true);

    if v_ordinals is not null then
        perform record_written_results(v_document_ids, v_jobs);
    end if;
    if cardinality(v_ordinals) = cardinality(p_results)
        and num_nonnulls(variadic v_foreign_ids) = 0
    then
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
        p_results, v_settings, v_ordinals, v_foreign_ids, v_jobs
    ) as e;
end;
$function$;

comment on function offer_ocr_results is
'Internal. Offers results for documents: locks, judges by judge_ocr_result(), looks for
foreign texts (G7), writes what may be written and records an incident for what may not
(G10). Returns the outcome of each element, in order. An error that the write itself
raises goes through to the caller.';
