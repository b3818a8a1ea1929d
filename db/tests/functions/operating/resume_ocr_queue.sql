begin;
\ir ../fixtures.psql

select plan(6);

select enqueue_ocr_job(pg_temp.add_document()) as job \gset
select is(resume_ocr_queue(), false, 'a queue that is not paused: false');
select pause_ocr_queue('lunch') as paused \gset
select is(resume_ocr_queue(), true, 'a pause ends');
select results_eq(
    'select t.paused_at, t.paused_by, t.paused_reason from ocr_queue_state as t',
    'values (null::timestamptz, null::text, null::text)',
    'nothing of it is left'
);
select isnt_empty($$select * from claim_ocr_jobs('w-one')$$, 'claims go on');
select is(resume_ocr_queue(), false, 'a second resume: false');
select is(pause_ocr_queue('again'), true, 'it may be paused again');

select * from finish();
rollback;
