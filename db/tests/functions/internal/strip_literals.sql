begin;
select plan(14);

select is(strip_literals(c.given), c.wanted, c.says)
from (
    values
    ('select 1', 'select ?', 'a number goes'),
    ('set a = ''x'', b = ''it''''s''', 'set a = ?, b = ?', 'texts go'),
    ('set a = e''it\''s'' where', 'set a = ? where', 'a text with escapes too'),
    ('set a = ''never closed', 'set a = ?', 'a text that the cut has opened'),
    ('set a = $$x 1$$, b = $t$y$t$ where', 'set a = ?, b = ? where', 'dollar quotes'),
    ('set a = $$it''s$$, b = 1', 'set a = ?', 'rather too much goes than too little'),
    ('where id = $1 and n = -1.5e-3', 'where id = $1 and n = ?', 'parameters stay'),
    ('update t2 set a1 = 3', 'update t2 set a1 = ?', 'names keep their numbers'),
    (e'  a\n\t b  ', 'a b', 'one line'),
    ('', '', 'nothing is nothing'),
    (null, null, 'null is null')
) as c (given, wanted, says);
select is(
    length(strip_literals(repeat('a b ', 10000))), 500, '500 characters are kept'
);
select unalike(
    strip_literals('update documents set ocr_text = ''' || repeat('secret ', 5000)),
    '%secret%',
    'nothing of a text that is longer than what is looked at'
);
select is(
    strip_literals('select ''a'' from t where b = ''' || repeat('x', 400) || ''''),
    strip_literals('select ''b'' from t where b = ''y'''),
    'two runs of the same code are the same statement'
);

select * from finish();
rollback;
