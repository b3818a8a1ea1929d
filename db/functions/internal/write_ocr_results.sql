-- Where results are written (G1-G4, G6, G7, G10). What may be written is judged and
-- written, its job removed and its attempt recorded by one statement: for one result
-- the start of a statement costs more than its work, and for a batch nothing is looked
-- up twice.
-- One document is locked by that statement itself, which judges the newest version of
-- the row if it had to wait. Several are locked before it, by lock_ocr_documents(),
-- which never waits while it holds some of them (G12), and so is one whose text may
-- have to be refused: only a statement that begins after the locks sees what those had
-- written for whom they were waited for.

create or replace function write_ocr_results(
    p_results ocr_result [],
    out is_complete boolean,
    out written bigint [],
    out foreign_ids ocr_id_types.document_ids%type
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
    v_is_locked boolean := cardinality(p_results) > 1;
    v_document_ids ocr_id_types.document_ids%type;
    v_recorded_ids ocr_id_types.document_ids%type;
    v_outer_depth constant text := coalesce(
        current_setting('ocr_guardrails.finishing_depth', true), ''
    );
begin
    if v_is_locked then
        perform lock_ocr_offers(p_results);
    end if;

    -- See is_finishing_left_to_trigger(). Not a SET of the function: only a superuser
    -- may give a function a setting of this kind. An assignment, since it is evaluated
    -- without a statement of its own.
    is_complete := set_config(
        'ocr_guardrails.finishing_depth', pg_trigger_depth()::text, true
    ) is null;
    loop
        with
        result as (
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
            from ocr_settings as s
            cross join unnest(p_results) with ordinality as r (
                document_id, expected_filename, ocr_text, confidence, word_count,
                processing_time_ms, lease_token, source_hash, engine, ordinal
            )
            where
                s.id
                and d.id = r.document_id
                and judge_ocr_result(
                    d.ocr_status, d.ocr_lease_token, d.ocr_result_token, d.ocr_claims,
                    d.filename, d.file_hash,
                    r.lease_token, r.expected_filename, r.source_hash,
                    r.ocr_text, r.confidence, r.word_count,
                    s.require_lease_token, s.require_source_hash,
                    s.word_count_tolerance
                ) = 'written'
                and find_invalid_result(
                    r.document_id, r.expected_filename, r.ocr_text, r.confidence,
                    r.word_count, r.processing_time_ms, r.source_hash
                ) is null
                and (
                    s.foreign_text_policy <> 'refuse'
                    or (
                        v_is_locked
                        and not exists (
                            select from list_foreign_texts(
                                d.id, d.file_hash, r.ocr_text, r.word_count,
                                s.foreign_text_min_words
                            )
                        )
                    )
                )
            returning
                d.id as document_id,
                d.ocr_engine,
                d.ocr_processing_time_ms,
                d.ocr_confidence,
                d.ocr_word_count,
                d.ocr_source_hash,
                d.ocr_result_token,
                r.ordinal,
                case
                    when s.foreign_text_policy = 'record'
                        then (
                            select f.id
                            from list_foreign_texts(
                                d.id, d.file_hash, r.ocr_text, r.word_count,
                                s.foreign_text_min_words
                            ) as f (id)
                            limit 1
                        )
                end as foreign_id
        ),
        removed as (
            delete from ocr_queue as q
            using result as r
            where q.document_id = r.document_id
            returning r.*, q as job
        ),
        recorded as (
            insert into ocr_job_history
            select
                (form_result_history(
                    r.document_id, r.ocr_engine, r.ocr_processing_time_ms,
                    r.ocr_confidence, r.ocr_word_count, r.ocr_source_hash,
                    r.ocr_result_token, r.job
                )).*
            from removed as r
            -- a dead job beside the live one is none of this attempt's
            where (r.job).status <> 'failed'
            returning document_id
        )
        select
            array_agg(r.ordinal),
            array_agg(r.document_id),
            array_agg(r.foreign_id),
            (select array_agg(h.document_id) from recorded as h)
        into written, v_document_ids, foreign_ids, v_recorded_ids
        from result as r;
        exit when v_is_locked or written is not null;
        -- why it was refused is to be said of a row that cannot change meanwhile
        perform lock_ocr_offers(p_results);
        v_is_locked := true;
    end loop;
    is_complete := set_config(
        'ocr_guardrails.finishing_depth', v_outer_depth, true
    ) is not null
    and coalesce(cardinality(written), 0) = cardinality(p_results)
    and coalesce(num_nonnulls(variadic foreign_ids), 0) = 0;

    if cardinality(v_document_ids) > coalesce(cardinality(v_recorded_ids), 0) then
        -- whose job was deleted under it
        perform record_written_results(
            array(
                select i.id from unnest(v_document_ids) as i (id)
                except
                select i.id from unnest(v_recorded_ids) as i (id)
            ),
            null
        );
    end if;
end;
$function$;

comment on function write_ocr_results is
'Internal. Writes what judge_ocr_result(), find_invalid_result() and the search for
foreign texts (G7) let pass, removes the jobs and writes the history; each document may
occur once. Returns the ordinals of what was written and, beside each, a document that
carries the same text, as far as the policy records such; is_complete when all were
written and none has one, else record_ocr_refusals() says the rest. The documents stay
locked. An error that the write itself raises goes through to the caller.';
