begin;
select plan(9);

select is(are_sha256_digits(c.hash), c.expected, c.description)
from (
    values
    (repeat('0123456789abcdef', 4), true, '64 lower-case hexadecimal digits'),
    (encode(sha256('a'), 'hex'), true, 'what encode(sha256(...), ''hex'') gives'),
    (repeat('A', 64), false, 'not upper-case ones'),
    (repeat('a', 63), false, 'not one less'),
    (repeat('a', 65), false, 'not one more'),
    (repeat('a', 63) || 'g', false, 'not another letter'),
    (repeat('a', 63) || e'\n', false, 'not 63 and the end of a line'),
    ('', false, 'not an empty text'),
    (null, null, 'nothing can be said of null')
) as c (hash, expected, description);

select * from finish();
rollback;
