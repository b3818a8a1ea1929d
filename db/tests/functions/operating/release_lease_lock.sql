begin;
\ir ../fixtures.psql

select plan(9);

select acquire_lease_lock('report', 'a', '1 hour') as fence \gset
select is(
    release_lease_lock('report', :fence + 1), false, 'a fence that is not the holder''s'
);
select is(release_lease_lock('other', :fence), false, 'a lock that nobody ever took');
select is(acquire_lease_lock('report', 'b', '1 hour'), null, 'neither frees the lock');
select is(release_lease_lock('report', :fence), true, 'the holder gives it back');
select is(release_lease_lock('report', :fence), false, 'once');
select is(
    acquire_lease_lock('report', 'b', '1 hour'),
    :fence + 1::bigint,
    'it is free, and its row remembers the fence'
);
update ocr_lease_locks set expires_at = now() - interval '1 second';
select is(
    release_lease_lock('report', :fence + 1),
    false,
    'a lock that has expired is no longer held'
);
select throws_ok(
    $$select release_lease_lock(null, 1)$$, '22023',
    'p_name must be the name of the lock, not null', 'no name'
);
select throws_ok(
    $$select release_lease_lock('report', null)$$, '22023',
    'p_fence must be the fence that acquire_lease_lock() returned, not null', 'no fence'
);

select * from finish();
rollback;
