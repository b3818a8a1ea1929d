-- An element of a batch that cannot be read as a whole, because a number is out of range or
-- a string holds a NUL or half a surrogate pair, which make every string of its object
-- unreadable. What names the document and the lease is read all the same, so that the
-- right job is failed and the incident says whose it was.

create or replace function read_ocr_result(
    p_element json,
    out result ocr_result,
    out problem text
)
language plpgsql
stable
set search_path from current
as $function$
declare
    v_readable json;
    v_key text;
begin
    result := json_populate_record(null::ocr_result, p_element);
exception
    when data_exception then
        problem := format('%s: %s', sqlstate, sqlerrm);
        -- without what cannot be held; escaped backslashes and whole pairs stay
        v_readable := regexp_replace(
            p_element::text,
            '(\\\\|\\ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2})'
            '|\\u0000|\\ud[89a-f][0-9a-f]{2}',
            '\1',
            'gi'
        );
        -- each key by itself, since each may be malformed
        foreach v_key in array array[
            'document_id', 'lease_token', 'expected_filename', 'ocr_text'
        ] loop
            begin
                result := json_populate_record(
                    result, json_build_object(v_key, v_readable -> v_key)
                );
            exception
                when data_exception then
                    null;
            end;
        end loop;
end;
$function$;

comment on function read_ocr_result is
'Internal. One element of update_ocr_batch_safe() as a result, and null as the problem; or
what could be read of it, and the problem with SQLSTATE and message.';
