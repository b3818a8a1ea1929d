begin;
select plan(3);

select throws_ok(
    $$select reject_argument('p_x', 'small', 'big')$$, '22023',
    'p_x must be small, not big', 'argument, range and value are named (22023)'
);
select throws_ok(
    $$select reject_argument('p_x', 'given', null)$$, '22023',
    'p_x must be given, not null', 'null is called null'
);
select throws_ok(
    $$select reject_argument('p_x', 'short', repeat('x', 100000))$$, '22023',
    'p_x must be short, not ' || repeat('x', 200), 'a very long value is cut'
);

select * from finish();
rollback;
