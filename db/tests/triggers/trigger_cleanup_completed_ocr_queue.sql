begin;
\ir ../functions/fixtures.psql

select plan(26);
select current_schema() as schema \gset

create function pg_temp.write(p_document_id uuid, p_token uuid)
returns void
language sql
as $function$
    update documents
    set
        ocr_status = 'completed', ocr_text = 'a b', ocr_confidence = 80,
        ocr_word_count = 2, ocr_processing_time_ms = 77, ocr_engine = 'engine 1',
        ocr_result_token = p_token
    where id = p_document_id;
$function$;

-- given: a job that waited for a minute, beside another document's
select pg_temp.add_document('other.pdf') as other \gset
select enqueue_ocr_job(:'other') as other_job \gset
select pg_temp.add_document('scan.pdf', repeat('a', 64)) as document \gset
select enqueue_ocr_job(:'document', 9, now() - interval '1 minute') as job \gset
select c.lease_token as token from claim_ocr_jobs('w-one') as c \gset

-- when
select pg_temp.write(:'document', :'token');

-- then
select is(
    pg_temp.state(:'document'),
    'completed / no job',
    'a result that plain SQL writes removes the job in the same statement (G3)'
);
select is(
    pg_temp.state(:'other'), 'pending / pending 0 of 3', 'and no other document''s'
);
select results_eq(
    $$
        select
            h.document_id, h.job_id, h.outcome, h.error_class, h.worker_id, h.engine,
            h.attempt, h.priority, h.queued_at, h.started_at >= now(),
            h.finished_at >= h.started_at, h.wait_ms between 60000 and 120000,
            h.processing_time_ms, h.confidence, h.word_count, h.source_hash,
            h.lease_token, h.error
        from ocr_job_history as h
    $$,
    format(
        $$
            values (
                %L::uuid, %L::uuid, 'written', null::text, 'w-one', 'engine 1', 1, 9,
                now(), true, true, true, 77, 80::real, 2, repeat('a', 64), %L::uuid,
                null::text
            )
        $$,
        :'document', :'job', :'token'
    ),
    'the history row has all of the attempt (G10)'
);
select lives_ok(
    $$update documents set mime_type = 'image/png'$$,
    'later updates of the document pass'
);
select is((select count(*) from ocr_job_history), 1::bigint, 'and write no history');

-- a document that had lost its job
select pg_temp.add_document() as jobless \gset
select pg_temp.claim(:'jobless') as token \gset
delete from ocr_queue as q where q.document_id = :'jobless';
select pg_temp.write(:'jobless', :'token');
select results_eq(
    format(
        $$
            select h.outcome, h.job_id, h.lease_token
            from ocr_job_history as h
            where h.document_id = %L
        $$,
        :'jobless'
    ),
    format($$values ('written', null::uuid, %L::uuid)$$, :'token'),
    'a document that had lost its job has its history row all the same (G10)'
);

-- a dead job beside the live one, as a plain INSERT makes it
select pg_temp.add_document() as twice \gset
select pg_temp.kill(:'twice') as token \gset
insert into ocr_queue (document_id) values (:'twice');
select c.lease_token as token from claim_ocr_jobs('w-two', 10) as c
where c.document_id = :'twice' \gset
delete from ocr_job_history;
select pg_temp.write(:'twice', :'token');
select is(
    pg_temp.state(:'twice'), 'completed / no job', 'dead jobs go with the live one'
);
select is(
    pg_temp.history(:'twice'), 'written', 'without another row in the history'
);
select is(
    (select h.worker_id from ocr_job_history as h where h.document_id = :'twice'),
    'w-two',
    'which is that of the live one'
);

