-- Takes its cases from list_ocr_findings() and mends those that need no judgement. Each
-- is locked with SKIP LOCKED and looked at again under the lock: what is locked or has
-- moved on since is left alone. No result is ever deleted or changed.

create or replace function repair_database_consistency(p_dry_run boolean default true)
returns table (
    kind text,
    action text,
    affected bigint
)
language plpgsql
volatile
security definer
set search_path from current
as $function$
declare
    v_case record;
    v_locked ocr_id_types.document_ids%type;
begin
    if p_dry_run is null then
        perform reject_argument('p_dry_run', 'true or false', null);
    end if;

    -- A loop because each kind has a remedy of its own; there are few.
    for v_case in
        select
            f.kind,
            count(*) as findings,
            array_agg(distinct f.document_id) as document_ids,
            array_agg(f.job_id) as job_ids
        from list_ocr_findings() as f
        group by f.kind
        order by f.kind
    loop
        kind := v_case.kind;
        action := case v_case.kind
            when 'orphaned_job' then 'delete the job'
            when 'job_of_completed_document' then 'delete the job'
            when 'duplicate_live_job' then 'delete the younger job'
            when 'processing_without_job' then 'enqueue the document again'
            when 'pending_without_job' then 'enqueue the document'
            when 'job_without_processing_document' then 'put the job back to pending'
            when 'job_of_failed_document' then 'put the document back to pending'
            when 'exhausted_pending_job' then 'fail job and document'
            when 'broken_constraint' then 'put right what has one right value'
            when 'changed_object' then 'none: migrate loads it again'
            when 'replaced_file_result'
                then 'none: requeue_document() reads the new file'
            when 'completed_without_result' then 'none: decide whether to requeue it'
            when 'missing_file' then 'none: bring the file back'
            when 'changed_file'
                then 'none: if the new file is right, set its file_hash and requeue it'
            when 'shared_text'
                then 'none: compare the documents, requeue_document() the wrong one'
            else 'none: needs a person'
        end;
        affected := v_case.findings;
        if p_dry_run or action like 'none:%' then
            affected := case when action like 'none:%' then 0 else affected end;
            return next;
            continue;
        end if;

        v_locked := array(
            select d.id
            from documents as d
            where d.id = any(v_case.document_ids)
            order by d.id
            for no key update skip locked
        );
        case v_case.kind
            when 'orphaned_job' then
                delete from ocr_queue as q
                where
                    q.id = any(v_case.job_ids)
                    -- a policy may hide the document, which is not to lose its job
                    and not row_security_active('documents')
                    and not exists (
                        select from documents as d where d.id = q.document_id
                    );
                get diagnostics affected = row_count;
            when 'job_of_completed_document' then
                delete from ocr_queue as q
                using documents as d
                where
                    d.id = q.document_id
                    and q.id = any(v_case.job_ids)
                    and d.id = any(v_locked)
                    and d.ocr_status = 'completed';
                get diagnostics affected = row_count;
            when 'duplicate_live_job' then
                delete from ocr_queue as q
                where
                    q.id = any(v_case.job_ids)
                    and q.document_id = any(v_locked)
                    and (
                        q.status = 'pending'
                        -- claimed without a lease, and that a long time ago
                        or (
                            q.lease_expires_at is null
                            and (q.started_at >= now() - interval '1 hour') is not true
                        )
                    );
                get diagnostics affected = row_count;
            when 'processing_without_job' then
                perform from end_ocr_leases(
                    array(
                        select d.id
                        from documents as d
                        where
                            d.id = any(v_locked)
                            and d.ocr_status = 'processing'
                            and not exists (
                                select from ocr_queue as q
                                where
                                    q.document_id = d.id and q.status = 'processing'
                            )
                    ),
                    'expired', 'repair: no job worked on it', 'retry', false
                );
                get diagnostics affected = row_count;
            when 'pending_without_job' then
                v_locked := array(
                    select d.id
                    from documents as d
                    where
                        d.id = any(v_locked)
                        and d.ocr_status = 'pending'
                        and not exists (
                            select from ocr_queue as q
                            where
                                q.document_id = d.id
                                and q.status in ('pending', 'processing')
                        )
                );
                affected := start_ocr_jobs(v_locked, 5, now(), null)::bigint;
            when 'job_without_processing_document' then
                update ocr_queue as q
                set
                    status = 'pending',
                    attempts = least(q.attempts, q.max_attempts - 1),
                    started_at = null,
                    heartbeat_at = null,
                    worker_id = null,
                    lease_expires_at = null,
                    progress_current = null,
                    progress_total = null
                from documents as d
                where
                    d.id = q.document_id
                    and q.id = any(v_case.job_ids)
                    and d.id = any(v_locked)
                    and q.status = 'processing'
                    and d.ocr_status in ('pending', 'failed');
                get diagnostics affected = row_count;
                update documents as d
                set ocr_status = 'pending', updated_at = clock_timestamp()
                where d.id = any(v_locked) and d.ocr_status = 'failed';
            when 'job_of_failed_document' then
                update documents as d
                set ocr_status = 'pending', updated_at = clock_timestamp()
                where
                    d.id = any(v_locked)
                    and d.ocr_status = 'failed'
                    and exists (
                        select from ocr_queue as q
                        where q.document_id = d.id and q.status = 'pending'
                    );
                get diagnostics affected = row_count;
            when 'exhausted_pending_job' then
                update ocr_queue as q
                set
                    status = 'failed',
                    completed_at = clock_timestamp(),
                    error_message = coalesce(q.error_message, 'attempts are used up')
                where
                    q.id = any(v_case.job_ids)
                    and q.document_id = any(v_locked)
                    and q.status = 'pending'
                    and q.attempts >= q.max_attempts;
                get diagnostics affected = row_count;
                update documents as d
                set
                    ocr_status = 'failed',
                    ocr_error = coalesce(d.ocr_error, 'attempts are used up'),
                    updated_at = clock_timestamp()
                where d.id = any(v_locked) and d.ocr_status = 'pending';
            when 'broken_constraint' then
                affected := repair_broken_rows(v_locked, v_case.job_ids);
        end case;
        return next;
    end loop;
end;
$function$;

comment on function repair_database_consistency is
'Per kind of finding: what can be done without a person, and how many rows it concerns;
with p_dry_run (the default) nothing is changed. Never deletes or changes a result;
where only a person can decide, the action begins with none and says what to do.
Documents that are locked at this moment are left for the next call. Raises 22023 on
null.';
