begin;
\ir ../fixtures.psql

select plan(68);

-- document: tried again after a backoff until attempts are used up, then dead

select pg_temp.add_document() as document \gset
select pg_temp.claim(:'document', 'w-one') as token \gset
select is(
    fail_ocr_job(:'document', :'token', 'page 3 is torn', p_engine => 'engine 1'),
    'retry',
    'the first of three attempts fails: retry'
);
select is(
    pg_temp.state(:'document'),
    'pending / pending 1 of 3',
    'document and job are pending together, the attempt is spent (G5)'
);
select results_eq(
    $$
        select
            d.ocr_error, q.error_message, q.worker_id, q.started_at, q.heartbeat_at,
            q.lease_expires_at, q.completed_at, q.processing_time_ms >= 0
        from documents as d
        inner join ocr_queue as q on q.document_id = d.id
    $$,
    $$
        values (
            'page 3 is torn', 'page 3 is torn', null::text, null::timestamptz,
            null::timestamptz, null::timestamptz, null::timestamptz, true
        )
    $$,
    'both say why, and the lease is gone'
);
select results_eq(
    $$
        select
            h.outcome, h.error_class, h.error, h.worker_id, h.engine, h.attempt,
            h.lease_token, h.started_at >= now(), h.finished_at >= h.started_at,
            h.wait_ms > 0
        from ocr_job_history as h
    $$,
    format(
        $$
            values (
                'retry', 'document', 'page 3 is torn', 'w-one', 'engine 1', 1, %L::uuid,
                true, true, true
            )
        $$,
        :'token'
    ),
    'the attempt is in the history, with worker and engine (G10)'
);
select pg_temp.snapshot() as before \gset
select is(
    fail_ocr_job(:'document', :'token', 'once more'),
    'stale_lease',
    'the same failure a second time is stale'
);
select is(pg_temp.snapshot(), :'before', 'and changes nothing');
select pg_temp.claim(:'document') as token \gset
select is(
    fail_ocr_job(:'document', :'token', 'torn', 'document'), 'retry', 'the second one'
);
select pg_temp.claim(:'document') as token \gset
select is(
    fail_ocr_job(:'document', :'token', 'torn for good', 'document'),
    'dead',
    'the last of three attempts fails: dead'
);
select is(
    pg_temp.state(:'document'),
    'failed / failed 3 of 3',
    'document and job are failed together (G9)'
);
select is(
    pg_temp.history(:'document'), 'retry retry failed', 'the history has every attempt'
);
select results_eq(
    $$
        select d.ocr_error, q.error_message, q.worker_id, q.completed_at >= now()
        from documents as d
        inner join ocr_queue as q on q.document_id = d.id
    $$,
    $$values ('torn for good', 'torn for good', 'w-one', true)$$,
    'the dead job says why it died, when, and who had it last'
);
select is_empty(
    $$select * from claim_ocr_jobs('w-two', 10)$$, 'nobody claims a dead job'
);
delete from documents;

select pg_temp.add_document() as single \gset
select enqueue_ocr_job(:'single', p_max_attempts => 1) as job \gset
select pg_temp.claim(:'single') as token \gset
select is(
    fail_ocr_job(:'single', :'token', 'torn'),
    'dead',
    'the first attempt of one is the last'
);
delete from documents;

-- permanent: dead at once

select pg_temp.add_document() as permanent \gset
select pg_temp.claim(:'permanent') as token \gset
select is(
    fail_ocr_job(:'permanent', :'token', 'no image', 'permanent'),
    'dead',
    'a permanent error is dead at once'
);
select is(
    pg_temp.state(:'permanent'), 'failed / failed 1 of 3', 'with attempts to spare'
);
select results_eq(
    $$
        select h.outcome, h.error_class, h.error, h.attempt
        from ocr_job_history as h
        where h.error_class = 'permanent'
    $$,
    $$values ('failed', 'permanent', 'no image', 1)$$,
    'and in the history'
);
delete from documents;

-- infrastructure: no attempt spent

select pg_temp.add_document() as infra \gset
select pg_temp.claim(:'infra') as token \gset
select is(
    fail_ocr_job(:'infra', :'token', 'disk full', 'infrastructure'),
    'retry',
    'an infrastructure error is a retry'
);
select is(pg_temp.state(:'infra'), 'pending / pending 0 of 3', 'no attempt is spent');
update ocr_queue set attempts = 2;
select pg_temp.claim(:'infra') as token \gset
select is(
    fail_ocr_job(:'infra', :'token', 'disk full', 'infrastructure'),
    'retry',
    'not even the last one'
);
select is(pg_temp.state(:'infra'), 'pending / pending 2 of 3', 'which is left');
select is(
    (
        select string_agg(h.outcome || ' ' || h.error_class, ', ')
        from ocr_job_history as h
        where h.document_id = :'infra'
    ),
    'retry infrastructure, retry infrastructure',
    'the history has them as infrastructure'
);
delete from documents;

