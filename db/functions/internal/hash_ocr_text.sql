-- The trigger that stores the hash and the search for foreign texts must agree on it.

create or replace function hash_ocr_text(p_text text)
returns bigint
language sql
immutable
strict
parallel safe
return hashtextextended(p_text, 0);

comment on function hash_ocr_text is
'Internal. 64-bit hash of a text, for documents.ocr_text_hash. Equal texts have equal
hashes; a hit is confirmed by comparing the texts.';
