begin;
\ir ../fixtures.psql
select plan(10);

-- given: one text on three files, of which one is not known
select 'a b c d e f g h i j k l' as text \gset
select pg_temp.add_document('one.pdf', repeat('a', 64)) as one \gset
select pg_temp.complete(:'one', :'text') as token \gset
select pg_temp.add_document('two.pdf', repeat('b', 64)) as two \gset
select pg_temp.complete(:'two', :'text') as token \gset
select pg_temp.add_document('unknown.pdf') as unknown \gset
select pg_temp.complete(:'unknown', :'text') as token \gset
select pg_temp.add_document('mine.pdf', repeat('a', 64)) as mine \gset

create function pg_temp.list_foreign(
    p_document_id uuid,
    p_file_hash text,
    p_text text default 'a b c d e f g h i j k l',
    p_word_count integer default 12,
    p_min_words integer default 10
)
returns text
language sql
as $function$
    select string_agg(d.filename, ' ' order by d.filename)
    from list_foreign_texts(
        p_document_id, p_file_hash, p_text, p_word_count, p_min_words
    ) as f (id)
    inner join documents as d on d.id = f.id;
$function$;

select is(
    pg_temp.list_foreign(:'mine', repeat('a', 64)),
    'two.pdf unknown.pdf',
    'the documents that carry the text, but those with the same file (G7)'
);
select is(
    pg_temp.list_foreign(:'mine', null),
    'one.pdf two.pdf unknown.pdf',
    'a document whose file is not known has its file with none'
);
select is(
    pg_temp.list_foreign(:'mine', repeat('c', 64)),
    'one.pdf two.pdf unknown.pdf',
    'with another file all are foreign'
);
select is(
    pg_temp.list_foreign(:'two', repeat('c', 64)),
    'one.pdf unknown.pdf',
    'the document itself is not foreign, whatever its file is said to be'
);
select is(
    pg_temp.list_foreign(:'mine', repeat('a', 64), 'a b c d e f g h i j k L'),
    null,
    'a text that differs in one letter is carried by none'
);
select is(
    pg_temp.list_foreign(:'mine', repeat('a', 64), p_min_words => 13),
    null,
    'a text that is too short is not looked for'
);
select is(
    pg_temp.list_foreign(:'mine', repeat('a', 64), p_word_count => 1),
    'two.pdf unknown.pdf',
    'a count that is too low hides no text (G7)'
);
select is(
    pg_temp.list_foreign(:'mine', repeat('a', 64), null, null), null, 'nor is null'
);

-- Two texts may share a hash: only the texts decide.
alter table documents disable trigger trigger_validate_ocr_consistency;
update documents as d set ocr_text = 'm n o p q r s t u v w x'
where d.id = :'two';
alter table documents enable trigger trigger_validate_ocr_consistency;
select is(
    (select d.ocr_text_hash from documents as d where d.id = :'two'),
    hash_ocr_text(:'text'),
    'another text that has the same hash'
);
select is(
    pg_temp.list_foreign(:'mine', repeat('a', 64)),
    'unknown.pdf',
    'is not this text (G7)'
);

select * from finish();
rollback;
