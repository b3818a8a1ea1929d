begin;
\ir ../fixtures.psql
\ir inconsistencies.psql

select plan(36);

select is_empty(
    $$select * from repair_database_consistency(false)$$,
    'nothing to repair, nothing done'
);
select pg_temp.break_everything();
update ocr_queue set progress_current = 1, progress_total = 2
where status = 'processing';
update documents set updated_at = '2020-01-01'
where filename in (
    'job_without_processing_document', 'job_of_failed_document',
    'exhausted_pending_job'
);

-- dry run
select pg_temp.snapshot() as before \gset
create temporary table dry as select r.* from repair_database_consistency() as r;
select is(pg_temp.snapshot(), :'before', 'by default it is a dry run: nothing changes');
select is(
    (select string_agg(r.kind || ' ' || r.affected, ', ' order by r.kind) from dry as r),
    'changed_file 0, completed_without_result 0, '
    'exhausted_pending_job 1, invalid_status 0, job_of_completed_document 1, '
    'job_of_failed_document 1, job_without_processing_document 1, '
    'lease_without_processing 0, missing_file 0, '
    'orphaned_job 1, pending_without_job 1, '
    'processing_without_job 1, replaced_file_result 0, result_without_completion 0, '
    'shared_text 0',
    'one row for each kind, with how many it would mend'
);
select is_empty(
    $$select r.kind from dry as r where (r.action like 'none:%') <> (r.affected = 0)$$,
    'where a person has to decide, the action begins with none and says what to do'
);

select results_eq(
    $$
        select r.kind, r.action
        from dry as r
        where r.action like 'none:%'
        order by r.kind
    $$,
    $$
        values
        ('changed_file', 'none: if the new file is right, set its file_hash and requeue it'),
        ('completed_without_result', 'none: decide whether to requeue it'),
        ('invalid_status', 'none: needs a person'),
        ('lease_without_processing', 'none: needs a person'),
        ('missing_file', 'none: bring the file back'),
        ('replaced_file_result', 'none: requeue_document() reads the new file'),
        ('result_without_completion', 'none: needs a person'),
        (
            'shared_text',
            'none: compare the documents, requeue_document() the wrong one'
        )
    $$,
    'and it says what'
);

-- what is healthy, and results before
create function pg_temp.healthy()
returns text
language sql
as $function$
    select jsonb_agg(
        jsonb_build_array(to_jsonb(d), to_jsonb(q)) order by d.id, q.id
    )::text
    from documents as d
    left join ocr_queue as q on q.document_id = d.id
    where d.filename like 'healthy%' and d.filename <> 'healthy new';
$function$;
select pg_temp.healthy() as healthy \gset
create temporary table results as
select d.id, d.filename, d.ocr_status, d.ocr_text, d.ocr_confidence, d.ocr_word_count
from documents as d
where d.ocr_text is not null;