-- a result that is brought back is no new attempt
select requeue_document(:'twice', 'test') as job \gset
select restore_previous_result(:'twice') as restored \gset
select is(
    pg_temp.history(:'twice'),
    'written',
    'a result that is brought back is no new attempt'
);
select is(pg_temp.state(:'twice'), 'completed / no job', 'its job goes');
insert into documents (
    filename, ocr_status, ocr_text, ocr_confidence, ocr_word_count, ocr_completed_at
)
values ('import.pdf', 'completed', 'text', 90, 1, now())
returning id as imported \gset
select requeue_document(:'imported', 'test') as job \gset
select restore_previous_result(:'imported') as restored \gset
select is(
    pg_temp.history(:'imported'), '', 'also where the result was written under no lease'
);

-- only completing a document costs anything
select pg_temp.add_document() as done \gset
select pg_temp.complete(:'done') as token \gset
insert into ocr_queue (document_id) values (:'done');
update documents as d set file_path = '/archive/scan.pdf' where d.id = :'done';
select is(
    pg_temp.state(:'done'),
    'completed / pending 0 of 3',
    'an UPDATE of a completed document does not look for jobs'
);

-- What write_ocr_results() tells it, that it finishes the jobs itself, a client may say
-- too, at whatever depth. It gains nothing: the job is removed and recorded.
create role test_client;
grant usage on schema :"schema" to test_client;
grant select, insert, update, delete on documents to test_client;
create function pg_temp.write_as_client(
    p_document_id uuid, p_token uuid, p_depth text
)
returns void
language plpgsql
as $function$
begin
    perform set_config('ocr_guardrails.finishing_depth', p_depth, true);
    set local role test_client;
    update documents
    set
        ocr_status = 'completed', ocr_text = 'a b', ocr_confidence = 80,
        ocr_word_count = 2, ocr_result_token = p_token
    where id = p_document_id;
    reset role;
    perform set_config('ocr_guardrails.finishing_depth', '', true);
end;
$function$;
create function pg_temp.finished_by_client(p_depth text)
returns text
language plpgsql
as $function$
declare
    v_document_id constant uuid := pg_temp.add_document('client.pdf');
    v_token constant uuid := pg_temp.claim(v_document_id);
begin
    perform pg_temp.write_as_client(v_document_id, v_token, p_depth);
    return concat_ws(
        ' / ', pg_temp.state(v_document_id), pg_temp.history(v_document_id)
    );
end;
$function$;
select is(
    pg_temp.finished_by_client(depth),
    'completed / no job / written',
    format('a client that sets finishing_depth to %L itself (G3, G10)', depth)
)
from unnest(array['0', '1', '', 'on']) as depth;

-- Nor does it keep a document from being finished that a trigger of the application
-- completes while results are written.
select pg_temp.add_document('inner.pdf') as inner \gset
select pg_temp.claim(:'inner') as inner_token \gset
select pg_temp.add_document('inner offered.pdf') as inner_offered \gset
select pg_temp.claim(:'inner_offered') as inner_offered_token \gset
select pg_temp.add_document('outer.pdf') as outer \gset
select pg_temp.claim(:'outer') as outer_token \gset
select pg_temp.add_document('outer, too.pdf') as outer_too \gset
select pg_temp.claim(:'outer_too') as outer_too_token \gset
select set_config('test.inner', :'inner', true) as inner_id \gset
select set_config('test.inner_token', :'inner_token', true) as inner_token \gset
select set_config('test.inner_offered', :'inner_offered', true) as inner_id \gset
select set_config(
    'test.inner_offered_token', :'inner_offered_token', true
) as inner_token \gset
create function pg_temp.complete_others()
returns trigger
language plpgsql
as $function$
begin
    update documents
    set
        ocr_status = 'completed', ocr_text = 'a b', ocr_confidence = 80,
        ocr_word_count = 2,
        ocr_result_token = current_setting('test.inner_token')::uuid
    where
        id = current_setting('test.inner')::uuid and ocr_status = 'processing';
    perform update_ocr_safe(
        current_setting('test.inner_offered')::uuid, 'inner offered.pdf', 'a b', 90, 2,
        1, current_setting('test.inner_offered_token')::uuid
    );
    return new;
