-- What is kept of an offer that was refused, or written although another document
-- carries the same text (G7, G10). The documents are locked, and a refused one is as it
-- was when it was judged.

create or replace function record_ocr_incidents(
    p_results ocr_result [],
    p_outcomes text [],
    p_invalids text [],
    p_foreign_ids ocr_id_types.document_ids%type
)
returns text []
language plpgsql
volatile
set search_path from current
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set jit = off
as $function$
declare
    v_details text [];
begin
    with
    described as materialized (
        select
            o.ordinal,
            o.outcome,
            o.foreign_id,
            r.document_id,
            r.expected_filename,
            r.ocr_text,
            r.lease_token,
            r.source_hash,
            d.ocr_lease_token,
            d.filename,
            d.file_hash,
            q.id as job_id,
            q.worker_id,
            case o.outcome
                when 'document_missing' then 'there is no such document'
                when 'already_completed'
                    then 'the document was completed under another lease'
                when 'stale_lease'
                    then case
                        when d.ocr_status = 'processing'
                            then 'another lease is live: the job was reset and claimed '
                                'again'
                        else format(
                            'the document is %s: no lease is live', d.ocr_status
                        )
                    end
                when 'lease_required'
                    then 'no lease token was given, and the document was claimed more '
                        'than once or the setting require_lease_token is on'
                when 'filename_mismatch'
                    then format(
                        'the document''s filename is %L, not %L',
                        d.filename, r.expected_filename
                    )
                when 'source_mismatch'
                    then case
                        when r.source_hash is null
                            then 'no source hash was given, and the setting '
                                'require_source_hash is on'
                        else 'the text was read from other bytes than the document''s '
                            'file'
                    end
                when 'implausible_result'
                    then format(
                        '%s words and confidence %s do not fit a text of %s characters',
                        r.word_count, r.confidence, length(r.ocr_text)
                    )
                when 'rejected_by_database' then '22023: ' || o.invalid
                when 'foreign_text'
                    then format('document %s carries this very text', o.foreign_id)
                when 'written'
                    then 'document ' || o.foreign_id || ' carries this very text'
            end as detail
        from unnest(p_outcomes, p_invalids, p_foreign_ids) with ordinality
            as o (outcome, invalid, foreign_id, ordinal)
        cross join lateral (select (p_results[o.ordinal]).*) as r
        left join documents as d on d.id = r.document_id
        left join ocr_queue as q
            on q.document_id = r.document_id and q.status = 'processing'
    ),
    incident as (
        insert into ocr_incidents (
            reason, document_id, job_id, worker_id, offered_token, live_token,
            expected_filename, actual_filename, offered_hash, actual_hash,
            text_length, text_hash, other_document_id, detail
        )
        select
            case when e.outcome = 'written' then 'foreign_text' else e.outcome end,
            e.document_id, e.job_id, e.worker_id, e.lease_token, e.ocr_lease_token,
            e.expected_filename, e.filename, e.source_hash, e.file_hash,
            length(e.ocr_text), hash_ocr_text(e.ocr_text), e.foreign_id, e.detail
        from described as e
        where
            e.outcome not in ('written', 'already_written')
            or e.foreign_id is not null
    )
    select array_agg(e.detail order by e.ordinal) into v_details
    from described as e;
    return v_details;
end;
$function$;

comment on function record_ocr_incidents is
'Internal. Writes an incident for each of the given results that was refused or whose
text another document carries, and returns the outcomes in words, in order; null where
there is nothing to say.';
