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
begin
    result := json_populate_record(null::ocr_result, p_element);
exception
    when data_exception then
        problem := format('%s: %s', sqlstate, sqlerrm);
        begin
            v_readable := regexp_replace(
                p_element::text, '\\u(0000|d[89a-f][0-9a-f]{2})', '', 'gi'
            );
            result := json_populate_record(
                null::ocr_result,
                json_build_object(
                    'document_id', v_readable -> 'document_id',
                    'lease_token', v_readable -> 'lease_token',
                    'expected_filename', v_readable -> 'expected_filename',
                    'ocr_text', v_readable -> 'ocr_text'
                )
            );
        exception
            when data_exception then
                result := null;
        end;
end;
$function$;

comment on function read_ocr_result is
'Internal. One element of update_ocr_batch_safe() as a result, and null as the problem; or
what could be read of it, and the problem with SQLSTATE and message.';
