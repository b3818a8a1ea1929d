begin;
\ir ../fixtures.psql
select plan(7);

select pg_temp.add_document() as document \gset
select pg_temp.claim(:'document') as token \gset
select is(is_lease_live(:'document', :'token'), true, 'the live token');
select is(is_lease_live(:'document', gen_random_uuid()), false, 'another token');
select is(is_lease_live(:'document', null), false, 'no token');
select is(is_lease_live(gen_random_uuid(), :'token'), false, 'another document');
select pg_temp.take_over(:'document') as new_token \gset
select is(is_lease_live(:'document', :'token'), false, 'the token before (G2)');
select is(is_lease_live(:'document', :'new_token'), true, 'the token after');
select pg_temp.add_document() as waiting \gset
select is(is_lease_live(:'waiting', null), false, 'no token is no lease where none is live');

select * from finish();
rollback;
