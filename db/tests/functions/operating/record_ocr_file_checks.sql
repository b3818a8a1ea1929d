begin;
\ir ../fixtures.psql

select plan(23);

select pg_temp.add_document('there.pdf', repeat('a', 64)) as there \gset
select pg_temp.add_document('gone.pdf', repeat('b', 64)) as gone \gset
select is(
    record_ocr_file_checks(
        array[:'there', :'gone']::uuid[],
        array[true, false],
        array[repeat('a', 64), null]
    ),
    2,
    'what a look at two files found is recorded'
);
select results_eq(
    $$
        select d.filename, c.present, c.actual_hash, c.checked_at >= now()
        from ocr_file_checks as c
        inner join documents as d on d.id = c.document_id
        order by d.filename
    $$,
    $$
        values
        ('gone.pdf', false, null, true), ('there.pdf', true, repeat('a', 64), true)
    $$,
    'present, hash and time'
);
update ocr_file_checks set checked_at = now() - interval '1 day';
select is(
    record_ocr_file_checks(array[:'gone']::uuid[], array[true], array[repeat('c', 64)]),
    1,
    'the last look counts'
);
select results_eq(
    format(
        $$
            select c.present, c.actual_hash, c.checked_at >= now()
            from ocr_file_checks as c
            where c.document_id = %L
        $$,
        :'gone'
    ),
    $$values (true, repeat('c', 64), true)$$,
    'it takes the place of the one before'
);
select is(
    record_ocr_file_checks(
        array[:'there', :'there']::uuid[],
        array[false, true],
        array[null, repeat('d', 64)]
    ),
    1,
    'a document twice in one call is one'
);
select is(
    (select c.actual_hash from ocr_file_checks as c where c.document_id = :'there'),
    repeat('d', 64),
    'the later one'
);
select is(
    record_ocr_file_checks(
        array['00000000-0000-0000-0000-000000000000']::uuid[], array[true],
        array[null::text]
    ),
    0,
    'a document that does not exist is passed over'
);
select is(record_ocr_file_checks('{}', '{}', '{}'), 0, 'nothing to record');
delete from documents;
select is(
    (select count(*) from ocr_file_checks), 0::bigint, 'it goes with its document'
);

select pg_temp.add_document() as document \gset
select throws_ok(
    format(
        'select record_ocr_file_checks(%s)',
        replace(c.arguments, 'D', quote_literal(:'document'))
    ),
    '22023', c.message,
    format('record_ocr_file_checks(%s) is refused (22023)', c.arguments)
)
from (
    values
    ('null, ''{}'', ''{}''', 'p_document_ids must be an array of up to 10000 ids without nulls, not null'),
    ('array[null::uuid], array[true], array[null::text]', 'p_document_ids must be an array of up to 10000 ids without nulls, not 1 elements'),
    ('array_fill(gen_random_uuid(), array[10001]), ''{}'', ''{}''', 'p_document_ids must be an array of up to 10000 ids without nulls, not 10001 elements'),
    ('''{}'', null, ''{}''', 'p_present must be true or false for each of p_document_ids, not null'),
    ('array[D::uuid], ''{}'', array[null::text]', 'p_present must be true or false for each of p_document_ids, not 0 elements'),
    ('array[D::uuid], array[null::boolean], array[null::text]', 'p_present must be true or false for each of p_document_ids, not 1 elements'),
    ('''{}'', array[true], ''{}''', 'p_present must be true or false for each of p_document_ids, not 1 elements'),
    ('''{}'', ''{}'', null', 'p_actual_hashes must be null or a SHA-256 in 64 lower-case hexadecimal digits for each of p_document_ids, not null'),
    ('array[D::uuid], array[true], ''{}''', 'p_actual_hashes must be null or a SHA-256 in 64 lower-case hexadecimal digits for each of p_document_ids, not {}'),
    ('array[D::uuid], array[true], array['''']', 'p_actual_hashes must be null or a SHA-256 in 64 lower-case hexadecimal digits for each of p_document_ids, not {""}'),
    ('array[D::uuid], array[true], array[repeat(''A'', 64)]', 'p_actual_hashes must be null or a SHA-256 in 64 lower-case hexadecimal digits for each of p_document_ids, not {' || repeat('A', 64) || '}'),
    ('array[D::uuid], array[true], array[''abc'']', 'p_actual_hashes must be null or a SHA-256 in 64 lower-case hexadecimal digits for each of p_document_ids, not {abc}')
) as c (arguments, message);
select is(
    (select count(*) from ocr_file_checks), 0::bigint, 'a bad argument records nothing'
);
select lives_ok(
    format(
        'select record_ocr_file_checks('
        'array[%L::uuid], array[true], array[null::text])',
        :'document'
    ),
    'a file that was seen but not read'
);

select * from finish();
rollback;
