-- A text that a document with another file carries (G7). Inlined into the calling
-- statement, like the rules.

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
        is_text_compared(
            list_foreign_texts.p_ocr_text,
            list_foreign_texts.p_word_count,
            list_foreign_texts.p_min_words
        )
        and d.ocr_text_hash = hash_ocr_text(list_foreign_texts.p_ocr_text)
        and d.id <> list_foreign_texts.p_document_id
        and (d.file_hash = list_foreign_texts.p_file_hash) is not true
        and d.ocr_text = list_foreign_texts.p_ocr_text;
end;

comment on function list_foreign_texts is
'Internal. The documents with another file that carry this very text; none for a text of
less than p_min_words words.';
