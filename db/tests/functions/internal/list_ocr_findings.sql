-- The kinds are tested through operating/find_inconsistencies.sql, which shows these
-- rows, and operating/validate_database_consistency.sql, which counts them.

begin;
\ir ../fixtures.psql
\ir ../operating/inconsistencies.psql
select plan(8);

select is_empty('select * from list_ocr_findings()', 'right states are no finding');
-- What is nearly a finding: old but enqueued or failed, the last attempt under way, a
-- dead job beside the live one, a long text that one document alone carries.
select pg_temp.complete(
    pg_temp.add_document('healthy lone'),
    'one two three four five six seven eight nine ten'
) as token \gset
update documents set updated_at = now() - interval '2 hours'
where filename <> 'healthy new';
update ocr_queue set attempts = max_attempts where status = 'processing';
insert into ocr_queue (document_id, status, attempts, created_at)
select d.id, 'failed', 3, now() - interval '1 day'
from documents as d
where d.filename = 'healthy pending';
insert into documents (filename, file_hash, ocr_source_hash)
values ('healthy import', repeat('8', 64), repeat('9', 64));
select is_empty('select * from list_ocr_findings()', 'nor are states nearly wrong');

select pg_temp.break_everything();
select pg_temp.break_uniqueness();
select results_eq(
    $$
        select f.kind, f.document_id, f.job_id, f.detail
        from list_ocr_findings() as f
        order by 1, 2, 3
    $$,
    'select * from find_inconsistencies()',
    'what find_inconsistencies() shows'
);

-- Each part of a finding that has several.
delete from documents;
delete from ocr_queue;
alter table documents alter column ocr_status drop not null;
insert into documents (
    filename, ocr_status, ocr_text, ocr_confidence, ocr_word_count, ocr_completed_at
)
values
('no confidence', 'completed', 'a text', null, 2, now()),
('no count', 'completed', 'a text', 90, null, now()),
('no status', null, null, null, null, null),
('no text', 'completed', null, 90, 2, now());
insert into documents (filename, ocr_status, ocr_text, ocr_lease_token)
values
('failed with lease', 'failed', null, gen_random_uuid()),
('pending with text', 'pending', 'a text', null),
('processing without lease', 'processing', null, null),
('processing with text', 'processing', 'a text', gen_random_uuid()),
('failed with text', 'failed', 'a text', null);
insert into documents (
    filename, ocr_status, ocr_text, ocr_confidence, ocr_word_count, ocr_completed_at,
    ocr_lease_token
)
values ('completed with lease', 'completed', 'a text', 90, 2, now(), gen_random_uuid());
insert into ocr_queue (
    document_id, status, attempts, started_at, worker_id, lease_expires_at
)
select d.id, 'processing', 1, now(), 'worker', now() + interval '1 hour'
from documents as d
where d.ocr_status = 'processing';
insert into documents (filename, updated_at)
values ('only a dead job', now() - interval '2 hours');
insert into ocr_queue (document_id, status, attempts)
select d.id, 'failed', 3
from documents as d
where d.filename = 'only a dead job';
-- the second of two live jobs, whatever else is older: a dead one, another document's
insert into documents (filename)
values ('two live jobs'), ('one live job');
insert into ocr_queue (document_id, status, attempts, created_at, priority)
select d.id, j.status, j.attempts, now() - j.age, j.priority
from documents as d
inner join (
    values
    ('two live jobs', 'failed', 3, interval '3 days', 1),
    ('two live jobs', 'pending', 0, interval '1 hour', 2),
    ('two live jobs', 'pending', 0, interval '1 minute', 3),
    ('one live job', 'pending', 0, interval '2 days', 4)
) as j (filename, status, attempts, age, priority) on j.filename = d.filename;
select results_eq(
    $$
        select d.filename, f.kind, q.priority
        from list_ocr_findings() as f
        inner join documents as d on d.id = f.document_id
        left join ocr_queue as q on q.id = f.job_id
        order by 1
    $$,
    $$
        values
        ('completed with lease', 'lease_without_processing', null),
        ('failed with lease', 'lease_without_processing', null),
        ('failed with text', 'result_without_completion', null),
        ('no confidence', 'completed_without_result', null),
        ('no count', 'completed_without_result', null),
        ('no status', 'invalid_status', null),
        ('no text', 'completed_without_result', null),
        ('only a dead job', 'pending_without_job', null),
        ('pending with text', 'result_without_completion', null),
        ('processing with text', 'result_without_completion', null),
        ('processing without lease', 'lease_without_processing', null),
        ('two live jobs', 'duplicate_live_job', 3)
    $$,
    'one part of it is enough'
);

-- A large table is read once, and what is looked up in it is led by what is few.
delete from documents;
delete from ocr_queue;
create unique index idx_ocr_queue_unique_pending_document
on ocr_queue (document_id) where status in ('pending', 'processing');
insert into documents (
    filename, file_hash, ocr_status, ocr_text, ocr_confidence, ocr_word_count,
    ocr_completed_at
)
select
    'page ' || n, encode(sha256(int4send(n)), 'hex'), 'completed',
    repeat(md5(n::text) || ' ', 20), 90, 20, now()
from generate_series(1, 3000) as n;
insert into documents (filename, updated_at)
select 'waiting ' || n, now() - interval '2 hours' from generate_series(1, 1000) as n;
select enqueue_pending_documents(1000) as enqueued \gset
-- the same text in two files
update documents set file_hash = repeat('7', 64) where filename = 'page 1';
insert into documents (
    filename, ocr_status, ocr_text, ocr_confidence, ocr_word_count, ocr_completed_at
)
select 'page 1 again', 'completed', d.ocr_text, 90, 20, now()
from documents as d
where d.filename = 'page 1';
analyze documents, ocr_queue;
-- as VACUUM would leave it, which no transaction can run
update pg_class set relallvisible = relpages where oid = 'documents'::regclass;
create temporary table before as
select
    s.relname,
    s.seq_tup_read,
    s.idx_tup_fetch
from pg_stat_xact_user_tables as s
where s.relname in ('documents', 'ocr_queue');
create temporary table found as select * from list_ocr_findings();
create temporary table reading as
select
    s.relname,
    s.seq_tup_read - b.seq_tup_read as scanned,
    s.idx_tup_fetch - b.idx_tup_fetch as looked_up
from pg_stat_xact_user_tables as s
inner join before as b on b.relname = s.relname;
select results_eq(
    $$
        select d.filename, f.kind
        from found as f
        inner join documents as d on d.id = f.document_id
        order by 1
    $$,
    $$values ('page 1', 'shared_text'), ('page 1 again', 'shared_text')$$,
    'two documents in four thousand share a text'
);
select cmp_ok(
    (select r.scanned from reading as r where r.relname = 'documents'),
    '<=',
    -- a scan may look at one row to see that there is nothing to join it with
    (select count(*) + 1 from documents),
    'to find them every document is read once'
);
select cmp_ok(
    (select r.looked_up from reading as r where r.relname = 'documents'),
    '<=',
    -- the index on the hashes once, where without VACUUM each entry is looked up; each
    -- job; each text of a hash that two have
    (select count(*) from documents) + (select count(*) + 10 from ocr_queue),
    'and looked up only for jobs and for texts that are repeated'
);
select cmp_ok(
    (
        select r.scanned + r.looked_up
        from reading as r
        where r.relname = 'ocr_queue'
    ),
    '<=',
    -- for the documents without a job, and for the jobs themselves
    (select 2 * count(*) from ocr_queue),
    'jobs are looked up for documents that have several only'
);

select * from finish();
rollback;
