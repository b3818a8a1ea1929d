-- What is wrong, in one place: the validator counts these rows, find_inconsistencies()
-- shows them, the repair takes its cases from them. One pass over documents for the
-- states (the first that applies is a document's finding), one over the queue, and the
-- two special questions, files and shared texts, through their own indexes.

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
begin atomic
    select
        s.kind,
        s.id,
        null,
        case s.kind
            when 'invalid_status'
                then format('ocr_status is %s', coalesce(s.ocr_status, 'null'))
            when 'completed_without_result'
                then 'completed, but text, confidence or word count is missing'
            when 'result_without_completion'
                then format('%s, but it carries a text', s.ocr_status)
            when 'processing_without_job'
                then 'processing, but no job works on it'
            when 'lease_without_processing'
                then format('%s, but the lease does not fit that', s.ocr_status)
            when 'pending_without_job'
                then 'pending for more than an hour, but no job is enqueued'
            when 'replaced_file_result'
                then 'the result was read from a file that has been replaced since'
        end
    from (
        select
            d.id,
            d.ocr_status,
            case
                when
                    d.ocr_status is null
                    or d.ocr_status not in (
                        'pending', 'processing', 'completed', 'failed'
                    )
                    then 'invalid_status'
                when
                    d.ocr_status = 'completed'
                    and (
                        d.ocr_text is null
                        or d.ocr_confidence is null
                        or d.ocr_word_count is null
                    )
                    then 'completed_without_result'
                when d.ocr_status <> 'completed' and d.ocr_text is not null
                    then 'result_without_completion'
                when
                    d.ocr_status = 'processing'
                    and not exists (
                        select from ocr_queue as q
                        where q.document_id = d.id and q.status = 'processing'
                    )
                    then 'processing_without_job'
                when (d.ocr_status = 'processing') <> (d.ocr_lease_token is not null)
                    then 'lease_without_processing'
                when
                    d.ocr_status = 'pending'
                    and d.updated_at < now() - interval '1 hour'
                    and not exists (
                        select from ocr_queue as q
                        where
                            q.document_id = d.id
                            and q.status in ('pending', 'processing')
                    )
                    then 'pending_without_job'
                when
                    d.ocr_status = 'completed'
                    and d.ocr_source_hash <> d.file_hash
                    then 'replaced_file_result'
            end as kind
        from documents as d
    ) as s
    where s.kind is not null
    union all
    select
        s.kind,
        s.document_id,
        s.id,
        case s.kind
            when 'orphaned_job' then 'its document does not exist'
            when 'job_of_completed_document' then 'its document is completed'
            when 'job_of_failed_document' then 'its document is failed'
            when 'job_without_processing_document'
                then format('processing, but its document is %s', s.ocr_status)
            when 'duplicate_live_job' then 'its document has an older live job'
            when 'exhausted_pending_job' then 'pending, but its attempts are used up'
        end
    from (
        select
            q.id,
            q.document_id,
            d.ocr_status,
            case
                when d.id is null then 'orphaned_job'
                when q.status = 'failed' then null
                when d.ocr_status = 'completed' then 'job_of_completed_document'
                when
                    exists (
                        select from ocr_queue as o
                        where
                            o.document_id = q.document_id
                            and o.id <> q.id
                            and o.status in ('pending', 'processing')
                            and (o.created_at, o.id) < (q.created_at, q.id)
                    )
                    then 'duplicate_live_job'
                when q.status = 'processing' and d.ocr_status <> 'processing'
                    then 'job_without_processing_document'
                when d.ocr_status = 'failed' then 'job_of_failed_document'
                when q.status = 'pending' and q.attempts >= q.max_attempts
                    then 'exhausted_pending_job'
            end as kind
        from ocr_queue as q
        left join documents as d on d.id = q.document_id
    ) as s
    where s.kind is not null
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
    from ocr_file_checks as c
    inner join documents as d on d.id = c.document_id
    where c.present and c.actual_hash <> d.file_hash
    union all
    select
        'shared_text',
        d.id,
        null,
        format('%s documents with different files carry this text', t.documents)
    from (
        select
            e.ocr_text_hash,
            count(*) as documents
        from documents as e
        where e.ocr_text_hash is not null
        group by e.ocr_text_hash
        having
            count(*) > 1
            and (count(distinct e.file_hash) > 1 or count(e.file_hash) < count(*))
    ) as t
    inner join documents as d on d.ocr_text_hash = t.ocr_text_hash
    cross join ocr_settings as s
    where s.id and d.ocr_word_count >= s.foreign_text_min_words;
end;

comment on function list_ocr_findings is
'Internal. Every finding about documents, jobs and files: kind, document, job, in
words.';
