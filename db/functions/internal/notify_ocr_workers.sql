create or replace function notify_ocr_workers()
returns void
language sql
volatile
set search_path from current
begin atomic
    select pg_notify('ocr_jobs', current_schema());
end;

comment on function notify_ocr_workers is
'Internal. Wakes workers that listen on the channel ocr_jobs; the payload is the schema.
Where NOTIFY does not arrive (transaction poolers) workers poll.';