-- Backoff: random() * least(cap, base * 2^attempt), over many runs.

create function pg_temp.wait_after_failure(p_attempt integer, p_error_class text)
returns interval
language plpgsql
as $function$
declare
    v_document_id constant uuid := pg_temp.add_document();
    v_token uuid;
    v_wait interval;
begin
    perform enqueue_ocr_job(v_document_id, p_max_attempts => 100);
    update ocr_queue as q set attempts = p_attempt - 1
    where q.document_id = v_document_id;
    v_token := pg_temp.claim(v_document_id);
    perform fail_ocr_job(v_document_id, v_token, 'torn', p_error_class);
    select q.run_after - h.finished_at into strict v_wait
    from ocr_queue as q
    inner join ocr_job_history as h on h.document_id = q.document_id
    where q.document_id = v_document_id;
    delete from documents as d where d.id = v_document_id;
    return v_wait;
end;
$function$;
create function pg_temp.check_backoff(
    p_attempt integer,
    p_error_class text,
    p_longest interval
)
returns setof text
language plpgsql
as $function$
declare
    v_waits interval [];
begin
    -- as many runs of 40 leave an empty tenth at either end less than once in 33 times
    -- for 40, and practically never the outer half
    v_waits := array(
        select pg_temp.wait_after_failure(p_attempt, p_error_class)
        from generate_series(1, 40)
    );
    return next ok(
        (select min(w) >= '0' and max(w) <= p_longest from unnest(v_waits) as w),
        format(
            'backoff of attempt %s (%s): between 0 and %s',
            p_attempt, p_error_class, p_longest
        )
    );
    return next ok(
        (
            select min(w) < p_longest / 2 and max(w) > p_longest / 2
                and count(distinct w) > 30
            from unnest(v_waits) as w
        ),
        format('backoff of attempt %s (%s): with full jitter', p_attempt, p_error_class)
    );
end;
$function$;
update ocr_settings set circuit_threshold = 1000000;
select t.*
from (
    values
    (1, 'document', interval '20 seconds'),
    (2, 'document', interval '40 seconds'),
    (3, 'document', interval '80 seconds'),
    (8, 'document', interval '2560 seconds'),
    (9, 'document', interval '1 hour'),
    (99, 'document', interval '1 hour'),
    (1, 'infrastructure', interval '20 seconds')
) as c (attempt, error_class, longest)
cross join lateral pg_temp.check_backoff(c.attempt, c.error_class, c.longest) as t;
update ocr_settings set backoff_base = '0', backoff_cap = '1 hour';
select is(
    pg_temp.wait_after_failure(2, 'document'), interval '0', 'a base of 0 is no backoff'
);
update ocr_settings set backoff_base = '1 day', backoff_cap = '30 days';
select lives_ok(
    $$select pg_temp.wait_after_failure(99, 'document')$$,
    'the longest base there is can be doubled as often as there are attempts'
);
update ocr_settings set backoff_base = '23 hours', backoff_cap = '30 days';
select lives_ok(
    $$select pg_temp.wait_after_failure(99, 'document')$$, 'whatever it is written in'
);
delete from ocr_settings;
insert into ocr_settings default values;
delete from ocr_job_history;

-- The circuit counts infrastructure errors in the window, and nothing else.

create function pg_temp.fail_once(p_error_class text)
returns text
language plpgsql
as $function$
declare
    v_document_id constant uuid := pg_temp.add_document();
begin
    perform fail_ocr_job(
        v_document_id, pg_temp.claim(v_document_id), 'no connection', p_error_class
    );
    delete from documents as d where d.id = v_document_id;
    return (select t.circuit_state from ocr_queue_state as t);
end;
$function$;
update ocr_queue_state set circuit_changed_at = now() - interval '1 day';
update ocr_settings set circuit_threshold = 2;
select is(
    pg_temp.fail_once('document'), 'closed', 'a document''s error does not count'
);
select is(pg_temp.fail_once('permanent'), 'closed', 'nor a permanent one');
select is(pg_temp.fail_once('infrastructure'), 'closed', 'the first of two that count');
update ocr_job_history
set finished_at = finished_at - interval '61 seconds'
where error_class = 'infrastructure';
select is(
    pg_temp.fail_once('infrastructure'),
    'closed',
    'one that lies longer back than circuit_window no longer counts'
);
select is(
    pg_temp.fail_once('document'), 'closed', 'a document''s error does not open it'
);
select is(
    pg_temp.fail_once('infrastructure'), 'open', 'circuit_threshold of them open it'
);
delete from ocr_queue_state;
insert into ocr_queue_state default values;
update ocr_settings set circuit_threshold = 1;
select is(
    pg_temp.fail_once('infrastructure'), 'open', 'a threshold of 1 opens at once'
);
delete from ocr_queue_state;
insert into ocr_queue_state default values;
update ocr_settings set circuit_threshold = 10;

