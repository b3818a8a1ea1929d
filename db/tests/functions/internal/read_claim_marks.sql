-- Sequences are not transactional: the marks are taken back at the end.

begin;
select plan(4);

select setval('ocr_claim_mark_' || n, 0) from generate_series(0, 10) as n \g /dev/null
select is(
    read_claim_marks(),
    array_fill('-infinity'::timestamptz, array[11]),
    'a mark for each priority'
);
select setval(
    'ocr_claim_mark_' || n,
    (extract(epoch from '2026-03-04 05:06:07.654321+00'::timestamptz) * 1000000)::bigint
    + n
) from generate_series(0, 10) as n \g /dev/null
select is(cardinality(read_claim_marks()), 11, 'from 0 to 10');
select results_eq(
    'select m.n, m.mark from unnest(read_claim_marks()) with ordinality as m (mark, n)',
    $$
        select
            n + 1,
            '2026-03-04 05:06:07.654321+00'::timestamptz + n * interval '1 microsecond'
        from generate_series(0::bigint, 10) as n
    $$,
    'in their order, each to the microsecond'
);
select is(
    (read_claim_marks())[10 + 1],
    '2026-03-04 05:06:07.654331+00'::timestamptz,
    'that of the highest priority is the last'
);

select setval('ocr_claim_mark_' || n, 0) from generate_series(0, 10) as n \g /dev/null
select * from finish();
rollback;
