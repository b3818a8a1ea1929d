begin;
select plan(9);

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
-- the others in their order
select is(
    split_part(
        find_invalid_result(
            gen_random_uuid(), c.filename, c.ocr_text, c.confidence, c.words, c.ms, ''
        ),
        ' ', 1
    ),
    c.named,
    format('of what is wrong %s is the first', c.named)
)
from (
    values
    (null, null, null::double precision, null::integer, -1, 'p_expected_filename'),
    ('a', null, null, null, -1, 'p_ocr_text'),
    ('a', 'a', null, null, -1, 'p_confidence'),
    ('a', 'a', 1, null, -1, 'p_word_count'),
    ('a', 'a', 1, 1, -1, 'p_processing_time_ms')
) as c (filename, ocr_text, confidence, words, ms, named);
select is(
    find_invalid_result(gen_random_uuid(), 'a', 'a', 'NaN', 0, 0, null),
    'p_confidence must be between 0 and 100, not NaN',
    'NaN is no confidence'
);

select * from finish();
rollback;
