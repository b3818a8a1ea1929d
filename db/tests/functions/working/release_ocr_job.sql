begin;
\ir ../fixtures.psql

select plan(18);

select pg_temp.add_document() as document \gset
select pg_temp.claim(:'document', 'w-leaving') as token \gset
select report_ocr_progress(:'document', :'token', 1, 5) as reported \gset
select q.run_after as place from ocr_queue as q \gset

select is(release_ocr_job(:'document', :'token'), true, 'the live lease is given back');
select is(
    pg_temp.state(:'document'),
    'pending / pending 0 of 3',
    'document and job are pending, and the attempt is not spent'
);
select results_eq(
    $$
        select
            q.run_after, q.worker_id, q.started_at, q.heartbeat_at, q.lease_expires_at,
            q.progress_current, q.progress_total, q.error_message
        from ocr_queue as q
    $$,
    format(
        $$
            values (
                %L::timestamptz, null::text, null::timestamptz, null::timestamptz,
                null::timestamptz, null::integer, null::integer, null::text
            )
        $$,
        :'place'
    ),
    'the job is back at its place in the line'
);
select results_eq(
    $$
        select h.outcome, h.worker_id, h.attempt, h.lease_token, h.error_class, h.error
        from ocr_job_history as h
    $$,
    format(
        $$values ('released', 'w-leaving', 1, %L::uuid, null::text, null::text)$$,
        :'token'
    ),
    'the history says who released it (G10)'
);
select pg_temp.snapshot() as before \gset
select is(release_ocr_job(:'document', :'token'), false, 'a second release is refused');
select is(pg_temp.snapshot(), :'before', 'and changes nothing');
select is(
    (select c.attempt from claim_ocr_jobs('w-next') as c),
    1,
    'the next claim is the first attempt again'
);

-- Fencing.
select pg_temp.take_over(:'document') as new_token \gset
select pg_temp.snapshot() as before \gset
select is(
    release_ocr_job(:'document', :'token'),
    false,
    'a late release under a lease that was reset and reclaimed is refused (G2)'
);
select is(
    release_ocr_job(:'document', gen_random_uuid()), false, 'a token of nobody''s too'
);
select is(pg_temp.snapshot(), :'before', 'the job stays with its new holder');
select update_ocr_safe(
    :'document', 'scan.pdf', 'a', 90, 1, 1, :'new_token'
) as written \gset
select pg_temp.snapshot() as before \gset
select is(
    release_ocr_job(:'document', :'new_token'), false, 'after the result as well'
);
select is(pg_temp.snapshot(), :'before', 'the result stands');
select is(
    release_ocr_job(gen_random_uuid(), :'token'),
    false,
    'a document that does not exist'
);

-- An expired lease that nobody has taken over may be released.
select pg_temp.add_document() as expired \gset
select pg_temp.claim(:'expired') as expired_token \gset
update ocr_queue set lease_expires_at = now() - interval '1 hour';
select is(
    release_ocr_job(:'expired', :'expired_token'),
    true,
    'an expired lease that nobody has taken over is given back'
);

-- A document whose job was deleted under it gets a new one.
select pg_temp.claim(:'expired') as expired_token \gset
delete from ocr_queue as q where q.document_id = :'expired';
select release_ocr_job(:'expired', :'expired_token') as released \gset
select is(
    pg_temp.state(:'expired'),
    'pending / pending 0 of 3',
    'a document whose job was deleted gets a new one when it is released (G9)'
);

select throws_ok(
    format('select release_ocr_job(%s)', c.arguments), '22023', c.message,
    format('release_ocr_job(%s) is refused (22023)', c.arguments)
)
from (
    values
    ('null, gen_random_uuid()', 'p_document_id must be given, not null'),
    ('gen_random_uuid(), null', 'p_lease_token must be the lease_token that claim_ocr_jobs() returned, not null'),
    ('null, null', 'p_document_id must be given, not null')
) as c (arguments, message);

select * from finish();
rollback;
