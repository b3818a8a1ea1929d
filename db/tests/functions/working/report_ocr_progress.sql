begin;
\ir ../fixtures.psql

select plan(29);

select pg_temp.add_document() as document \gset
select pg_temp.claim(:'document') as token \gset
update ocr_queue
set
    started_at = started_at - interval '1 hour',
    heartbeat_at = heartbeat_at - interval '1 hour';
select q.lease_expires_at as lease_end from ocr_queue as q \gset

select is(
    report_ocr_progress(:'document', :'token', 3, 10),
    true,
    'the live lease reports pages'
);
select results_eq(
    $$
        select
            q.progress_current, q.progress_total, q.heartbeat_at >= now(),
            q.lease_expires_at
        from ocr_queue as q
    $$,
    format($$values (3, 10, true, %L::timestamptz)$$, :'lease_end'),
    'pages and a sign of life are noted; the lease is not extended'
);
select is(report_ocr_progress(:'document', :'token', 0, 0), true, 'none of no pages');
select is(report_ocr_progress(:'document', :'token', 10, 10), true, 'all pages');
select is(
    report_ocr_progress(:'document', :'token', 2147483647, 2147483647),
    true,
    'the longest document there is'
);
update ocr_queue set lease_expires_at = now() - interval '1 hour';
select is(
    report_ocr_progress(:'document', :'token', 1, 10),
    true,
    'an expired lease that nobody has taken over reports'
);

-- Fencing.
select pg_temp.take_over(:'document') as new_token \gset
select results_eq(
    $$select q.progress_current, q.progress_total from ocr_queue as q$$,
    $$values (null::integer, null::integer)$$,
    'a new claim begins without pages'
);
select pg_temp.snapshot() as before \gset
select is(
    report_ocr_progress(:'document', :'token', 9, 10),
    false,
    'late progress under a lease that was reset and reclaimed is refused (G2)'
);
select is(
    report_ocr_progress(:'document', gen_random_uuid(), 9, 10),
    false,
    'and so is a token that is nobody''s'
);
select is(pg_temp.snapshot(), :'before', 'nothing of it is noted');
select is(
    report_ocr_progress(:'document', :'new_token', 1, 5), true, 'the new one reports'
);
select update_ocr_safe(
    :'document', 'scan.pdf', 'a', 90, 1, 1, :'new_token'
) as written \gset
select is(
    report_ocr_progress(:'document', :'new_token', 5, 5),
    false,
    'after the result there is nothing to report'
);
select is(
    report_ocr_progress(gen_random_uuid(), :'token', 1, 5),
    false,
    'a document that does not exist'
);
select pg_temp.add_document() as jobless \gset
select pg_temp.claim(:'jobless') as jobless_token \gset
delete from ocr_queue as q where q.document_id = :'jobless';
select is(
    report_ocr_progress(:'jobless', :'jobless_token', 1, 5),
    false,
    'a document whose job was deleted'
);

-- A dead job beside the live one, as a plain INSERT leaves it.
select pg_temp.add_document('beside.pdf') as beside \gset
select pg_temp.kill(:'beside') as beside_token \gset
insert into ocr_queue (document_id) values (:'beside');
select c.lease_token as beside_token from claim_ocr_jobs('w-two', 100) as c
where c.document_id = :'beside' \gset
select report_ocr_progress(:'beside', :'beside_token', 1, 5) as reported \gset
select is(
    (
        select string_agg(q.status, ', ')
        from ocr_queue as q
        where q.document_id = :'beside' and q.progress_total = 5
    ),
    'processing',
    'of a dead job and a live one the live one has the progress'
);

-- Bad arguments.
select pg_temp.snapshot() as before \gset
select throws_ok(
    format(
        'select report_ocr_progress(%s)',
        replace(c.arguments, 'D', quote_literal(:'jobless'))
    ),
    '22023', c.message,
    format('report_ocr_progress(%s) is refused (22023)', c.arguments)
)
from (
    values
    ('null, gen_random_uuid(), 1, 1', 'p_document_id must be given, not null'),
    ('D, null, 1, 1', 'p_lease_token must be the lease_token that claim_ocr_jobs() returned, not null'),
    ('D, gen_random_uuid(), null, 1', 'p_current must be between 0 and p_total (1), not null'),
    ('D, gen_random_uuid(), 1, null', 'p_total must be zero or more, not null'),
    ('D, gen_random_uuid(), -1, 1', 'p_current must be between 0 and p_total (1), not -1'),
    ('D, gen_random_uuid(), 2, 1', 'p_current must be between 0 and p_total (1), not 2'),
    ('D, gen_random_uuid(), 0, -1', 'p_total must be zero or more, not -1'),
    ('D, gen_random_uuid(), -60, -60', 'p_total must be zero or more, not -60'),
    ('D, gen_random_uuid(), 2147483647, 2147483646', 'p_current must be between 0 and p_total (2147483646), not 2147483647')
) as c (arguments, message);
select is(pg_temp.snapshot(), :'before', 'a bad argument changes nothing');

-- Heartbeats and progress must not touch an index, or the table bloats.
select is_empty(
    $$
        select i.indexrelid::regclass
        from pg_index as i
        inner join pg_attribute as a on a.attrelid = i.indrelid
        where
            i.indrelid = 'ocr_queue'::regclass
            and a.attname in (
                'heartbeat_at', 'lease_expires_at', 'progress_current', 'progress_total'
            )
            and (
                a.attnum = any(i.indkey)
                or pg_get_indexdef(i.indexrelid) like '%' || a.attname || '%'
            )
    $$,
    'no index of ocr_queue holds a heartbeat, a lease or progress'
);
select pg_temp.add_document('hot.pdf') as hot \gset
select pg_temp.claim(:'hot') as hot_token \gset
select pg_stat_get_xact_tuples_hot_updated('ocr_queue'::regclass) as hot_before \gset
select report_ocr_progress(:'hot', :'hot_token', 1, 5) as reported \gset
select is(
    pg_stat_get_xact_tuples_hot_updated('ocr_queue'::regclass) - :'hot_before'::bigint,
    1::bigint,
    'a report is a HOT update'
);
select is(
    (select count(*) from ocr_job_history as h where h.document_id = :'hot'),
    0::bigint,
    'progress is no attempt: the history has no row'
);
select is(
    (select count(*) from ocr_incidents),
    0::bigint,
    'a report that is refused leaves no incident: nothing was written'
);

select * from finish();
rollback;
