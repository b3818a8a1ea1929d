-- Through repair_database_consistency(), its only caller.

begin;
\ir ../fixtures.psql
\ir ../adopted.psql

select plan(12);

select pg_temp.add_document(n.name)
from (
    values ('null status'), ('cancelled job'), ('null attempts'), ('no start'),
        ('claimed now'), ('upper case'), ('no time'), ('too sure')
) as n (name) \g /dev/null
update documents as d set ocr_status = null where d.filename = 'null status';
update documents as d set file_hash = repeat('AB', 32) where d.filename = 'upper case';
update documents as d
set
    ocr_status = 'completed', ocr_text = 'a text', ocr_confidence = 90,
    ocr_word_count = 2
where d.filename = 'no time';
update documents as d set ocr_completed_at = null where d.filename = 'no time';
update documents as d set ocr_confidence = 101 where d.filename = 'too sure';
update documents as d set ocr_status = 'processing'
where d.filename in ('no start', 'claimed now');
insert into ocr_queue (
    document_id, status, priority, attempts, max_attempts, started_at, worker_id,
    progress_current, progress_total
)
select
    d.id, n.status, n.priority, n.attempts, n.max_attempts, n.started_at, 'w', 3,
    n.total
from documents as d
inner join (
    values
    ('cancelled job', 'cancelled', 5, 0, 3, null::timestamptz, null::integer),
    ('null attempts', 'pending', 99, null, null, null, 1),
    ('no start', 'processing', 5, 1, 3, null, null),
    ('claimed now', 'processing', 5, 1, 3, now(), null)
) as n (name, status, priority, attempts, max_attempts, started_at, total)
    on n.name = d.filename;

select is(
    (select r.affected from repair_database_consistency(true) as r
    where r.kind = 'broken_constraint'),
    8::bigint,
    'a dry run tells how many rows break a constraint'
);
select repair_database_consistency(false) \g /dev/null

create function pg_temp.job_of(p_filename text)
returns setof ocr_queue
language sql
as $$
    select q.* from ocr_queue as q
    inner join documents as d on d.id = q.document_id
    where d.filename = p_filename
$$;
select is(
    (select d.ocr_status from documents as d where d.filename = 'null status'),
    'pending', 'a document without status and result is pending'
);
select is_empty(
    $$select from pg_temp.job_of('cancelled job')$$,
    'a job of a status that no claim knows goes'
);
select results_eq(
    $$
        select q.priority, q.attempts, q.max_attempts, q.progress_total
        from pg_temp.job_of('null attempts') as q
    $$,
    'values (10, 0, 3, null::integer)',
    'numbers come within their bounds'
);
select is(
    (select q.status from pg_temp.job_of('no start') as q), 'pending',
    'a job that nobody knows the start of is put back'
);
select is(
    (select d.ocr_status from documents as d where d.filename = 'no start'), 'pending',
    'and its document with it (G5)'
);
select is(
    (select q.status from pg_temp.job_of('claimed now') as q), 'processing',
    'one that plain SQL claimed just now is left to its worker'
);
select is(
    (select d.file_hash from documents as d where d.filename = 'upper case'),
    repeat('ab', 32), 'a hash becomes lower case'
);
select isnt(
    (select d.ocr_completed_at from documents as d where d.filename = 'no time'), null,
    'a completed document has a time'
);
select is(
    (select d.ocr_text from documents as d where d.filename = 'no time'), 'a text',
    'and its result as it was (G4)'
);
select results_eq(
    $$
        select f.kind, d.filename
        from find_inconsistencies() as f
        inner join documents as d on d.id = f.document_id
        order by 2, 1
    $$,
    $$
        values
        ('broken_constraint', 'claimed now'),
        ('lease_without_processing', 'claimed now'),
        ('broken_constraint', 'too sure')
    $$,
    'what needs a person is left and listed'
);
select is(
    (select sum(r.affected) from repair_database_consistency(false) as r), 0::numeric,
    'a second repair finds nothing to do'
);

select * from finish();
rollback;
