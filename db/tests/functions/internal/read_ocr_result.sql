begin;
\ir ../fixtures.psql
select plan(10);

select is(
    (
        select format(
            '%s, %s, %s', right(r.document_id::text, 1), r.ocr_text, r.word_count
        )
        from read_ocr_result(
            '{"document_id": "00000000-0000-0000-0000-000000000001",'
            ' "ocr_text": "a", "word_count": 1}'
        ) as r
    ),
    '1, a, 1',
    'an element that can be read is a result'
);
select is(
    (
        select
            format(
                '%s, %s, %s',
                right(r.document_id::text, 1), right(r.lease_token::text, 1), r.ocr_text
            )
        from read_ocr_result(
            replace(
                replace(
                    c.element, 'DOCUMENT', '"00000000-0000-0000-0000-000000000001"'
                ),
                'TOKEN', '"00000000-0000-0000-0000-000000000002"'
            )::json
        ) as r
    ),
    c.expected,
    c.description
)
from (
    values
    (
        '{"document_id": DOCUMENT, "lease_token": TOKEN, "ocr_text": "a\u0000b"}',
        '1, 2, ab',
        'document and lease are read beside a NUL'
    ),
    (
        '{"document_id": DOCUMENT, "lease_token": TOKEN, "ocr_text": "a\ud800b"}',
        '1, 2, ab',
        'and beside half a surrogate pair'
    ),
    (
        '{"document_id": DOCUMENT, "lease_token": TOKEN, "ocr_text": '
        '"\ud83d\ude00\u0000"}',
        '1, 2, ' || U&'\+01F600',
        'whole pairs stay'
    ),
    (
        '{"document_id": DOCUMENT, "lease_token": TOKEN, "ocr_text": "\\u0000\u0000"}',
        '1, 2, \u0000',
        'and so does an escaped backslash before u0000'
    ),
    (
        '{"document_id": DOCUMENT, "lease_token": TOKEN, "word_count": 1.5}',
        '1, 2, ',
        'and beside a number that is none'
    ),
    (
        '{"document_id": DOCUMENT, "lease_token": TOKEN, "confidence": 1e999}',
        '1, 2, ',
        'and beside one that is out of range'
    ),
    (
        '{"document_id": DOCUMENT, "lease_token": "x"}',
        '1, , ',
        'a document is read whose token is none'
    )
) as c (element, expected, description);
select ok(
    (select r is null from read_ocr_result('{"document_id": "scan.pdf"}') as r),
    'where nothing can be read there is no result'
);
select ok(
    (select r is null from read_ocr_result('5') as r), 'nor in what is no object'
);

select * from finish();
rollback;
