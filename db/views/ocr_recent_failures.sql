create or replace view ocr_recent_failures as
select
    h.finished_at,
    h.outcome,
    h.error_class,
    h.error,
    h.document_id,
    d.filename,
    h.worker_id,
    h.engine,
    h.attempt,
    h.processing_time_ms
from ocr_job_history as h
left join documents as d on d.id = h.document_id
where
    h.outcome in ('failed', 'retry', 'expired')
    and h.finished_at > now() - interval '1 day';

comment on view ocr_recent_failures is
'Attempts of the last day that failed or expired. Order by finished_at for time.';
comment on column ocr_recent_failures.finished_at is 'When the attempt ended.';
comment on column ocr_recent_failures.outcome is
'failed (dead), retry or expired (will be tried again while attempts are left).';
comment on column ocr_recent_failures.error_class is
'document, permanent or infrastructure; null for expired.';
comment on column ocr_recent_failures.error is 'What went wrong.';
comment on column ocr_recent_failures.document_id is 'The document; it may be gone.';
comment on column ocr_recent_failures.filename is 'Its filename.';
comment on column ocr_recent_failures.worker_id is 'Who tried.';
comment on column ocr_recent_failures.engine is 'With which engine.';
comment on column ocr_recent_failures.attempt is 'Number of the attempt, from 1.';
comment on column ocr_recent_failures.processing_time_ms is
'How long it took, in milliseconds.';
