-- That claims come to it, and what they do then: working/claim_ocr_jobs.sql.

begin;
\ir ../fixtures.psql
select plan(13);

create function pg_temp.settle(p_marks timestamptz [] default null)
returns boolean
language sql
as $function$
    select settle_displaced_jobs(clock_timestamp(), p_marks);
$function$;
-- a document with a live lease whose job is put back by hand
create function pg_temp.put_back(p_filename text)
returns uuid
language plpgsql
as $function$
declare
    v_document_id constant uuid := pg_temp.add_document(p_filename);
begin
    perform pg_temp.claim(v_document_id, 'w-one');
    update ocr_queue
    set
        status = 'pending', lease_expires_at = null,
        run_after = now() - interval '1 minute'
    where document_id = v_document_id;
    return v_document_id;
end;
$function$;

select is(pg_temp.settle(), false, 'an empty queue has nothing to settle');
select pg_temp.add_document('plain.pdf') as plain \gset
select enqueue_ocr_job(:'plain', 5, now() - interval '1 minute') as job \gset
select is(pg_temp.settle(), false, 'nor has a job of a pending document');
select is(pg_temp.state(:'plain'), 'pending / pending 0 of 3', 'which stays');

select pg_temp.add_document('done.pdf') as done \gset
select pg_temp.complete(:'done') as token \gset
insert into ocr_queue (document_id, run_after)
values (:'done', now() - interval '1 minute');
select pg_temp.put_back('taken.pdf') as taken \gset
select is(
    pg_temp.settle(array_fill(now(), array[11])),
    false,
    'what is below the marks is not looked at'
);
select is(
    settle_displaced_jobs(now() - interval '1 hour', null),
    false,
    'nor is what is not due'
);
select is(pg_temp.settle(), true, 'both kinds are found');
select is(
    pg_temp.state(:'done'), 'completed / no job', 'a completed document loses its job'
);
select is(
    pg_temp.state(:'taken'),
    'pending / pending 1 of 3',
    'a lease whose job was put back is ended, and the job can be claimed'
);
select is(
    pg_temp.history(:'taken'), 'expired', 'and the attempt has its row (G10)'
);
select is(
    pg_temp.state(:'plain'), 'pending / pending 0 of 3', 'no other job is touched'
);
select is(pg_temp.settle(), false, 'and the second time there is nothing left');

select pg_temp.put_back('alone.pdf') as alone \gset
select is(pg_temp.settle(), true, 'one of the one kind is enough');
insert into ocr_queue (document_id, run_after)
values (:'done', now() - interval '1 minute');
select is(pg_temp.settle(), true, 'and one of the other');

select * from finish();
rollback;
