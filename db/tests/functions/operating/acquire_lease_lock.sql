begin;
\ir ../fixtures.psql

select plan(26);

select is(
    acquire_lease_lock('report', 'a', '1 minute'), 1::bigint, 'a new lock: fence 1'
);
select results_eq(
    $$
        select
            l.name, l.owner, l.fence, l.acquired_at >= now(),
            l.expires_at - l.acquired_at
                between interval '59 seconds' and interval '61 seconds'
        from ocr_lease_locks as l
    $$,
    $$values ('report', 'a', 1::bigint, true, true)$$,
    'it is the owner''s until p_ttl from now'
);
select is(
    acquire_lease_lock('report', 'b', '1 minute'), null, 'nobody else gets it meanwhile'
);
select is(
    (select l.owner from ocr_lease_locks as l), 'a', 'and the holder stays who it is'
);
select l.acquired_at as acquired_at from ocr_lease_locks as l \gset
select is(
    acquire_lease_lock('report', 'a', '1 hour'),
    1::bigint,
    'the holder extends it: same fence'
);
select is(
    (
        select l.acquired_at = :'acquired_at'::timestamptz
            and l.expires_at > now() + interval '59 minutes'
        from ocr_lease_locks as l
    ),
    true,
    'until later, since the same time'
);
select is(
    acquire_lease_lock('other', 'b', '7 days'), 1::bigint, 'another name, another lock'
);

-- Expired: the next holder gets a higher fence.
update ocr_lease_locks set expires_at = now() - interval '1 second'
where name = 'report';
select is(
    acquire_lease_lock('report', 'b', '1 minute'),
    2::bigint,
    'expired: the next fence is higher'
);
select is(
    (
        select l.acquired_at > :'acquired_at'::timestamptz
        from ocr_lease_locks as l
        where l.name = 'report'
    ),
    true,
    'and the new holder has it since now'
);
select is(acquire_lease_lock('report', 'a', '1 minute'), null, 'the old holder is out');
select is(
    release_lease_lock('report', 1),
    false,
    'and does not give it back with the old fence'
);
update ocr_lease_locks set expires_at = now() - interval '1 second'
where name = 'report';
select is(
    acquire_lease_lock('report', 'b', '1 minute'),
    3::bigint,
    'its own holder, come too late, is a new holder'
);
select is(release_lease_lock('report', 3), true, 'given back');
select is(
    acquire_lease_lock('report', 'b', '1 millisecond'),
    4::bigint,
    'and taken: higher again'
);
select throws_ok(
    format('select acquire_lease_lock(%s)', c.arguments), '22023', c.message,
    format('acquire_lease_lock(%s) is refused (22023)', c.arguments)
)
from (
    values
    ('null, ''o'', ''1 s''', 'p_name must be the name of the lock, not null'),
    (''''', ''o'', ''1 s''', 'p_name must be the name of the lock, not '),
    ('''n'', null, ''1 s''', 'p_owner must be the name of the holder, not null'),
    ('''n'', '' '', ''1 s''', 'p_owner must be the name of the holder, not  '),
    ('''n'', ''o'', null', 'p_ttl must be between 1 millisecond and 7 days, not null'),
    ('''n'', ''o'', ''0''', 'p_ttl must be between 1 millisecond and 7 days, not 00:00:00'),
    ('''n'', ''o'', ''-60 s''', 'p_ttl must be between 1 millisecond and 7 days, not -00:01:00'),
    ('''n'', ''o'', ''999 us''', 'p_ttl must be between 1 millisecond and 7 days, not 00:00:00.000999'),
    ('''n'', ''o'', ''8 days''', 'p_ttl must be between 1 millisecond and 7 days, not 8 days')
) as c (arguments, message);
select is(
    (select count(*) from ocr_lease_locks as l where l.name not in ('report', 'other')),
    0::bigint,
    'a bad argument makes no lock'
);
select lives_ok(
    $$select acquire_lease_lock(repeat('n', 2000), repeat('o', 100000), '1 s')$$,
    'long names are names'
);
select is(
    (select l.fence from ocr_lease_locks as l where l.name = 'report'),
    4::bigint,
    'the row keeps the highest fence'
);

select * from finish();
rollback;
