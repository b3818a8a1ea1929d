-- What can be read of an element of a batch. A number out of range makes the record
-- unreadable, and a NUL or half a surrogate pair in one string makes every string of
-- its object unreadable; the document and the lease are read all the same, so that the
-- right rows are locked, the right job is failed and the incident says whose it was.

create or replace function read_ocr_result(p_element json)
returns ocr_result
language plpgsql
stable
set search_path from current
as $function$
declare
    v_result ocr_result;
    v_readable json;
    v_key text;
begin
    return json_populate_record(null::ocr_result, p_element);
exception
    when data_exception then
        -- without what cannot be held; escaped backslashes and whole pairs stay
        v_readable := regexp_replace(
            p_element::text,
            '(\\\\|\\ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2})'
            '|\\u0000|\\ud[89a-f][0-9a-f]{2}',
            '\1',
            'gi'
        )::json;
        -- each key by itself, since each may be malformed
        foreach v_key in array array[
            'document_id', 'lease_token', 'expected_filename', 'ocr_text'
        ] loop
            begin
                v_result := json_populate_record(
                    v_result, json_build_object(v_key, v_readable -> v_key)
                );
            exception
                when data_exception then
                    null;
            end;
        end loop;
        return v_result;
end;
$function$;

comment on function read_ocr_result is
'Internal. One element of update_ocr_batch_safe() as a result; of an element that cannot
be read as a whole, its document, lease, filename and text as far as they can.';
