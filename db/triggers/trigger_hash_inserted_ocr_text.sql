-- A document that is inserted with its result, as an import does, is found by the
-- search for foreign texts too (G7). Rows without a text do not come here. SECURITY
-- DEFINER because whoever may insert documents may not call hash_ocr_text().

create or replace function hash_inserted_ocr_text()
returns trigger
language plpgsql
volatile
security definer
set search_path from current
as $function$
begin
    new.ocr_text_hash := hash_ocr_text(new.ocr_text);
    return new;
end;
$function$;

comment on function hash_inserted_ocr_text is
'Trigger function of trigger_hash_inserted_ocr_text. Fills ocr_text_hash (G7).';

create or replace trigger trigger_hash_inserted_ocr_text
before insert on documents
for each row
when (new.ocr_text is not null)
execute function hash_inserted_ocr_text();

comment on trigger trigger_hash_inserted_ocr_text on documents is
'Fills ocr_text_hash of documents that are inserted with their result (G7).';
