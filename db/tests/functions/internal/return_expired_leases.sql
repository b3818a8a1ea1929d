begin;
\ir ../fixtures.psql
select plan(6);

insert into documents (filename) select 'page ' || n from generate_series(1, 4) as n;
select pg_temp.claim(d.id) from documents as d \g /dev/null
update ocr_queue as q set lease_expires_at = now() - interval '1 second'
from documents as d where d.id = q.document_id and d.filename in ('page 1', 'page 2');
update ocr_queue as q set attempts = 3
from documents as d where d.id = q.document_id and d.filename in ('page 2', 'page 3');
select is(return_expired_leases(), 2, 'expired leases are returned, and counted');
select is(
    (
        select string_agg(
            d.filename || ': ' || pg_temp.state(d.id), ', ' order by d.filename
        )
        from documents as d
    ),
    'page 1: pending / pending 1 of 3, page 2: failed / failed 3 of 3, '
    'page 3: processing / processing 3 of 3, page 4: processing / processing 1 of 3',
    'to pending, or to failed where attempts are used up (G9)'
);
select is(return_expired_leases(), 0, 'nothing more has expired');
update ocr_queue set lease_expires_at = now() - interval '1 second'
where status = 'processing';
select is(
    return_expired_leases(), 2, 'what has expired since is returned by the next look'
);
select is(
    (select count(*) from ocr_job_history as h where h.outcome = 'expired'),
    4::bigint,
    'each is in the history (G10)'
);
select is(
    (select count(*) from documents as d where d.ocr_lease_token is not null),
    0::bigint,
    'and no lease is left (G2)'
);

select * from finish();
rollback;
