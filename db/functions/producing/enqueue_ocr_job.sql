create or replace function enqueue_ocr_job(
    p_document_id documents.id%type,
    p_priority integer default 5,
    p_run_after timestamptz default clock_timestamp(),
    p_max_attempts integer default null
)
returns ocr_queue.id%type
language plpgsql
volatile
security definer
set search_path from current
as $function$
begin
    if p_document_id is null then
        perform reject_argument('p_document_id', 'given', null);
    end if;
    return (
        select j.job_id
        from enqueue_ocr_jobs(
            array[p_document_id], p_priority, p_run_after, p_max_attempts
        ) as j
    );
end;
$function$;

comment on function enqueue_ocr_job is
'Enqueues a document that is pending or failed and returns its job; idempotent: gives
the live job if there is one, unchanged. p_priority 0 (last) to 10 (first); not claimed
before p_run_after; p_max_attempts 1 to 100 (default:
ocr_settings.default_max_attempts). Raises OG001 when there is no such document, OG006
when it is completed, 22023 for an argument out of range. Notifies the channel ocr_jobs
when the job is due.';
