begin;
\ir ../fixtures.psql
\ir inconsistencies.psql

select plan(14);

select is_empty(
    $$select * from find_inconsistencies()$$, 'what is in a right state is not listed'
);
select pg_temp.break_everything();
select pg_temp.break_uniqueness();
select is(
    (
        select string_agg(f.kind, ', ' order by f.kind)
        from find_inconsistencies() as f
    ),
    'changed_file, completed_without_result, duplicate_live_job, '
    'exhausted_pending_job, '
    'invalid_status, job_of_completed_document, job_of_failed_document, '
    'job_without_processing_document, lease_without_processing, missing_file, '
    'orphaned_job, '
    'pending_without_job, processing_without_job, replaced_file_result, '
    'result_without_completion, shared_text, shared_text',
    'every kind of finding is listed'
);
select is_empty(
    $$
        select f.kind, d.filename
        from find_inconsistencies() as f
        left join documents as d on d.id = f.document_id
        where d.filename is distinct from f.kind and f.kind <> 'orphaned_job'
    $$,
    'each names the document that it is about'
);
select is_empty(
    $$
        select f.kind, f.job_id
        from find_inconsistencies() as f
        left join ocr_queue as q on q.id = f.job_id
        where
            (f.kind like '%job%' and f.kind not like '%without_job')
            <> (q.id is not null and q.document_id = f.document_id)
    $$,
    'and the job, where it is about one'
);
select results_eq(
    $$
        select q.priority
        from find_inconsistencies() as f
        inner join ocr_queue as q on q.id = f.job_id
        where f.kind = 'duplicate_live_job'
    $$,
    'values (2)',
    'of two live jobs the younger one is the finding'
);
select is_empty(
    $$select f.kind from find_inconsistencies() as f where f.detail is null$$,
    'each says what it is in words'
);
select is(
    (select count(*) from find_inconsistencies(3)), 3::bigint, 'at most p_limit are listed'
);
select throws_ok(
    format('select * from find_inconsistencies(%s)', c.arguments), '22023', c.message,
    format('find_inconsistencies(%s) is refused (22023)', c.arguments)
)
from (
    values
    ('null', 'p_limit must be between 1 and 1000000, not null'),
    ('0', 'p_limit must be between 1 and 1000000, not 0'),
    ('-60', 'p_limit must be between 1 and 1000000, not -60'),
    ('1000001', 'p_limit must be between 1 and 1000000, not 1000001'),
    ('2147483647', 'p_limit must be between 1 and 1000000, not 2147483647')
) as c (arguments, message);

-- Less obvious cases of the same kinds.
delete from documents;
delete from ocr_queue;
create unique index idx_ocr_queue_unique_pending_document
on ocr_queue (document_id) where status in ('pending', 'processing');
select pg_temp.claim(pg_temp.add_document('job is pending')) as token \gset
update ocr_queue
set status = 'pending', lease_expires_at = null, started_at = null, worker_id = null;
select results_eq(
    'select f.kind from find_inconsistencies() as f',
    $$values ('processing_without_job')$$,
    'a processing document whose job is pending has no job that works on it'
);
delete from documents;
delete from ocr_queue;
select pg_temp.complete(d.id, 'a b c d e f g h i j k l')
from (
    select pg_temp.add_document('unknown file') as id from generate_series(1, 2)
) as d \g /dev/null
select results_eq(
    'select f.kind from find_inconsistencies() as f',
    $$values ('shared_text'), ('shared_text')$$,
    'files that nobody has hashed are different files'
);

select * from finish();
rollback;
