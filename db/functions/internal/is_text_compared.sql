-- The offered count is believed when it says that the text is long enough, and checked
-- when it does not: a wrong count must not hide a foreign text (G7).

create or replace function is_text_compared(
    p_ocr_text text,
    p_word_count integer,
    p_min_words integer
)
returns boolean
language sql
immutable
parallel safe
return p_word_count >= p_min_words or regexp_count(p_ocr_text, '\S+') >= p_min_words;

comment on function is_text_compared is
'Internal. Whether a text is long enough to be searched for in other documents.';
