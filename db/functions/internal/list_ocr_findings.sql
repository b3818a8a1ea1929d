-- What is wrong, in one place: the validator counts these rows, find_inconsistencies()
-- shows them, the repair takes its cases from them.
-- documents is read once, in a sequential scan that the server may run in parallel
-- (which is why it stands in a statement of its own, without subqueries, and names the
-- kinds that it is after: the planner must expect that few rows come out). Most
-- documents are completed and done with after a few comparisons. Everything else is led
-- by what is few and looks the documents up, never by a join that could read all of
-- them again: jobs, and hashes that more than one text has, which the index on the
-- hashes knows.
-- No JIT: compiling takes longer than the statement on all but the largest tables.

create or replace function list_ocr_findings()
returns table (
    kind text,
    document_id documents.id%type,
    job_id ocr_queue.id%type,
    detail text
)
language sql
stable
set search_path from current
set jit = off
begin atomic
    with
    -- the first kind that applies is a document's finding; whether a job is missing is
    -- seen below
    suspect as materialized (
        select
            s.id,
            s.ocr_status,
            s.has_lease,
            s.kind
        from (
            select
                d.id,
                d.ocr_status,
                d.ocr_lease_token is not null as has_lease,
                case d.ocr_status
                    when 'completed'
                        then case
                            when
                                d.ocr_text is null
                                or d.ocr_confidence is null
                                or d.ocr_word_count is null
                                then 'completed_without_result'
                            when d.ocr_lease_token is not null
                                then 'lease_without_processing'
                            when d.ocr_source_hash <> d.file_hash
                                then 'replaced_file_result'
                        end
                    when 'pending'
                        then case
                            when d.ocr_text is not null
                                then 'result_without_completion'
                            when d.ocr_lease_token is not null
                                then 'lease_without_processing'
                            when d.updated_at < now() - interval '1 hour'
                                then 'pending_without_job'
                        end
                    when 'processing'
                        then case
                            when d.ocr_text is not null
                                then 'result_without_completion'
                            else 'processing_without_job'
                        end
                    when 'failed'
                        then case
                            when d.ocr_text is not null
                                then 'result_without_completion'
                            when d.ocr_lease_token is not null
                                then 'lease_without_processing'
                        end
                    else 'invalid_status'
                end as kind
            from documents as d
        ) as s
        where
            s.kind in (
                'completed_without_result', 'lease_without_processing',
                'replaced_file_result', 'result_without_completion',
                'pending_without_job', 'processing_without_job', 'invalid_status'
            )
    ),
    live_job as (
        select
            q.document_id,
            count(*) as jobs,
            bool_or(q.status = 'processing') as is_processing
        from ocr_queue as q
        where q.status in ('pending', 'processing')
        group by q.document_id
    ),
    wrong_document as (
        select
            s.id,
            s.ocr_status,
            case
                when s.kind = 'pending_without_job' and j.document_id is not null
                    then null
                when s.kind = 'processing_without_job' and j.is_processing
                    then case when not s.has_lease then 'lease_without_processing' end
                else s.kind
            end as kind
        from suspect as s
        left join live_job as j on j.document_id = s.id
    ),
    job as materialized (
        select
            q.id,
            q.document_id,
            q.status,
            q.created_at,
            q.attempts >= q.max_attempts as is_exhausted,
            -- null: there is no such document
            (
                select coalesce(d.ocr_status, '')
                from documents as d
                where d.id = q.document_id
            ) as document_status
        from ocr_queue as q
    ),
    wrong_job as materialized (
        select
            s.id,
            s.document_id,
            s.document_status,
            s.kind
        from (
            select
                j.id,
                j.document_id,
                j.document_status,
                case
                    when j.document_status is null then 'orphaned_job'
                    when j.status = 'failed' then null
                    when j.document_status = 'completed'
                        then 'job_of_completed_document'
                    -- a status that only an adopted table can hold
                    when (j.status in ('pending', 'processing')) is not true then null
                    when
                        j.document_id in (
                            select l.document_id
                            from live_job as l
                            where l.jobs > 1
                        )
                        and exists (
                            select from ocr_queue as o
                            where
                                o.document_id = j.document_id
                                and o.status in ('pending', 'processing')
                                and (o.created_at, o.id) < (j.created_at, j.id)
                        )
                        then 'duplicate_live_job'
                    when
                        j.status = 'processing'
                        and j.document_status not in ('processing', '')
                        then 'job_without_processing_document'
                    when j.document_status = 'failed' then 'job_of_failed_document'
                    when j.status = 'pending' and j.is_exhausted
                        then 'exhausted_pending_job'
                end as kind
            from job as j
        ) as s
        where s.kind is not null
    ),
    repeated_hash as materialized (
        select d.ocr_text_hash
        from documents as d
        where d.ocr_text_hash is not null
        group by d.ocr_text_hash
        having count(*) > 1
    ),
    repeated_text as (
        select
            d.id,
            d.ocr_word_count,
            count(*) over w as documents,
            count(d.file_hash) over w as known_files,
            min(d.file_hash) over w as one_file,
            max(d.file_hash) over w as another_file
        from documents as d
        where
            d.ocr_text_hash = any(
                array(select h.ocr_text_hash from repeated_hash as h)
            )
        window w as (partition by d.ocr_text_hash)
    ),
    changed_file as materialized (
        select
            c.document_id,
            c.checked_at
        from ocr_file_checks as c
        inner join documents as d on d.id = c.document_id
        where c.present and c.actual_hash <> d.file_hash
    )
    select
        w.kind,
        w.id,
        null,
        case w.kind
            when 'invalid_status'
                then format('ocr_status is %s', coalesce(w.ocr_status, 'null'))
            when 'completed_without_result'
                then 'completed, but text, confidence or word count is missing'
            when 'result_without_completion'
                then format('%s, but it carries a text', w.ocr_status)
            when 'processing_without_job'
                then 'processing, but no job works on it'
            when 'lease_without_processing'
                then format('%s, but the lease does not fit that', w.ocr_status)
            when 'pending_without_job'
                then 'pending for more than an hour, but no job is enqueued'
            when 'replaced_file_result'
                then 'the result was read from a file that has been replaced since'
        end
    from wrong_document as w
    where w.kind is not null
    union all
    select
        w.kind,
        w.document_id,
        w.id,
        case w.kind
            when 'orphaned_job' then 'its document does not exist'
            when 'job_of_completed_document' then 'its document is completed'
            when 'job_of_failed_document' then 'its document is failed'
            when 'job_without_processing_document'
                then format('processing, but its document is %s', w.document_status)
            when 'duplicate_live_job' then 'its document has an older live job'
            when 'exhausted_pending_job' then 'pending, but its attempts are used up'
        end
    from wrong_job as w
    union all
    select
        'missing_file',
        c.document_id,
        null,
        format('the file was not there at %s', c.checked_at)
    from ocr_file_checks as c
    where not c.present
    union all
    select
        'changed_file',
        c.document_id,
        null,
        format('the file had another SHA-256 at %s', c.checked_at)
    from changed_file as c
    union all
    select
        'shared_text',
        t.id,
        null,
        format('%s documents with different files carry this text', t.documents)
    from repeated_text as t
    cross join ocr_settings as s
    where
        s.id
        and t.ocr_word_count >= s.foreign_text_min_words
        and (t.known_files < t.documents or t.one_file <> t.another_file)
    union all
    select
        'broken_constraint',
        b.document_id,
        b.job_id,
        format('it breaks %s', b.constraint_name)
    from list_broken_guards() as b
    where
        -- unset is listed as both: whether there is a remedy is for the repair to see
        (
            b.job_id is not null
            or b.document_id not in (
                select w.id
                from wrong_document as w
                where w.kind is not null and w.ocr_status is not null
            )
        )
        and (b.job_id not in (select w.id from wrong_job as w)) is not false
    union all
    select
        'changed_object',
        null,
        null,
        format(
            'the %s %s is %s', s.kind, s.identity,
            case when o.identity is null then 'missing' else 'another one' end
        )
    from ocr_schema_objects as s
    left join list_loaded_objects() as o
        on o.kind = s.kind and o.identity = s.identity
    where o.definition is distinct from s.definition;
end;

comment on function list_ocr_findings is
'Internal. Every finding about documents, jobs, files and the package''s own objects:
kind, document, job, in words.';
