begin;
\ir ../fixtures.psql

select plan(27);

-- given: four leases in hand, the last of them expired but not taken over
insert into documents (filename)
select 'page ' || n from generate_series(1, 4) as n;
create temporary table hand as
select d.filename, d.id, pg_temp.claim(d.id) as token from documents as d;
update ocr_queue
set
    started_at = started_at - interval '1 hour',
    heartbeat_at = heartbeat_at - interval '1 hour',
    lease_expires_at = lease_expires_at - interval '1 minute';
update ocr_queue as q
set lease_expires_at = now() - interval '1 minute'
from hand as h
where h.id = q.document_id and h.filename = 'page 4';

-- when: all are extended at once
create temporary table answer as
select e.*
from extend_ocr_leases(
    (select array_agg(h.id order by h.filename) from hand as h),
    (select array_agg(h.token order by h.filename) from hand as h),
    '10 minutes'
) as e;

-- then
select results_eq(
    $$select a.document_id from answer as a order by a.document_id$$,
    $$select h.id from hand as h order by h.id$$,
    'one heartbeat extends many leases; an expired one that nobody has taken over too'
);
select results_eq(
    $$
        select
            q.document_id, q.lease_expires_at, q.heartbeat_at >= now(),
            q.lease_expires_at - q.heartbeat_at
        from ocr_queue as q
        order by q.document_id
    $$,
    $$
        select a.document_id, a.lease_expires_at, true, interval '10 minutes'
        from answer as a
        order by a.document_id
    $$,
    'each lasts p_lease from now, and the heartbeat is now'
);
select is(
    (select count(*) from ocr_queue as q where q.started_at > now() - interval '30 minutes'),
    0::bigint,
    'the start of the attempt stays what it was'
);
select e.lease_expires_at from hand as h
cross join lateral extend_ocr_leases(array[h.id], array[h.token]) as e
where h.filename = 'page 1' \gset
select is(
    (
        select q.lease_expires_at - q.heartbeat_at
        from ocr_queue as q
        inner join hand as h on h.id = q.document_id
        where h.filename = 'page 1'
    ),
    interval '5 minutes',
    'without p_lease a lease lasts as long as in the settings'
);
update ocr_settings set default_lease = '3 minutes';
select e.lease_expires_at from hand as h
cross join lateral extend_ocr_leases(array[h.id], array[h.token]) as e
where h.filename = 'page 1' \gset
select is(
    (
        select q.lease_expires_at - q.heartbeat_at
        from ocr_queue as q
        inner join hand as h on h.id = q.document_id
        where h.filename = 'page 1'
    ),
    interval '3 minutes',
    'as they are set'
);

-- Fencing: page 1 is another worker's by now, page 2 is completed, page 3 deleted.
select pg_temp.take_over(h.id) as new_token from hand as h
where h.filename = 'page 1' \gset
select update_ocr_safe(h.id, h.filename, 'a', 90, 1, 1, h.token) as written
from hand as h
where h.filename = 'page 2' \gset
delete from documents as d where d.filename = 'page 3';
update ocr_queue set heartbeat_at = heartbeat_at - interval '1 minute'
where status = 'processing';
select q.heartbeat_at as before
from ocr_queue as q
inner join hand as h on h.id = q.document_id
where h.filename = 'page 1' \gset
select pg_temp.snapshot() as snapshot \gset
select is(
    (
        select string_agg(d.filename, ', ')
        from extend_ocr_leases(
            (select array_agg(h.id) from hand as h where h.filename <> 'page 4'),
            (select array_agg(h.token) from hand as h where h.filename <> 'page 4')
        ) as e
        inner join documents as d on d.id = e.document_id
    ),
    null,
    'leases that were taken over, written or deleted are missing from the answer (G2)'
);
select is(
    pg_temp.snapshot(),
    :'snapshot',
    'and nothing changes: a stranger''s lease is not kept alive'
);
select is(
    (
        select string_agg(d.filename, ', ')
        from extend_ocr_leases(
            (select array_agg(h.id) from hand as h),
            (select array_agg(h.token) from hand as h)
        ) as e
        inner join documents as d on d.id = e.document_id
    ),
    'page 4',
    'lost ones do not keep the live one in the same call from being extended'
);
select is(
    (
        select count(e.document_id)
        from hand as h
        cross join lateral extend_ocr_leases(
            array[h.id, h.id], array[h.token, gen_random_uuid()]
        ) as e
        where h.filename = 'page 4'
    ),
    1::bigint,
    'a document that comes twice is answered once, if one of its tokens is live'
);
select is_empty(
    format(
        $$
            select e.*
            from hand as h
            inner join hand as o on o.filename = 'page 4'
            cross join lateral extend_ocr_leases(array[h.id], array[o.token]) as e
            where h.filename = 'page 1'
        $$
    ),
    'the live token of another document extends nothing'
);

