-- An installation that adopted tables begins by watching: the application's own
-- statements go on, and each that breaks a rule says so in ocr_incidents (G10). One row
-- per statement and rule, however many documents it changes: the turnstile is a setting
-- of the transaction that holds the time of the client's statement.
-- Never the text itself: literals do not belong to the statement that has to change.

create or replace function observe_ocr_update(
    p_old documents,
    p_new documents,
    p_errcode text
)
returns documents
language plpgsql
volatile
set search_path from current
as $function$
declare
    v_new documents := p_new;
    v_statement constant text := format('%s %s', statement_timestamp(), p_errcode);
begin
    if (select s.guard_mode from ocr_settings as s where s.id) <> 'observe' then
        return null;
    end if;

    if current_setting('ocr_guardrails.observed', true) is distinct from v_statement
    then
        perform set_config('ocr_guardrails.observed', v_statement, true);
        insert into ocr_incidents (
            reason, document_id, job_id, worker_id, offered_token, live_token,
            actual_filename, actual_hash, text_length, text_hash, statement, detail
        )
        select
            'unsafe_statement', p_old.id, q.id, q.worker_id,
            nullif(p_new.ocr_result_token, p_old.ocr_result_token),
            p_old.ocr_lease_token, p_old.filename, p_old.file_hash,
            length(p_new.ocr_text), hash_ocr_text(p_new.ocr_text),
            strip_literals(current_query()),
            format(
                '%s: from %s to %s%s',
                p_errcode,
                coalesce(p_old.ocr_status, 'null'),
                coalesce(p_new.ocr_status, 'null'),
                case
                    when p_new.ocr_text is distinct from p_old.ocr_text
                        then ', with another text'
                end
            )
        from (values (true)) as o (one)
        left join lateral (
            select o.id, o.worker_id
            from ocr_queue as o
            where o.document_id = p_old.id and o.status = 'processing'
            limit 1
        ) as q on true;
    end if;

    -- by its time trigger_cleanup_completed_ocr_queue knows that there is a result
    if v_new.ocr_status = 'completed'
        and p_old.ocr_status is distinct from 'completed'
        and v_new.ocr_completed_at is not distinct from p_old.ocr_completed_at
    then
        v_new.ocr_completed_at := clock_timestamp();
    end if;
    -- the columns of the package follow what the statement has made of the row
    v_new.ocr_claims := p_old.ocr_claims;
    if v_new.ocr_status is distinct from 'processing' then
        v_new.ocr_lease_token := null;
    elsif p_old.ocr_status is distinct from 'processing' then
        -- nobody may come and write under a lease that no claim has made
        v_new.ocr_lease_token := null;
    else
        v_new.ocr_lease_token := p_old.ocr_lease_token;
    end if;
    if v_new.ocr_text is distinct from p_old.ocr_text then
        v_new.ocr_text_hash := hash_ocr_text(v_new.ocr_text);
        if v_new.ocr_result_token is not distinct from p_old.ocr_result_token then
            v_new.ocr_result_token := null;
        end if;
        if v_new.ocr_source_hash is not distinct from p_old.ocr_source_hash then
            v_new.ocr_source_hash := null;
        end if;
        if v_new.ocr_engine is not distinct from p_old.ocr_engine then
            v_new.ocr_engine := null;
        end if;
    end if;
    return v_new;
end;
$function$;

comment on function observe_ocr_update is
'Internal. Null while guard_mode is enforce. While it is observe: records an UPDATE that
breaks the rule p_errcode as the incident unsafe_statement, once per statement, and
returns the row that is to be stored: what the UPDATE wants, with the package''s own
columns in keeping.';
