begin;
\ir ../fixtures.psql
select plan(7);

select pg_temp.add_document() as document \gset
select pg_temp.claim(:'document') as token \gset
select is(lock_live_lease(:'document', :'token'), true, 'the live token');
select is(lock_live_lease(:'document', gen_random_uuid()), false, 'another token');
select is(lock_live_lease(:'document', null), false, 'no token');
select is(lock_live_lease(gen_random_uuid(), :'token'), false, 'another document');
select pg_temp.take_over(:'document') as new_token \gset
select is(lock_live_lease(:'document', :'token'), false, 'the token before (G2)');
select is(lock_live_lease(:'document', :'new_token'), true, 'the token after');
select pg_temp.add_document() as waiting \gset
select is(
    lock_live_lease(:'waiting', null), false, 'no token is no lease where none is live'
);

select * from finish();
rollback;