end;
$function$;
create trigger test_complete_others
before update on documents
for each row
when (new.filename like 'outer%' and new.ocr_status = 'completed')
execute function pg_temp.complete_others();
select count(*) from update_ocr_arrays_safe(
    array[:'outer', :'outer_too']::uuid [], array['outer.pdf', 'outer, too.pdf'],
    array['a', 'b'], array[90, 90], array[1, 1], array[1, 1],
    array[:'outer_token', :'outer_too_token']::uuid []
) \g /dev/null
drop trigger test_complete_others on documents;
select is(
    array[
        pg_temp.state(:'inner'), pg_temp.history(:'inner'),
        pg_temp.state(:'inner_offered'), pg_temp.history(:'inner_offered')
    ],
    array['completed / no job', 'written', 'completed / no job', 'written'],
    'what a trigger completes or offers while results are written is finished, too'
);
select is(
    array[
        pg_temp.state(:'outer'), pg_temp.history(:'outer'),
        pg_temp.state(:'outer_too'), pg_temp.history(:'outer_too')
    ],
    array['completed / no job', 'written', 'completed / no job', 'written'],
    'and the results themselves are, each once'
);

-- Whichever way it comes, an offer leaves nothing set behind it.
select pg_temp.add_document('first.pdf') as first \gset
select pg_temp.complete(:'first') as token \gset
select pg_temp.add_document('second.pdf') as second \gset
select pg_temp.claim(:'second') as token \gset
delete from ocr_queue as q where q.document_id = :'second';
select pg_temp.write(:'second', :'token');
select results_eq(
    format(
        $$
            select h.outcome, h.job_id, h.lease_token
            from ocr_job_history as h
            where h.document_id = %L
        $$,
        :'second'
    ),
    format($$values ('written', null::uuid, %L::uuid)$$, :'token'),
    'plain SQL after an offer: a document that had lost its job has its row (G10)'
);

-- Many documents by one UPDATE.
delete from documents;
delete from ocr_job_history;
insert into documents (filename) select 'page ' || n from generate_series(1, 3) as n;
select enqueue_pending_documents() as enqueued \gset
select c.job_id from claim_ocr_jobs('w-many', 3) as c \g /dev/null
create temporary table jobs as
select q.document_id, q.id, d.ocr_lease_token as token from ocr_queue as q
inner join documents as d on d.id = q.document_id;
update documents as d
set
    ocr_status = 'completed', ocr_text = 'a b', ocr_confidence = 80,
    ocr_word_count = 2, ocr_result_token = d.ocr_lease_token;
select is(
    (select count(*) from ocr_queue), 0::bigint, 'one UPDATE of many removes all jobs'
);
select results_eq(
    $$
        select h.document_id, h.job_id, h.lease_token, h.outcome, h.worker_id
        from ocr_job_history as h
        order by h.document_id
    $$,
    $$
        select j.document_id, j.id, j.token, 'written', 'w-many'
        from jobs as j
        order by j.document_id
    $$,
    'and each attempt has the row of its own job (G10)'
);
select is(
    (select count(*) from ocr_job_history), 3::bigint, 'just one'
);

-- A job that is brought back under a live lease, with its result: two attempts.
select pg_temp.add_document('twofold.pdf') as twofold \gset
select pg_temp.complete(:'twofold') as token \gset
select requeue_document(:'twofold', 'test') as job \gset
select pg_temp.claim(:'twofold', 'w-again') as token \gset
select restore_previous_result(:'twofold') as restored \gset
select is(
    pg_temp.history(:'twofold'),
    'written cancelled',
    'a result that is brought back under a live lease: the attempt was cancelled'
);
select is(pg_temp.state(:'twofold'), 'completed / no job', 'and its job goes');

-- all or nothing
select pg_temp.add_document() as atomic \gset
select pg_temp.claim(:'atomic') as token \gset
select pg_temp.snapshot() as before \gset
savepoint attempt;
select pg_temp.write(:'atomic', :'token');
rollback to savepoint attempt;
select is(
    pg_temp.snapshot(),
    :'before',
    'result, job and history are undone together (G3)'
);

select * from finish();
rollback;
