begin;
\ir ../fixtures.psql
select plan(5);

insert into documents (filename, created_at)
select 'page ' || n, now() - n * interval '1 hour' from generate_series(1, 3) as n;
select pg_temp.kill(d.id) from documents as d where d.filename = 'page 2' \g /dev/null
insert into ocr_queue (document_id, priority)
select d.id, 1 from documents as d where d.filename = 'page 3';
select start_ocr_jobs(array_agg(d.id), 6, now(), 4) from documents as d;
select results_eq(
    $$
        select
            d.filename, d.ocr_status, d.ocr_error, q.status, q.priority, q.max_attempts
        from documents as d
        inner join ocr_queue as q on q.document_id = d.id
        order by d.filename
    $$,
    $$
        values
        ('page 1', 'pending', null, 'pending', 6, 4),
        ('page 2', 'pending', null, 'pending', 6, 4),
        ('page 3', 'pending', null, 'pending', 1, 3)
    $$,
    'a job for each; a dead one goes, a live one that plain SQL has inserted stays (G5)'
);
select is((select count(*) from ocr_queue), 3::bigint, 'one for each');
select lives_ok(
    $$select start_ocr_jobs(array[gen_random_uuid()], 5, now(), null)$$,
    'a document that does not exist gets none'
);
delete from documents;
insert into documents (filename) values ('later');
select start_ocr_jobs(array_agg(d.id), 5, now() + interval '1 day', null)
from documents as d;
select is(
    (select q.run_after from ocr_queue as q), now() + interval '1 day', 'a job for later'
);
select is(
    (select q.max_attempts from ocr_queue as q), 3, 'attempts as in the settings'
);

select * from finish();
rollback;
