-- The kinds are tested through operating/find_inconsistencies.sql, which shows these
-- rows, and operating/validate_database_consistency.sql, which counts them.

begin;
\ir ../fixtures.psql
\ir ../operating/inconsistencies.psql
select plan(4);

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
insert into documents (filename, updated_at)
values ('only a dead job', now() - interval '2 hours');
insert into ocr_queue (document_id, status, attempts)
select d.id, 'failed', 3
from documents as d
where d.filename = 'only a dead job';
select results_eq(
    $$
        select d.filename, f.kind
        from list_ocr_findings() as f
        inner join documents as d on d.id = f.document_id
        order by 1
    $$,
    $$
        values
        ('no confidence', 'completed_without_result'),
        ('no count', 'completed_without_result'),
        ('no status', 'invalid_status'),
        ('no text', 'completed_without_result'),
        ('only a dead job', 'pending_without_job')
    $$,
    'one part of it is enough'
);

select * from finish();
rollback;
