begin;
\ir ../functions/fixtures.psql

select plan(3);

select pg_temp.add_document('torn.pdf') as torn \gset
select pg_temp.claim(:'torn', 'w-one') as token \gset
select fail_ocr_job(:'torn', :'token', 'torn', 'document', 'engine 1') as answer \gset
select pg_temp.kill(:'torn', 'no image') as token \gset
select pg_temp.add_document('lost.pdf') as lost \gset
select pg_temp.claim(:'lost', 'w-lost') as token \gset
select pg_temp.expire(:'lost');
select pg_temp.complete(pg_temp.add_document('good.pdf')) as token \gset
select pg_temp.add_document('released.pdf') as released \gset
select pg_temp.claim(:'released') as token \gset
select release_ocr_job(:'released', :'token') as answer \gset
select results_eq(
    $$
        select
            f.filename, f.outcome, f.error_class, f.error, f.worker_id, f.engine,
            f.attempt
        from ocr_recent_failures as f
        order by f.finished_at
    $$,
    $$
        values
        ('torn.pdf', 'retry', 'document', 'torn', 'w-one', 'engine 1', 1),
        ('torn.pdf', 'failed', 'permanent', 'no image', 'w-one', null, 2),
        ('lost.pdf', 'expired', null, 'the lease expired', 'w-lost', null, 1)
    $$,
    'attempts that failed or expired, and no others'
);
delete from documents as d where d.id = :'lost';
select is(
    (select count(*) from ocr_recent_failures as f where f.document_id = :'lost'),
    1::bigint,
    'also of a document that is gone'
);
update ocr_job_history set finished_at = finished_at - interval '25 hours';
select is_empty('select * from ocr_recent_failures', 'of the last day');

select * from finish();
rollback;