-- A lease that was reset to pending and not claimed again is lost as well.
select pg_temp.add_document('reset.pdf') as reset \gset
select pg_temp.claim(:'reset') as reset_token \gset
select pg_temp.expire(:'reset');
select is_empty(
    format(
        $$select * from extend_ocr_leases(array[%L::uuid], array[%L::uuid])$$,
        :'reset', :'reset_token'
    ),
    'a lease that returned to the queue cannot be extended (G2)'
);

-- A document whose job was deleted has nothing to extend.
select pg_temp.add_document('jobless.pdf') as jobless \gset
select pg_temp.claim(:'jobless') as jobless_token \gset
delete from ocr_queue as q where q.document_id = :'jobless';
select is_empty(
    format(
        $$select * from extend_ocr_leases(array[%L::uuid], array[%L::uuid])$$,
        :'jobless', :'jobless_token'
    ),
    'a lease without a job is missing from the answer'
);
select is_empty($$select * from extend_ocr_leases('{}', '{}')$$, 'nothing to extend');

-- A dead job beside the live one, as a plain INSERT leaves it.
select pg_temp.add_document('beside.pdf') as beside \gset
select pg_temp.kill(:'beside') as beside_token \gset
insert into ocr_queue (document_id) values (:'beside');
select c.lease_token as beside_token from claim_ocr_jobs('w-two', 100) as c
where c.document_id = :'beside' \gset
select is(
    (
        select count(e.document_id)
        from extend_ocr_leases(
            array[:'beside'::uuid], array[:'beside_token'::uuid]
        ) as e
    ),
    1::bigint,
    'of a dead job and a live one the live one is extended'
);

-- Bad arguments.
select pg_temp.snapshot() as snapshot \gset
select throws_ok(
    'select * from extend_ocr_leases(' || c.arguments || ')', '22023', c.message,
    format('extend_ocr_leases(%s) is refused (22023)', left(c.arguments, 80))
)
from (
    values
    ('null, ''{}''', 'p_document_ids must be an array of up to 10000 ids without nulls, not null'),
    ('array[null::uuid], array[gen_random_uuid()]', 'p_document_ids must be an array of up to 10000 ids without nulls, not 1 elements'),
    ('array[gen_random_uuid(), null], array[gen_random_uuid(), gen_random_uuid()]', 'p_document_ids must be an array of up to 10000 ids without nulls, not 2 elements'),
    ('array_fill(gen_random_uuid(), array[10001]), array_fill(gen_random_uuid(), array[10001])', 'p_document_ids must be an array of up to 10000 ids without nulls, not 10001 elements'),
    ('''{}'', null', 'p_lease_tokens must be one token, not null, for each of p_document_ids, not null'),
    ('array[gen_random_uuid()], ''{}''', 'p_lease_tokens must be one token, not null, for each of p_document_ids, not 0 elements'),
    ('''{}'', array[gen_random_uuid()]', 'p_lease_tokens must be one token, not null, for each of p_document_ids, not 1 elements'),
    ('array[gen_random_uuid()], array[null::uuid]', 'p_lease_tokens must be one token, not null, for each of p_document_ids, not 1 elements'),
    ('''{}'', ''{}'', ''0''', 'p_lease must be null or between 1 second and 1 day, not 00:00:00'),
    ('''{}'', ''{}'', ''999 ms''', 'p_lease must be null or between 1 second and 1 day, not 00:00:00.999'),
    ('''{}'', ''{}'', ''-60 s''', 'p_lease must be null or between 1 second and 1 day, not -00:01:00'),
    ('''{}'', ''{}'', ''25 hours''', 'p_lease must be null or between 1 second and 1 day, not 25:00:00')
) as c (arguments, message);
select is(pg_temp.snapshot(), :'snapshot', 'a bad argument changes nothing');

select * from finish();
rollback;
