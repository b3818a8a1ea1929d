-- A text that a document with another file carries (G7). Inlined into the calling
-- statement, like the rules.
-- A parameter has no table that it could be qualified with, hence the noqa.

create or replace function list_foreign_texts(
    p_document_id documents.id%type,
    p_file_hash text,
    p_ocr_text text,
    p_word_count integer,
    p_min_words integer
)
returns setof documents.id%type
language sql
stable
begin atomic
    select d.id
    from documents as d
    where
        is_text_compared(p_ocr_text, p_word_count, p_min_words)  -- noqa: RF03
        and d.ocr_text_hash = hash_ocr_text(p_ocr_text)  -- noqa: RF03
        and d.id <> p_document_id  -- noqa: RF03
        and (d.file_hash = p_file_hash) is not true  -- noqa: RF03
        and d.ocr_text = p_ocr_text;  -- noqa: RF03
end;

comment on function list_foreign_texts is
'Internal. The documents with another file that carry this very text; none for a text of
less than p_min_words words.';
