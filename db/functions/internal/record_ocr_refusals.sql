-- What became of each offer, in words, and what is kept of one that was refused, or
-- written although another document carries the same text (G7, G10). The documents are
-- locked: those that were not written are as they were when they were judged.

create or replace function record_ocr_refusals(
    p_results ocr_result [],
    p_written bigint [],
    p_foreign_ids ocr_id_types.document_ids%type
)
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
set enable_hashjoin = off
set enable_mergejoin = off
set jit = off
as $function$
begin
    return query
    with
    judged as materialized (
        select
            r.*,
            d.ocr_status,
            case
                when w.ordinal is null then d.ocr_lease_token else d.ocr_result_token
            end as live_token,
            d.filename,
            d.file_hash,
            i.invalid,
            f.id as foreign_id,
            case
                when w.ordinal is not null then 'written'
                when v.verdict in ('written', 'implausible_result')
                    and i.invalid is not null
                    then 'rejected_by_database'
                when v.verdict = 'written' and f.id is not null then 'foreign_text'
                when v.verdict = 'written' then 'rejected_by_database'
                else v.verdict
            end as outcome
        from ocr_settings as s
        cross join unnest(p_results) with ordinality as r (
            document_id, expected_filename, ocr_text, confidence, word_count,
            processing_time_ms, lease_token, source_hash, engine, ordinal
        )
        left join unnest(p_written, p_foreign_ids) as w (ordinal, foreign_id)
            on w.ordinal = r.ordinal
        left join documents as d on d.id = r.document_id
        left join lateral (
            select judge_ocr_result(
                d.ocr_status, d.ocr_lease_token, d.ocr_result_token, d.ocr_claims,
                d.filename, d.file_hash,
                r.lease_token, r.expected_filename, r.source_hash,
                r.ocr_text, r.confidence, r.word_count,
                s.require_lease_token, s.require_source_hash, s.word_count_tolerance
            )
            where w.ordinal is null
            -- inlined, but evaluated once
            offset 0
        ) as v (verdict) on true
        left join lateral (
            select find_invalid_result(
                r.document_id, r.expected_filename, r.ocr_text, r.confidence,
                r.word_count, r.processing_time_ms, r.source_hash
            )
            where w.ordinal is null
            offset 0
        ) as i (invalid) on true
        left join lateral (
            select w.foreign_id as id
            where w.foreign_id is not null
            union all
            select t.id
            from list_foreign_texts(
                d.id, d.file_hash, r.ocr_text, r.word_count,
                s.foreign_text_min_words
            ) as t (id)
            where v.verdict = 'written' and s.foreign_text_policy = 'refuse'
            limit 1
        ) as f on true
        where s.id
    ),
    described as materialized (
        select
            j.*,
            case j.outcome
                when 'document_missing' then 'there is no such document'
                when 'already_completed'
                    then 'the document was completed under another lease'
                when 'stale_lease'
                    then case
                        when j.ocr_status = 'processing'
                            then 'another lease is live: the job was reset and claimed '
                                'again'
                        else format(
                            'the document is %s: no lease is live', j.ocr_status
                        )
                    end
                when 'lease_required'
                    then 'no lease token was given, and the document was claimed more '
                        'than once or the setting require_lease_token is on'
                when 'filename_mismatch'
                    then format(
                        'the document''s filename is %L, not %L',
                        j.filename, j.expected_filename
                    )
                when 'source_mismatch'
                    then case
                        when j.source_hash is null
                            then 'no source hash was given, and the setting '
                                'require_source_hash is on'
                        else 'the text was read from other bytes than the document''s '
                            'file'
                    end
                when 'implausible_result'
                    then format(
                        '%s words and confidence %s do not fit a text of %s characters',
                        j.word_count, j.confidence, length(j.ocr_text)
                    )
                when 'rejected_by_database'
                    then coalesce(
                        '22023: ' || j.invalid,
                        '27000: a trigger on documents suppressed the update'
                    )
                when 'foreign_text'
                    then format('document %s carries this very text', j.foreign_id)
                when 'written'
                    then 'document ' || j.foreign_id || ' carries this very text'
            end as detail
        from judged as j
    ),
    incident as (
        insert into ocr_incidents (
            reason, document_id, job_id, worker_id, offered_token, live_token,
            expected_filename, actual_filename, offered_hash, actual_hash,
            text_length, text_hash, other_document_id, detail
        )
        select
            case when e.outcome = 'written' then 'foreign_text' else e.outcome end,
            e.document_id, q.id, q.worker_id, e.lease_token, e.live_token,
            e.expected_filename, e.filename, e.source_hash, e.file_hash,
            length(e.ocr_text), hash_ocr_text(e.ocr_text), e.foreign_id, e.detail
        from described as e
        left join lateral (
            select o.id, o.worker_id
            from ocr_queue as o
            where o.document_id = e.document_id and o.status = 'processing'
            union all
            -- the job is gone if this very offer was written
            select h.job_id, h.worker_id
            from ocr_job_history as h
            where
                h.document_id = e.document_id
                and h.lease_token = e.live_token
                and h.outcome = e.outcome
            limit 1
        ) as q on true
        where
            e.outcome not in ('written', 'already_written')
            or e.foreign_id is not null
    )
    select e.ordinal::integer, e.document_id, e.outcome, e.detail
    from described as e
    order by e.ordinal;
end;
$function$;

comment on function record_ocr_refusals is
'Internal. The outcome of each of the given results, in order, with its reason in words,
and an incident for each that was refused or whose text another document carries.
p_written are the ordinals of those that were written, p_foreign_ids the documents that
carry their texts, as far as the policy looks for them.';
