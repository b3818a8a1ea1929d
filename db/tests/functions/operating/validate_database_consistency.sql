begin;
\ir ../fixtures.psql

select plan(14);

select results_eq(
    $$
        select
            orphaned_queue_items, documents_without_files, inconsistent_ocr_states,
            data_integrity_score
        from validate_database_consistency()
    $$,
    $$values (0::bigint, 0::bigint, 0::bigint, 100::numeric)$$,
    'an empty database is consistent: a score of 100'
);

\ir inconsistencies.psql

select results_eq(
    $$
        select
            orphaned_queue_items, documents_without_files, inconsistent_ocr_states,
            data_integrity_score
        from validate_database_consistency()
    $$,
    $$values (0::bigint, 0::bigint, 0::bigint, 100::numeric)$$,
    'documents and jobs in every right state are no finding'
);
select is(
    (
        select count(*)
        from validate_database_consistency() as v
        cross join lateral jsonb_each_text(to_jsonb(v)) as c (kind, findings)
        where c.findings <> '0' and c.kind <> 'data_integrity_score'
    ),
    0::bigint,
    'of no kind'
);

select pg_temp.break_everything();
select pg_temp.break_uniqueness();
select is(
    (select to_jsonb(v) - 'data_integrity_score' from validate_database_consistency() as v),
    $${
        "orphaned_queue_items": 1, "documents_without_files": 1,
        "inconsistent_ocr_states": 11,
        "invalid_status": 1, "completed_without_result": 1,
        "result_without_completion": 1,
        "processing_without_job": 1, "pending_without_job": 1,
        "lease_without_processing": 1, "replaced_file_result": 1,
        "job_of_completed_document": 1, "job_of_failed_document": 1,
        "job_without_processing_document": 1, "duplicate_live_job": 1,
        "exhausted_pending_job": 1, "changed_file": 1, "shared_text": 2,
        "broken_constraint": 0, "changed_object": 0
    }$$::jsonb,
    'every kind of finding is counted, each once'
);
select is(
    (select v.data_integrity_score from validate_database_consistency() as v),
    (
        select trunc(
            100 - 100.0 * 17 / (
                (select count(*) from documents) + (select count(*) from ocr_queue)
            ),
            2
        )
    ),
    'the score is the share of documents and jobs with no finding'
);
select is(
    (select count(*) from validate_database_consistency()),
    1::bigint,
    'the answer is one row'
);
select is(
    (select inconsistent_ocr_states from validate_database_consistency()),
    (
        select count(*)
        from find_inconsistencies() as f
        where f.kind not in (
            'orphaned_job', 'missing_file', 'changed_file', 'shared_text',
            'replaced_file_result'
        )
    ),
    'inconsistent_ocr_states are the findings about states, all together'
);

-- A document with two findings counts once.
select v.data_integrity_score as score from validate_database_consistency() as v \gset
select record_ocr_file_checks(
    array_agg(d.id), array_agg(false), array_agg(null::text)
) as checked
from documents as d
where d.filename in ('invalid_status', 'changed_file') \gset
select is(
    (select v.data_integrity_score from validate_database_consistency() as v),
    :score::numeric,
    'a document with two findings counts once in the score'
);

-- One wrong row among many.
delete from documents;
delete from ocr_queue;
create unique index idx_ocr_queue_unique_pending_document
on ocr_queue (document_id) where status in ('pending', 'processing');
insert into documents (filename)
select 'page ' || n from generate_series(1, 20000) as n;
update documents set updated_at = now() - interval '2 hours' where filename = 'page 7';
select is(
    (select v.data_integrity_score from validate_database_consistency() as v),
    99.99,
    'one finding among 20000 documents is no score of 100'
);
update documents set updated_at = now() - interval '59 minutes';
analyze documents;
create temporary table before as
select s.seq_tup_read + s.idx_tup_fetch as rows_read
from pg_stat_xact_user_tables as s
where s.relid = 'documents'::regclass;
select is(
    (select v.data_integrity_score from validate_database_consistency() as v),
    100::numeric,
    'a document that waits for its job for less than an hour is no finding'
);
select cmp_ok(
    (
        select s.seq_tup_read + s.idx_tup_fetch - b.rows_read
        from pg_stat_xact_user_tables as s
        cross join before as b
        where s.relid = 'documents'::regclass
    ),
    '<=',
    (select count(*) + 1 from documents),
    'without a finding the documents are read once, and not counted'
);
update documents set updated_at = now() - interval '2 hours';
select is(
    (select v.data_integrity_score from validate_database_consistency() as v),
    0::numeric,
    'all of them: 0'
);
select enqueue_pending_documents(20000) as enqueued \gset
select is(
    (select v.pending_without_job from validate_database_consistency() as v),
    0::bigint,
    'with a job none is'
);
delete from ocr_queue;
delete from documents;
select throws_ok(
    $$update ocr_settings set id = false$$,
    '23514',
    null,
    'settings stay one row meanwhile'
);

select * from finish();
rollback;