-- Fencing.

select pg_temp.add_document() as fenced \gset
select pg_temp.claim(:'fenced', 'w-late') as late_token \gset
select pg_temp.take_over(:'fenced', 'w-new') as new_token \gset
select pg_temp.snapshot() as before \gset
select is(
    fail_ocr_job(:'fenced', :'late_token', 'late'),
    'stale_lease',
    'a late failure under a lease that was reset and reclaimed is refused (G2)'
);
select is(
    fail_ocr_job(:'fenced', :'late_token', 'late', 'permanent'),
    'stale_lease',
    'a late permanent one as well'
);
select is(
    fail_ocr_job(:'fenced', :'late_token', 'late', 'infrastructure'),
    'stale_lease',
    'a late infrastructure one as well'
);
select is(
    fail_ocr_job(:'fenced', gen_random_uuid(), 'late'),
    'stale_lease',
    'a token that is nobody''s as well'
);
select is(pg_temp.snapshot(), :'before', 'the job stays with its new holder');
select update_ocr_safe(
    :'fenced', 'scan.pdf', 'a', 90, 1, 1, :'new_token'
) as written \gset
select pg_temp.snapshot() as before \gset
select is(
    fail_ocr_job(:'fenced', :'new_token', 'after the result'),
    'stale_lease',
    'a failure after the result is refused'
);
select is(pg_temp.snapshot(), :'before', 'the result stands (G4)');
select is(
    fail_ocr_job(gen_random_uuid(), :'new_token', 'torn'),
    'stale_lease',
    'a document that does not exist'
);

-- An expired lease that nobody has taken over may fail; so may one without a job.

select pg_temp.add_document() as expired \gset
select pg_temp.claim(:'expired') as token \gset
update ocr_queue set lease_expires_at = now() - interval '1 hour';
select is(
    fail_ocr_job(:'expired', :'token', 'torn'), 'retry', 'an expired lease may fail'
);
select pg_temp.claim(:'expired') as token \gset
delete from ocr_queue as q where q.document_id = :'expired';
select is(
    fail_ocr_job(:'expired', :'token', 'torn'),
    'retry',
    'a document whose job was deleted may fail'
);
select is(
    pg_temp.state(:'expired'), 'pending / pending 0 of 3', 'and gets a new job (G9)'
);

-- A server whose clock was put back has jobs that start in the future.

select pg_temp.add_document() as future \gset
select pg_temp.claim(:'future') as token \gset
update ocr_queue set started_at = now() + interval '1 hour'
where document_id = :'future';
select lives_ok(
    format($$select fail_ocr_job(%L, %L, 'torn')$$, :'future', :'token'),
    'a job may fail whose start lies ahead, as after a clock was put back'
);
select is(
    pg_temp.state(:'future'), 'pending / pending 1 of 3', 'and is tried again'
);

-- Very long errors.

select pg_temp.add_document() as long \gset
select pg_temp.claim(:'long') as token \gset
select fail_ocr_job(
    :'long', :'token', repeat('x', 1000000), 'infrastructure'
) as answer \gset
select is(
    (
        select length(d.ocr_error) || ' ' || length(q.error_message) || ' '
            || (select max(length(h.error)) from ocr_job_history as h)
        from documents as d
        inner join ocr_queue as q on q.document_id = d.id
        where d.id = :'long'
    ),
    '10000 10000 10000',
    'an error is cut at 10000 characters'
);

-- Bad arguments.

select pg_temp.snapshot() as before \gset
select throws_ok(
    format('select fail_ocr_job(%s)', c.arguments), '22023', c.message,
    format('fail_ocr_job(%s) is refused (22023)', c.arguments)
)
from (
    values
    ('null, gen_random_uuid(), ''a''', 'p_document_id must be given, not null'),
    ('gen_random_uuid(), null, ''a''', 'p_lease_token must be the lease_token that claim_ocr_jobs() returned, not null'),
    ('gen_random_uuid(), gen_random_uuid(), null', 'p_error must be the reason of the failure, not null'),
    ('gen_random_uuid(), gen_random_uuid(), ''''', 'p_error must be the reason of the failure, not '),
    ('gen_random_uuid(), gen_random_uuid(), '' ''', 'p_error must be the reason of the failure, not  '),
    ('gen_random_uuid(), gen_random_uuid(), ''a'', null', 'p_error_class must be document, permanent or infrastructure, not null'),
    ('gen_random_uuid(), gen_random_uuid(), ''a'', ''''', 'p_error_class must be document, permanent or infrastructure, not '),
    ('gen_random_uuid(), gen_random_uuid(), ''a'', ''Document''', 'p_error_class must be document, permanent or infrastructure, not Document')
) as c (arguments, message);
select is(pg_temp.snapshot(), :'before', 'a bad argument changes nothing');

select * from finish();
rollback;
