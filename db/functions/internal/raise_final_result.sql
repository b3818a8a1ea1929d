-- Two paths of the trigger end here.

create or replace function raise_final_result(
    p_document_id documents.id%type,
    p_change text
)
returns void
language plpgsql
volatile
set search_path from current
as $function$
begin
    raise exception using
        errcode = 'OG003',
        message = format(
            'the OCR result of document %s is final: %s', p_document_id, p_change
        ),
        detail = 'A completed document keeps its text, confidence, word count and '
            'status (G4).',
        hint = 'To process it again call requeue_document(); it keeps the old result.';
end;
$function$;

comment on function raise_final_result is
'Internal. Raises OG003: a completed document''s result would change.';
