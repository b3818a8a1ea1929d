-- That another session has to wait is shown by the isolation specs; here, one session.

begin;
\ir ../fixtures.psql

select plan(18);

select is(lock_resource('nightly report'), true, 'a free lock is taken');
select is(
    (
        select count(*) from pg_locks as l
        where l.locktype = 'advisory' and l.pid = pg_backend_pid() and l.granted
    ),
    1::bigint,
    'it is an advisory lock of this transaction'
);
select is(
    lock_resource('nightly report'), true, 'the same transaction may take it again'
);
select is(
    lock_resource('other', '1 millisecond'), true, 'another name is another lock'
);
select is(lock_resource('third', '1 day'), true, 'with the longest timeout');
select is(current_setting('lock_timeout'), '0', 'lock_timeout is what it was');
select is(lock_resource(repeat('long', 100000)), true, 'a very long name is a name');
savepoint attempt;
select is(lock_resource('undone'), true, 'what is locked');
rollback to savepoint attempt;
select is(
    (
        select count(*) from pg_locks as l
        where
            l.locktype = 'advisory'
            and l.objid::bigint = (
                hashtextextended('ocr_guardrails.lock_resource.undone', 0) & 4294967295
            )
            and l.pid = pg_backend_pid()
    ),
    0::bigint,
    'is let go with the transaction'
);
select throws_ok(
    format('select lock_resource(%s)', c.arguments), '22023', c.message,
    format('lock_resource(%s) is refused (22023)', c.arguments)
)
from (
    values
    ('null', 'p_name must be the name of the resource, not null'),
    ('''''', 'p_name must be the name of the resource, not '),
    (''' ''', 'p_name must be the name of the resource, not  '),
    ('''a'', null', 'p_timeout must be between 0 and 1 day, not null'),
    ('''a'', ''-1 ms''', 'p_timeout must be between 0 and 1 day, not -00:00:00.001'),
    ('''a'', ''-60 s''', 'p_timeout must be between 0 and 1 day, not -00:01:00'),
    ('''a'', ''25 hours''', 'p_timeout must be between 0 and 1 day, not 25:00:00'),
    ('''a'', ''100 years''', 'p_timeout must be between 0 and 1 day, not 100 years')
) as c (arguments, message);
select is(
    (
        select pg_get_function_arguments(p.oid)
        from pg_proc as p
        where p.oid = 'lock_resource'::regproc
    ),
    'p_name text, p_timeout interval DEFAULT ''00:00:00''::interval',
    'it does not wait by default'
);

select * from finish();
rollback;
