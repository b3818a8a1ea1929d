begin;
\ir ../functions/fixtures.psql

select plan(5);

create function pg_temp.import(p_text text, p_text_hash bigint default null)
returns uuid
language sql
as $function$
    insert into documents (
        filename, file_hash, ocr_status, ocr_text, ocr_confidence, ocr_word_count,
        ocr_completed_at, ocr_text_hash
    )
    values (
        'import.pdf', repeat('a', 64), 'completed', p_text, 90, 1, now(), p_text_hash
    )
    returning id;
$function$;

-- given: a document that is inserted with its result
select pg_temp.import(
    'one two three four five six seven eight nine ten'
) as imported \gset

-- then
select is(
    (select d.ocr_text_hash from documents as d where d.id = :'imported'),
    hash_ocr_text('one two three four five six seven eight nine ten'),
    'a document that is inserted with its result has the hash of its text'
);
select pg_temp.import('one', 1) as wrong \gset
select is(
    (select d.ocr_text_hash from documents as d where d.id = :'wrong'),
    hash_ocr_text('one'),
    'whatever hash the INSERT gave'
);
select pg_temp.add_document() as empty \gset
select is(
    (select d.ocr_text_hash from documents as d where d.id = :'empty'),
    null,
    'a document without a text has none'
);

-- when: the same text comes for another file
select pg_temp.add_document('other.pdf', repeat('b', 64)) as other \gset
select pg_temp.complete(
    :'other', 'one two three four five six seven eight nine ten'
) as token \gset

-- then
select is(
    pg_temp.incidents(:'other'),
    'foreign_text',
    'an imported text is found when another document offers it (G7)'
);
select is(
    (select i.other_document_id from ocr_incidents as i where i.document_id = :'other'),
    :'imported',
    'with the document that carries it'
);

select * from finish();
rollback;
