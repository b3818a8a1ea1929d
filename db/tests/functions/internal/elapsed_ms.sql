begin;
select plan(6);

select is(
    elapsed_ms(c.started, c.ended),
    c.expected,
    'from ' || c.started || ' to ' || c.ended
)
from (
    values
    (timestamptz '2026-01-01 00:00', timestamptz '2026-01-01 00:00:01.5', 1500),
    ('2026-01-01 00:00', '2026-01-01 00:00', 0),
    -- a clock that was put back
    ('2026-01-01 00:00:05', '2026-01-01 00:00:01', 0),
    -- more than an integer holds
    ('1926-01-01 00:00', '2026-01-01 00:00', 2147483647)
) as c (started, ended, expected);
select is(elapsed_ms(null, now()), null, 'an attempt that never began has no duration');
select is(elapsed_ms(now(), null), null, 'nor has one that never ended');

select * from finish();
rollback;
