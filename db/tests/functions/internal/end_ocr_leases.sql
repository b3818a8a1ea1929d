-- Every way in which an attempt ends without a result (G3): next state, attempts,
-- history.

begin;
\ir ../fixtures.psql
select plan(37);

create function pg_temp.check_end(
    p_attempts integer, p_next text, p_is_spent boolean, p_outcome text, p_answer text,
    p_state text, p_history text
)
returns setof text
language plpgsql
as $function$
declare
    v_id constant uuid := pg_temp.add_document();
begin
    perform pg_temp.claim(v_id);
    update ocr_queue as q set attempts = p_attempts where q.document_id = v_id;
    return next is(
        (
            select string_agg(e.job_status, ', ')
            from end_ocr_leases(array[v_id], p_outcome, 'why', p_next, p_is_spent) as e
            where e.document_id = v_id
        ),
        p_answer,
        format(
            'attempt %s of 3, %s, spent %s: the job is %s',
            p_attempts, p_next, p_is_spent, p_answer
        )
    );
    return next is(
        pg_temp.state(v_id),
        p_state,
        format('attempt %s, %s: %s', p_attempts, p_next, p_state)
    );
    return next is(
        pg_temp.history(v_id),
        p_history,
        format('attempt %s, %s: %s', p_attempts, p_next, p_history)
    );
    delete from documents;
end;
$function$;
select t.*
from (
    values
    (1, 'retry', true, 'retry', 'pending', 'pending / pending 1 of 3', 'retry'),
    (3, 'retry', true, 'retry', 'failed', 'failed / failed 3 of 3', 'failed'),
    (3, 'retry', true, 'expired', 'failed', 'failed / failed 3 of 3', 'expired'),
    (3, 'retry', false, 'retry', 'pending', 'pending / pending 2 of 3', 'retry'),
    (1, 'retry', false, 'released', 'pending', 'pending / pending 0 of 3', 'released'),
    (1, 'dead', true, 'failed', 'failed', 'failed / failed 1 of 3', 'failed'),
    (2, 'dead', false, 'failed', 'failed', 'failed / failed 2 of 3', 'failed'),
    (2, 'remove', false, 'cancelled', 'removed', 'failed / no job', 'cancelled')
) as c (attempts, next, is_spent, outcome, answer, state, history)
cross join lateral pg_temp.check_end(
    c.attempts, c.next, c.is_spent, c.outcome, c.answer, c.state, c.history
) as t;

-- Documents that are not processing are passed over, dead jobs beside live ones too.
select pg_temp.add_document('pending') as pending \gset
select enqueue_ocr_job(:'pending') as job \gset
select pg_temp.complete(pg_temp.add_document('completed')) as token \gset
select pg_temp.kill(pg_temp.add_document('failed')) as token \gset
select pg_temp.snapshot() as before \gset
select is_empty(
    $$
        select e.*
        from end_ocr_leases(
            (select array_agg(d.id) from documents as d), 'expired', 'why', 'retry', true
        ) as e
    $$,
    'documents that are not processing are passed over'
);
select is(pg_temp.snapshot(), :'before', 'and not changed');
select is_empty(
    $$select * from end_ocr_leases('{}', 'expired', 'why', 'retry', true)$$,
    'no documents'
);
select d.id as failed from documents as d where d.filename = 'failed' \gset
select is(
    (
        select q.worker_id || (q.started_at is not null)::text
        from ocr_queue as q
        where q.document_id = :'failed'
    ),
    'w-onetrue',
    'a dead job says who had it, and when its last attempt began'
);
insert into ocr_queue (document_id) values (:'failed');
select c.job_id from claim_ocr_jobs('w-two', 10) as c
where c.document_id = :'failed' \gset
delete from ocr_job_history;
select e.job_status from end_ocr_leases(
    array[:'failed'::uuid], 'retry', 'why', 'retry', true
) as e \gset
select is(
    pg_temp.state(:'failed'),
    'pending / failed 1 of 3, pending 1 of 3',
    'a dead job beside the live one is left alone'
);
select is(pg_temp.history(:'failed'), 'retry', 'and is no attempt');
-- A message is kept where there is no new one.
select pg_temp.claim(:'failed') as token \gset
select e.job_status from end_ocr_leases(
    array[:'failed'::uuid], 'released', null, 'retry', false
) as e \gset
select is(
    (
        select q.error_message || ' / ' || d.ocr_error
        from ocr_queue as q
        inner join documents as d on d.id = q.document_id
        where q.document_id = :'failed' and q.status = 'pending'
    ),
    'why / why',
    'the error of the attempt before stays where there is no new one'
);
select is(
    (
        select q.heartbeat_at is null and q.progress_current is null
        from ocr_queue as q
        where q.document_id = :'failed' and q.status = 'pending'
    ),
    true,
    'nothing of the lease is left'
);
-- A job that plain SQL has put back without its document, and without its attempt.
select pg_temp.add_document('torn') as torn \gset
select pg_temp.claim(:'torn') as token \gset
update ocr_queue
set
    status = 'pending', attempts = 0, started_at = null, worker_id = null,
    lease_expires_at = null
where document_id = :'torn';
select lives_ok(
    format(
        $$
            select *
            from end_ocr_leases(array[%L::uuid], 'released', null, 'retry', false)
        $$,
        :'torn'
    ),
    'where no attempt is counted none is given back'
);
-- Only the job of the lease is removed.
select pg_temp.add_document('removed') as removed \gset
select pg_temp.claim(:'removed') as token \gset
select pg_temp.add_document('waiting') as waiting \gset
select enqueue_ocr_job(:'waiting') as job \gset
update documents set updated_at = '2020-01-01' where id = :'removed';
select e.job_status from end_ocr_leases(
    array[:'removed'::uuid, :'waiting'::uuid], 'cancelled', 'why', 'remove', false
) as e \gset
select is(pg_temp.state(:'removed'), 'failed / no job', 'the job is removed');
select is(
    pg_temp.state(:'waiting'), 'pending / pending 0 of 3', 'that of another is not'
);
select is(
    (select d.updated_at >= now() from documents as d where d.id = :'removed'),
    true,
    'the document says when it changed'
);
select is_empty(
    $$
        select d.id
        from documents as d
        where (d.ocr_status = 'processing') <> exists (
            select from ocr_queue as q
            where q.document_id = d.id and q.status = 'processing'
        )
    $$,
    'a document is processing if and only if its job is (G5)'
);

select * from finish();
rollback;
