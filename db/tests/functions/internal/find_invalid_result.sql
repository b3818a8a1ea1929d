begin;
select plan(4);

select is(
    find_invalid_result(gen_random_uuid(), 'a', '', 0, 0, 0, null), null,
    'the smallest values there are'
);
select is(
    find_invalid_result(
        gen_random_uuid(), '', 'a', 100, 2147483647, 2147483647, repeat('0', 64)
    ),
    null,
    'the largest'
);
select is(
    find_invalid_result(null, null, null, null, null, null, ''),
    'p_document_id must be given, not null',
    'the first argument that is wrong is named'
);
select is(
    find_invalid_result(gen_random_uuid(), 'a', 'a', 'NaN', 0, 0, null),
    'p_confidence must be between 0 and 100, not NaN',
    'NaN is no confidence'
);

select * from finish();
rollback;
