begin;
\ir ../fixtures.psql

select plan(8);

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

-- Whoever waits for work is woken.
create temporary table woken (caller text);
create or replace function notify_ocr_workers()
returns void
language sql
as $function$
    insert into woken values ('');
$function$;
select pause_ocr_queue('test') as paused \gset
select resume_ocr_queue() as resumed \gset
select is((select count(*) from woken), 1::bigint, 'a resumed queue wakes the workers');
select resume_ocr_queue() as resumed \gset
select is((select count(*) from woken), 1::bigint, 'one that was not paused does not');

select * from finish();
rollback;
