-- The last line (G8): holds right document, fencing, finality and one state for
-- document and job against any SQL, from any client. It judges from the row alone
-- wherever the transition is frequent (claim, result, unrelated update) and looks at
-- the job or the set-aside results only where it is rare. The rules for a result are
-- those of judge_ocr_result(), with a lease that must be given. SECURITY DEFINER
-- because whoever may update documents need not be allowed to read the queue.
-- Where it is about to refuse, and only there, it asks whether this installation only
-- observes (guard_mode).

create or replace function validate_ocr_consistency()
returns trigger
language plpgsql
volatile
security definer
set search_path from current
as $function$
declare
    v_outcome text;
    v_observed documents;
    v_is_result_changed boolean;
begin
    if new.ocr_claims is distinct from old.ocr_claims
        and (
            new.ocr_status is distinct from 'processing'
            or new.ocr_lease_token is not distinct from old.ocr_lease_token
        )
    then
        v_observed := observe_ocr_update(old, new, 'OG004');
        if v_observed.id is not null then
            return v_observed;
        end if;
        raise exception using
            errcode = 'OG004',
            message = format('ocr_claims of document %s counts its claims', old.id),
            detail = 'It decides whether a result without a lease token is ambiguous.',
            hint = 'Leave the column alone; claim_ocr_jobs() changes it.';
    end if;

    -- a result is written: under the live lease (G1, G2, G6), or it is one that
    -- restore_previous_result() brings back
    if new.ocr_status = 'completed' and old.ocr_status is distinct from 'completed' then
        v_outcome := judge_ocr_result(
            old.ocr_status, old.ocr_lease_token, old.ocr_result_token, old.ocr_claims,
            old.filename, old.file_hash,
            new.ocr_result_token, new.filename, new.ocr_source_hash,
            new.ocr_text, new.ocr_confidence, new.ocr_word_count,
            true, false, null
        );
        -- nested, since a condition with a subquery is a statement of its own each time
        if v_outcome <> 'written' then
            if exists (
                select from ocr_previous_results as r
                where
                    r.document_id = old.id
                    and r.ocr_completed_at = new.ocr_completed_at
                    and r.ocr_result_token is not distinct from new.ocr_result_token
                    and r.ocr_text = new.ocr_text
                    and r.ocr_confidence = new.ocr_confidence
                    and r.ocr_word_count = new.ocr_word_count
            ) then
                v_outcome := 'restored';
            end if;
        end if;
        if v_outcome in ('implausible_result', 'source_mismatch') then
            v_observed := observe_ocr_update(old, new, 'OG005');
            if v_observed.id is not null then
                return v_observed;
            end if;
            raise exception using
                errcode = 'OG005',
                message = format(
                    'the result for document %s cannot be right: %s', old.id, v_outcome
                ),
                detail = format(
                    '%s words, %s characters, confidence %s, read from %s, '
                    'file hash %s.',
                    new.ocr_word_count, length(new.ocr_text), new.ocr_confidence,
                    coalesce(new.ocr_source_hash, 'an unknown file'),
                    coalesce(old.file_hash, 'unknown')
                ),
                hint = 'Offer it with update_ocr_safe(), which gives the reason, or '
                    'report the failure with fail_ocr_job().';
        end if;
        if v_outcome not in ('written', 'restored')
            or (new.file_path, new.file_hash, new.file_size)
            is distinct from (old.file_path, old.file_hash, old.file_size)
        then
            v_observed := observe_ocr_update(old, new, 'OG002');
            if v_observed.id is not null then
                return v_observed;
            end if;
            raise exception using
                errcode = 'OG002',
                message = format(
                    'no live lease to write a result for document %s (%s)',
                    old.id, v_outcome
                ),
                detail = format(
                    'The document is %s; ocr_result_token was %s.',
                    old.ocr_status, coalesce(new.ocr_result_token::text, 'null')
                ),
                hint = 'Claim the job with claim_ocr_jobs() and offer the result with '
                    'update_ocr_safe() and the lease token.';
        end if;
        new.ocr_lease_token := null;
        new.ocr_text_hash := hash_ocr_text(new.ocr_text);
        -- null, or still the time of an earlier result
        if new.ocr_completed_at is not distinct from old.ocr_completed_at then
            new.ocr_completed_at := clock_timestamp();
        end if;
        if v_outcome = 'written' then
            new.ocr_source_hash := coalesce(new.ocr_source_hash, old.file_hash);
        end if;
        new.ocr_error := null;
        return new;
    end if;

    v_is_result_changed := (
        new.ocr_text,
        new.ocr_confidence,
        new.ocr_word_count,
        new.ocr_processing_time_ms,
        new.ocr_engine,
        new.ocr_source_hash,
        new.ocr_text_hash,
        new.ocr_completed_at,
        new.ocr_result_token
    ) is distinct from (
        old.ocr_text,
        old.ocr_confidence,
        old.ocr_word_count,
        old.ocr_processing_time_ms,
        old.ocr_engine,
        old.ocr_source_hash,
        old.ocr_text_hash,
        old.ocr_completed_at,
        old.ocr_result_token
    );

    -- completed: nothing changes, except that requeue_document() takes it back, which
    -- has set the result aside and enqueued a job by now (G4)
    if old.ocr_status = 'completed' then
        if new.ocr_status = 'completed' then
            if v_is_result_changed then
                v_observed := observe_ocr_update(old, new, 'OG003');
                if v_observed.id is not null then
                    return v_observed;
                end if;
                perform raise_final_result(old.id, 'an UPDATE would change it');
            end if;
            return new;
        end if;
        if new.ocr_status is distinct from 'pending'
            or not exists (
                select from ocr_previous_results as r
                where
                    r.document_id = old.id
                    and r.ocr_result_token is not distinct from old.ocr_result_token
                    and r.ocr_text = coalesce(old.ocr_text, '')
            )
            or not exists (
                select from ocr_queue as q
                where q.document_id = old.id and q.status = 'pending'
            )
        then
            v_observed := observe_ocr_update(old, new, 'OG003');
            if v_observed.id is not null then
                return v_observed;
            end if;
            perform raise_final_result(
                old.id,
                format(
                    'an UPDATE would make it %s',
                    coalesce(new.ocr_status, 'null')
                )
            );
        end if;
        new.ocr_text := null;
        new.ocr_confidence := null;
        new.ocr_word_count := null;
        new.ocr_processing_time_ms := null;
        new.ocr_engine := null;
        new.ocr_source_hash := null;
        new.ocr_text_hash := null;
        new.ocr_completed_at := null;
        new.ocr_result_token := null;
        return new;
    end if;

    if v_is_result_changed then
        v_observed := observe_ocr_update(old, new, 'OG004');
        if v_observed.id is not null then
            return v_observed;
        end if;
        raise exception using
            errcode = 'OG004',
            message = format(
                'the result of document %s may be written only by completing it', old.id
            ),
            detail = format(
                'The document is %s and would become %s.',
                old.ocr_status, coalesce(new.ocr_status, 'null')
            ),
            hint = 'Offer the result with update_ocr_safe().';
    end if;

    -- the file is replaced under a live lease: whoever reads the old one is fenced off,
    -- and the job starts again on the new one (G1)
    -- learning a hash or a size that was unknown is no replacement
    if old.ocr_status = 'processing'
        and new.ocr_status = 'processing'
        and (
            new.filename is distinct from old.filename
            or new.file_path is distinct from old.file_path
            or (
                old.file_hash is not null
                and new.file_hash is distinct from old.file_hash
            )
            or (
                old.file_size is not null
                and new.file_size is distinct from old.file_size
            )
        )
    then
        perform restart_replaced_job(old.id, old.ocr_lease_token);
        new.ocr_status := 'pending';
        new.ocr_lease_token := null;
        return new;
    end if;

    if new.ocr_status = 'processing' then
        if (
            old.ocr_status <> 'processing'
            or new.ocr_lease_token is distinct from old.ocr_lease_token
        )
        and (
            new.ocr_lease_token is null
            or new.ocr_claims is distinct from old.ocr_claims + 1
        ) then
            v_observed := observe_ocr_update(old, new, 'OG004');
            if v_observed.id is not null then
                return v_observed;
            end if;
            raise exception using
                errcode = 'OG004',
                message = format(
                    'document %s can be claimed only with a lease', old.id
                ),
                detail = format(
                    'An UPDATE would make it processing, from %s.', old.ocr_status
                ),
                hint = 'Call claim_ocr_jobs().';
        end if;
        return new;
    end if;

    -- pending or failed: not while the job says otherwise (G5)
    if new.ocr_status is distinct from old.ocr_status then
        if exists (
            select from ocr_queue as q
            where
                q.document_id = old.id
                and (
                    q.status = 'processing'
                    or (q.status = 'pending' and new.ocr_status = 'failed')
                )
        ) then
            v_observed := observe_ocr_update(old, new, 'OG004');
            if v_observed.id is not null then
                return v_observed;
            end if;
            raise exception using
                errcode = 'OG004',
                message = format(
                    'document %s cannot become %s while its job is live',
                    old.id, coalesce(new.ocr_status, 'null')
                ),
                detail = 'Document and job change together (G5).',
                hint = 'Call reset_stuck_ocr_jobs(), release_ocr_job(), '
                    'fail_ocr_job(), cancel_ocr_job() or requeue_document().';
        end if;
        new.ocr_lease_token := null;
    end if;
    return new;
end;
$function$;

comment on function validate_ocr_consistency is
'Trigger function of trigger_validate_ocr_consistency. Raises OG002 for a result without
the live lease, OG003 for a change of a completed result, OG004 for any other illegal
state change, OG005 for a result that cannot be right (G1, G2, G4, G5, G6, G8).';

create or replace trigger trigger_validate_ocr_consistency
before update on documents
for each row
execute function validate_ocr_consistency();

comment on trigger trigger_validate_ocr_consistency on documents is
'Holds the guarantees against every UPDATE (G8).';
