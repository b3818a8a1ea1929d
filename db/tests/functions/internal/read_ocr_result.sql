begin;
\ir ../fixtures.psql
select plan(7);

select results_eq(
    $$
        select (r.result).document_id, (r.result).ocr_text, r.problem
        from read_ocr_result(
            '{"document_id": "00000000-0000-0000-0000-000000000001", "ocr_text": "a"}'
        ) as r
    $$,
    $$values ('00000000-0000-0000-0000-000000000001'::uuid, 'a', null::text)$$,
    'an element that can be read is a result without a problem'
);
select results_eq(
    format(
        $$
            select (r.result).document_id, (r.result).lease_token, r.problem
            from read_ocr_result(%L) as r
        $$,
        replace(
            replace(
                c.element, 'DOCUMENT', '"00000000-0000-0000-0000-000000000001"'
            ),
            'TOKEN', '"00000000-0000-0000-0000-000000000002"'
        )
    ),
    format(
        $$
            values (
                '00000000-0000-0000-0000-000000000001'::uuid,
                '00000000-0000-0000-0000-000000000002'::uuid,
                %L
            )
        $$,
        c.problem
    ),
    c.description
)
from (
    values
    (
        '{"document_id": DOCUMENT, "lease_token": TOKEN, "ocr_text": "a\u0000b"}',
        '22P05: unsupported Unicode escape sequence',
        'document and lease are read beside a NUL'
    ),
    (
        '{"document_id": DOCUMENT, "lease_token": TOKEN, "word_count": 1.5}',
        '22P02: invalid input syntax for type integer: "1.5"',
        'and beside a number that is none'
    ),
    (
        '{"document_id": DOCUMENT, "lease_token": TOKEN, "confidence": 1e999}',
        '22003: "1e999" is out of range for type double precision',
        'and beside one that is out of range'
    )
) as c (element, problem, description);
select is(
    (
        select (r.result).document_id
        from read_ocr_result(
            '{"document_id": "00000000-0000-0000-0000-000000000001", "lease_token": "x"}'
        ) as r
    ),
    '00000000-0000-0000-0000-000000000001'::uuid,
    'a document is read whose token is none'
);
select ok(
    (select r.result is null from read_ocr_result('{"document_id": "scan.pdf"}') as r),
    'where nothing can be read there is no result'
);
select isnt(
    (select r.problem from read_ocr_result('5') as r), null, 'but a problem'
);

select * from finish();
rollback;
