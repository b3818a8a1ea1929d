-- The rules for offering a result (G1, G2, G4, G6), written once. The functions call it
-- with the locked row and the settings; the trigger calls it with the old row, the new
-- row and a lease that must be given. Inlined into the calling statement: no call, no
-- lookup.
-- The order is part of the contract: the first rule that applies is the outcome.

create or replace function judge_ocr_result(
    p_ocr_status text,
    p_live_token uuid,
    p_result_token uuid,
    p_claims integer,
    p_filename text,
    p_file_hash text,
    p_offered_token uuid,
    p_expected_filename text,
    p_source_hash text,
    p_ocr_text text,
    p_confidence double precision,
    p_word_count integer,
    p_require_lease_token boolean,
    p_require_source_hash boolean,
    p_word_count_tolerance numeric
)
returns text
language sql
immutable
parallel safe
return case
    when p_ocr_status is null
        then 'document_missing'
    when p_ocr_status = 'completed' and p_result_token = p_offered_token
        then 'already_written'
    when p_ocr_status = 'completed'
        then 'already_completed'
    when p_ocr_status <> 'processing' or p_offered_token <> p_live_token
        then 'stale_lease'
    when p_offered_token is null and (p_claims > 1 or p_require_lease_token)
        then 'lease_required'
    when p_filename is distinct from p_expected_filename
        then 'filename_mismatch'
    when
        p_source_hash <> p_file_hash
        or (p_source_hash is null and p_require_source_hash)
        then 'source_mismatch'
    -- most texts show a word at their beginning, and the whole need not be looked at
    when
        p_confidence > 50
        and left(p_ocr_text, 50) !~ '\S'
        and p_ocr_text !~ '\S'
        then 'implausible_result'
    -- a character has four bytes at most, and counting bytes costs nothing
    when
        p_word_count > octet_length(p_ocr_text) / 4
        and p_word_count > length(p_ocr_text)
        then 'implausible_result'
    when
        p_word_count_tolerance is not null
        and abs(p_word_count - regexp_count(p_ocr_text, '\S+'))
        > p_word_count_tolerance * regexp_count(p_ocr_text, '\S+')
        then 'implausible_result'
    else 'written'
end;

comment on function judge_ocr_result is
'Internal. The outcome of offering a result for a document, by the row of the document,
the offer and the settings; all rules but the search for foreign texts (G7) and the
database''s own refusal. A null p_ocr_status means that there is no such document.';
