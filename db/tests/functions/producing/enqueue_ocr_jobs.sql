begin;
\ir ../fixtures.psql

select plan(18);

insert into documents (filename)
select 'page ' || n from generate_series(1, 5) as n;
select d.id as one from documents as d where d.filename = 'page 1' \gset
select d.id as two from documents as d where d.filename = 'page 2' \gset
select d.id as three from documents as d where d.filename = 'page 3' \gset
select enqueue_ocr_job(:'two', 9) as job_two \gset

create temporary table answer as
select e.* from enqueue_ocr_jobs(array[:'two', :'one', :'two']::uuid[], 7) as e;
select results_eq(
    $$select a.document_id, a.job_id from answer as a order by 1$$,
    $$select q.document_id, q.id from ocr_queue as q order by 1$$,
    'one row per document with its live job, new or old; a document twice is one'
);
select is(
    (select string_agg(q.priority::text, ', ' order by q.priority) from ocr_queue as q),
    '7, 9',
    'a live job keeps what it has, a new one gets what is given'
);
select pg_temp.complete(:'three') as token \gset
select pg_temp.snapshot() as before \gset
select throws_ok(
    format(
        'select * from enqueue_ocr_jobs(array[%L, %L]::uuid[])',
        (select d.id from documents as d where d.filename = 'page 4'), :'three'
    ),
    'OG006',
    format('document %s is completed already', :'three'),
    'all or none: one completed document refuses all (OG006)'
);
select throws_ok(
    format(
        'select * from enqueue_ocr_jobs(array[%L, %L]::uuid[])',
        (select d.id from documents as d where d.filename = 'page 4'),
        '00000000-0000-0000-0000-000000000000'
    ),
    'OG001',
    'there is no document 00000000-0000-0000-0000-000000000000',
    'and so does one that does not exist (OG001)'
);
select is(pg_temp.snapshot(), :'before', 'nothing is enqueued then');
select is_empty($$select * from enqueue_ocr_jobs('{}')$$, 'none of no documents');

select pg_temp.kill(d.id) from documents as d where d.filename = 'page 4' \g /dev/null
select e.document_id from documents as d
cross join lateral enqueue_ocr_jobs(array[d.id]) as e
where d.filename = 'page 4' \g /dev/null
select is(
    (select pg_temp.state(d.id) from documents as d where d.filename = 'page 4'),
    'pending / pending 0 of 3',
    'a failed document starts anew'
);

select throws_ok(
    format('select * from enqueue_ocr_jobs(%s)', c.arguments), '22023', c.message,
    format('enqueue_ocr_jobs(%s) is refused (22023)', left(c.arguments, 60))
)
from (
    values
    ('null', 'p_document_ids must be an array of up to 10000 ids without nulls, not null'),
    ('array[null::uuid]', 'p_document_ids must be an array of up to 10000 ids without nulls, not 1 elements'),
    ('array_fill(gen_random_uuid(), array[10001])', 'p_document_ids must be an array of up to 10000 ids without nulls, not 10001 elements'),
    ('''{}'', null', 'p_priority must be between 0 and 10, not null'),
    ('''{}'', 11', 'p_priority must be between 0 and 10, not 11'),
    ('''{}'', -1', 'p_priority must be between 0 and 10, not -1'),
    ('''{}'', 5, null', 'p_run_after must be a finite time, not null'),
    ('''{}'', 5, ''infinity''', 'p_run_after must be a finite time, not infinity'),
    ('''{}'', 5, ''-infinity''', 'p_run_after must be a finite time, not -infinity'),
    ('''{}'', 5, now(), 0', 'p_max_attempts must be null or between 1 and 100, not 0'),
    ('''{}'', 5, now(), 101', 'p_max_attempts must be null or between 1 and 100, not 101')
) as c (arguments, message);

select * from finish();
rollback;
