-- What cannot be a result at all, whatever the document: wrong use of the call (22023),
-- as opposed to an implausible but well-formed result (G6). Inlined like the rules,
-- which format() allows only to a stable function.

create or replace function find_invalid_result(
    p_document_id documents.id%type,
    p_expected_filename text,
    p_ocr_text text,
    p_confidence double precision,
    p_word_count integer,
    p_processing_time_ms integer,
    p_source_hash text
)
returns text
language sql
stable
parallel safe
return case
    when p_document_id is null
        then 'p_document_id must be given, not null'
    when p_expected_filename is null
        then 'p_expected_filename must be given, not null'
    when p_ocr_text is null
        then 'p_ocr_text must be given (an empty text for an empty page), not null'
    -- NaN is greater than every number and falls out here
    when (p_confidence between 0 and 100) is not true
        then format(
            'p_confidence must be between 0 and 100, not %s',
            coalesce(p_confidence::text, 'null')
        )
    when (p_word_count >= 0) is not true
        then format(
            'p_word_count must be zero or more, not %s',
            coalesce(p_word_count::text, 'null')
        )
    when (p_processing_time_ms >= 0) is not true
        then format(
            'p_processing_time_ms must be zero or more, not %s',
            coalesce(p_processing_time_ms::text, 'null')
        )
    when not are_sha256_digits(p_source_hash)
        then format(
            'p_source_hash must be null or a SHA-256 in 64 lower-case hexadecimal '
            'digits, not %s',
            left(p_source_hash, 100)
        )
end;

comment on function find_invalid_result is
'Internal. Says which argument of an offered result is out of range, what is accepted
and what it was; null when all are well-formed.';