-- repair
create temporary table done as select r.* from repair_database_consistency(false) as r;
select results_eq(
    'select r.kind, r.action, r.affected from done as r order by r.kind',
    'select r.kind, r.action, r.affected from dry as r order by r.kind',
    'the repair does what the dry run announced'
);
select is(pg_temp.healthy(), :'healthy', 'what is healthy stays as it was');
select is_empty(
    $$
        select d.filename
        from documents as d
        where
            d.filename in (
                'job_without_processing_document', 'job_of_failed_document',
                'exhausted_pending_job'
            )
            and d.updated_at < now()
    $$,
    'a document that is mended says when it changed'
);
select results_eq(
    $$
        select
            d.filename, q.started_at is null, q.heartbeat_at is null,
            q.worker_id is null, q.progress_current is null,
            q.progress_total is null, q.completed_at is null
        from ocr_queue as q
        inner join documents as d on d.id = q.document_id
        where
            d.filename in ('job_without_processing_document', 'exhausted_pending_job')
        order by 1
    $$,
    $$
        values
        ('exhausted_pending_job', true, true, true, true, true, false),
        ('job_without_processing_document', true, true, true, true, true, true)
    $$,
    'a job that waits again has nothing of its lease, a dead one its end'
);
select is(
    (select pg_temp.state(d.id) from documents as d where d.filename = c.filename),
    c.state,
    format('%s: %s', c.filename, c.state)
)
from (
    values
    ('processing_without_job', 'pending / pending 0 of 3'),
    ('pending_without_job', 'pending / pending 0 of 3'),
    ('job_of_completed_document', 'completed / no job'),
    ('job_of_failed_document', 'pending / pending 0 of 3'),
    ('job_without_processing_document', 'pending / pending 2 of 3'),
    ('exhausted_pending_job', 'failed / failed 3 of 3'),
    ('invalid_status', 'done / no job'),
    ('completed_without_result', 'completed / no job'),
    ('result_without_completion', 'failed / failed 1 of 3'),
    ('lease_without_processing', 'pending / pending 0 of 3'),
    ('replaced_file_result', 'completed / no job'),
    ('missing_file', 'pending / no job'),
    ('changed_file', 'pending / no job'),
    ('healthy pending', 'pending / pending 0 of 3'),
    ('healthy processing', 'processing / processing 1 of 3'),
    ('healthy failed', 'failed / failed 1 of 3')
) as c (filename, state);
select is_empty(
    $$
        select r.*
        from results as r
        left join documents as d on d.id = r.id
        where
            (d.ocr_status, d.ocr_text, d.ocr_confidence, d.ocr_word_count)
            is distinct from
            (r.ocr_status, r.ocr_text, r.ocr_confidence, r.ocr_word_count)
    $$,
    'no result is deleted or changed (G4)'
);
select is_empty(
    $$
        select q.id
        from ocr_queue as q
        where not exists (select from documents as d where d.id = q.document_id)
    $$,
    'the job without a document is gone'
);
select is(
    (
        select h.outcome || ': ' || h.error
        from ocr_job_history as h
        inner join documents as d on d.id = h.document_id
        where d.filename = 'processing_without_job'
    ),
    'expired: repair: no job worked on it',
    'an attempt that it ends is in the history (G10)'
);
select is(
    (
        select d.ocr_error || ' / ' || q.error_message
        from documents as d
        inner join ocr_queue as q on q.document_id = d.id
        where d.filename = 'exhausted_pending_job'
    ),
    'attempts are used up / attempts are used up',
    'what it fails says why (G9)'
);
select is(
    (
        select string_agg(f.kind, ', ' order by f.kind)
        from find_inconsistencies() as f
    ),
    'changed_file, completed_without_result, invalid_status, lease_without_processing, '
    'missing_file, replaced_file_result, '
    'result_without_completion, shared_text, shared_text',
    'what is left needs a person'
);
select is(
    (
        select sum(r.affected)
        from repair_database_consistency(false) as r
    ),
    0::numeric,
    'a second repair has nothing to do'
);
select throws_ok(
    $$select * from repair_database_consistency(null)$$,
    '22023',
    'p_dry_run must be true or false, not null',
    'null is refused (22023)'
);
-- what was repaired is worked on
select is(
    (
        select count(*)
        from claim_ocr_jobs('w-new', 100) as c
        where c.filename in (
            'processing_without_job', 'pending_without_job', 'job_of_failed_document',
            'job_without_processing_document'
        )
    ),
    4::bigint,
    'what was repaired is claimed like any other (G9)'
);

-- Two live jobs of one document.
select pg_temp.break_uniqueness();
select results_eq(
    $$
        select r.action, r.affected
        from repair_database_consistency(false) as r
        where r.kind = 'duplicate_live_job'
    $$,
    $$values ('delete the younger job', 1::bigint)$$,
    'of two live jobs one is deleted (G5)'
);
select is(
    (
        select q.priority
        from ocr_queue as q
        inner join documents as d on d.id = q.document_id
        where d.filename = 'duplicate_live_job'
    ),
    1,
    'of two live jobs the older one stays'
);

-- and the younger one is not deleted while it runs
select d.id as running from documents as d where d.filename = 'duplicate_live_job' \gset
insert into ocr_queue (
    document_id, created_at, status, attempts, started_at, worker_id, lease_expires_at
)
values (
    :'running', now() + interval '1 minute', 'processing', 1, now(), 'w-one', now()
);
select r.kind from repair_database_consistency(false) as r \g /dev/null
select is(
    (
        select count(*)
        from ocr_queue as q
        where q.document_id = :'running' and q.status = 'processing'
    ),
    1::bigint,
    'a job that runs is not deleted'
);

select * from finish();
rollback;
