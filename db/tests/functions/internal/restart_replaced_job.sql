begin;
\ir ../fixtures.psql
select plan(3);

select pg_temp.add_document() as document \gset
select enqueue_ocr_job(:'document') as job \gset
select pg_temp.claim(:'document') as token \gset
select restart_replaced_job(:'document', :'token');
select results_eq(
    'select q.status, q.attempts, q.worker_id from ocr_queue as q',
    $$values ('pending', 0, null::text)$$,
    'the running job is pending with all its attempts (G1)'
);
select results_eq(
    'select h.outcome, h.lease_token, h.error from ocr_job_history as h',
    format($$values ('cancelled', %L::uuid, 'the file was replaced')$$, :'token'),
    'its attempt is in the history (G10)'
);


-- when the job was deleted under the document
delete from ocr_queue;
select restart_replaced_job(:'document', :'token');
select results_eq(
    'select q.document_id, q.status from ocr_queue as q',
    format($$values (%L::uuid, 'pending')$$, :'document'),
    'a document that lost its job gets one for the new file (G9)'
);

select * from finish();
rollback;
