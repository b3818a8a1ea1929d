-- How many documents and jobs there are matters only where something was found: the
-- scalar subqueries are not evaluated before.

create or replace function validate_database_consistency()
returns table (
    orphaned_queue_items bigint,
    documents_without_files bigint,
    inconsistent_ocr_states bigint,
    data_integrity_score numeric,
    invalid_status bigint,
    completed_without_result bigint,
    result_without_completion bigint,
    processing_without_job bigint,
    pending_without_job bigint,
    lease_without_processing bigint,
    replaced_file_result bigint,
    job_of_completed_document bigint,
    job_of_failed_document bigint,
    job_without_processing_document bigint,
    duplicate_live_job bigint,
    exhausted_pending_job bigint,
    changed_file bigint,
    shared_text bigint,
    broken_constraint bigint,
    changed_object bigint
)
language sql
stable
security definer
set search_path from current
begin atomic
    with
    findings as materialized (
        select
            f.kind,
            f.document_id,
            f.job_id
        from list_ocr_findings() as f
    ),
    counted as (
        select
            count(*) filter (where f.kind = 'orphaned_job') as orphaned_job,
            count(*) filter (where f.kind = 'missing_file') as missing_file,
            count(*) filter (where f.kind = 'invalid_status') as invalid_status,
            count(*) filter (where f.kind = 'completed_without_result')
                as completed_without_result,
            count(*) filter (where f.kind = 'result_without_completion')
                as result_without_completion,
            count(*) filter (where f.kind = 'processing_without_job')
                as processing_without_job,
            count(*) filter (where f.kind = 'pending_without_job')
                as pending_without_job,
            count(*) filter (where f.kind = 'lease_without_processing')
                as lease_without_processing,
            count(*) filter (where f.kind = 'replaced_file_result')
                as replaced_file_result,
            count(*) filter (where f.kind = 'job_of_completed_document')
                as job_of_completed_document,
            count(*) filter (where f.kind = 'job_of_failed_document')
                as job_of_failed_document,
            count(*) filter (where f.kind = 'job_without_processing_document')
                as job_without_processing_document,
            count(*) filter (where f.kind = 'duplicate_live_job')
                as duplicate_live_job,
            count(*) filter (where f.kind = 'exhausted_pending_job')
                as exhausted_pending_job,
            count(*) filter (where f.kind = 'changed_file') as changed_file,
            count(*) filter (where f.kind = 'shared_text') as shared_text,
            count(*) filter (where f.kind = 'broken_constraint') as broken_constraint,
            count(*) filter (where f.kind = 'changed_object') as changed_object,
            count(distinct f.document_id) filter (where f.job_id is null)
            + count(distinct f.job_id)
            + count(*) filter (where f.kind = 'changed_object') as with_finding
        from findings as f
    )
    select
        c.orphaned_job,
        c.missing_file,
        c.invalid_status + c.completed_without_result + c.result_without_completion
        + c.processing_without_job + c.pending_without_job + c.lease_without_processing
        + c.job_of_completed_document + c.job_of_failed_document
        + c.job_without_processing_document + c.duplicate_live_job
        + c.exhausted_pending_job + c.broken_constraint,
        -- cut, not rounded: 100 means that there is no finding
        case
            when c.with_finding = 0
                then 100.00
            else
                trunc(
                    100 - 100 * least(1, c.with_finding / greatest(
                        (select count(*) from documents)
                        + (select count(*) from ocr_queue),
                        1
                    )::numeric),
                    2
                )
        end,
        c.invalid_status,
        c.completed_without_result,
        c.result_without_completion,
        c.processing_without_job,
        c.pending_without_job,
        c.lease_without_processing,
        c.replaced_file_result,
        c.job_of_completed_document,
        c.job_of_failed_document,
        c.job_without_processing_document,
        c.duplicate_live_job,
        c.exhausted_pending_job,
        c.changed_file,
        c.shared_text,
        c.broken_constraint,
        c.changed_object
    from counted as c;
end;

comment on function validate_database_consistency is
'Looks at every document and job and counts findings: orphaned_queue_items (jobs without
document), documents_without_files (by the last record_ocr_file_checks()),
inconsistent_ocr_states (all findings about states of documents and jobs together), one
column per kind (broken_constraint: rows of adopted tables; changed_object: functions,
triggers and views of the package that are not as they were loaded), and
data_integrity_score, the share of documents and jobs without a finding, 0 to 100; 100
only when there is none. find_inconsistencies() lists them,
repair_database_consistency() mends what can be mended without a person.';
