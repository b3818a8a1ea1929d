begin;
\ir ../fixtures.psql
select plan(9);

create function pg_temp.fail_rejected(p_document_id uuid, p_token uuid)
returns void
language sql
as $function$
    select fail_rejected_job(
        row(
            p_document_id, null, null, null, null, null, p_token, null, null
        )::ocr_result,
        'why'
    );
$function$;
select pg_temp.add_document() as document \gset
select pg_temp.claim(:'document') as token \gset
select pg_temp.snapshot() as before \gset
select pg_temp.fail_rejected(:'document', gen_random_uuid());
select pg_temp.fail_rejected(null, :'token');
select pg_temp.fail_rejected(gen_random_uuid(), :'token');
select pg_temp.fail_rejected(gen_random_uuid(), null);
select is(pg_temp.snapshot(), :'before', 'without the lease nothing fails (G2)');
select pg_temp.fail_rejected(:'document', :'token');
select is(
    pg_temp.state(:'document'),
    'pending / pending 1 of 3',
    'with it the attempt is spent'
);
select is(
    (select h.error_class || ': ' || h.error from ocr_job_history as h),
    'document: why',
    'by class document'
);
select pg_temp.claim(:'document') as token \gset
select pg_temp.snapshot() as before \gset
select pg_temp.fail_rejected(:'document', null);
select is(
    pg_temp.snapshot(), :'before', 'without a token not where it was claimed twice'
);
select pg_temp.add_document() as first_claim \gset
select pg_temp.claim(:'first_claim') as token \gset
update ocr_settings set require_lease_token = true;
select pg_temp.snapshot() as before \gset
select pg_temp.fail_rejected(:'first_claim', null);
select is(pg_temp.snapshot(), :'before', 'nor where require_lease_token is on');
update ocr_settings set require_lease_token = false;
select pg_temp.fail_rejected(:'first_claim', null);
select is(
    pg_temp.state(:'first_claim'),
    'pending / pending 1 of 3',
    'but on the first and only claim'
);
select pg_temp.snapshot() as before \gset
select pg_temp.fail_rejected(:'first_claim', null);
select is(pg_temp.snapshot(), :'before', 'once');
-- of several documents that were claimed once, each its own
select pg_temp.add_document('one') as one \gset
select pg_temp.add_document('two') as two \gset
select pg_temp.claim(:'one') as token \gset
select pg_temp.claim(:'two') as token \gset
select pg_temp.fail_rejected(:'two', null);
select pg_temp.fail_rejected(:'one', null);
select is(
    pg_temp.state(:'one') || '; ' || pg_temp.state(:'two'),
    'pending / pending 1 of 3; pending / pending 1 of 3',
    'each document''s own job'
);
select is(
    (select count(*) from ocr_incidents), 0::bigint, 'it leaves no incident of its own'
);

select * from finish();
rollback;
