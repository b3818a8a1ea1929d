begin;
select plan(4);

select is(
    hash_ocr_text('a text'), hash_ocr_text('a text'), 'equal texts have equal hashes'
);
select isnt(
    hash_ocr_text('a text'), hash_ocr_text('a text '), 'a blank makes another text'
);
select is(hash_ocr_text(null), null, 'no text, no hash');
-- Stored in documents.ocr_text_hash: another value would need a migration.
select is(
    hash_ocr_text('one two three'), 8899966770115917440,
    'the hash of a text is the same on every server'
);

select * from finish();
rollback;
