create or replace view ocr_recent_incidents as
select
    i.id,
    i.created_at,
    i.reason,
    i.detail,
    i.document_id,
    coalesce(d.filename, i.actual_filename, i.expected_filename) as filename,
    coalesce(w.worker_id, nullif(i.application_name, '')) as offered_by,
    i.worker_id as lease_held_by,
    i.text_length,
    i.other_document_id,
    o.filename as other_filename,
    i.session_user_name,
    i.application_name,
    i.client_addr
from ocr_incidents as i
left join documents as d on d.id = i.document_id
left join documents as o on o.id = i.other_document_id
left join lateral (
    -- whose lease the offered token was
    select h.worker_id
    from ocr_job_history as h
    where h.document_id = i.document_id and h.lease_token = i.offered_token
    order by h.finished_at
    limit 1
) as w on true
where i.created_at > now() - interval '7 days';

comment on view ocr_recent_incidents is
'Refused results and foreign texts of the last seven days, in words: what was offered
for which document, by whom, and why it was refused. Order by id for time.';
comment on column ocr_recent_incidents.id is 'Number of the incident.';
comment on column ocr_recent_incidents.created_at is 'When the result was offered.';
comment on column ocr_recent_incidents.reason is
'The outcome, as in update_ocr_safe().';
comment on column ocr_recent_incidents.detail is 'The reason in words.';
comment on column ocr_recent_incidents.document_id is 'The document; it may be gone.';
comment on column ocr_recent_incidents.filename is 'Its filename.';
comment on column ocr_recent_incidents.offered_by is
'The worker whose lease the offered token was, else the application_name.';
comment on column ocr_recent_incidents.lease_held_by is
'The worker that held the live lease at that moment.';
comment on column ocr_recent_incidents.text_length is
'Length of the offered text in characters.';
comment on column ocr_recent_incidents.other_document_id is
'For foreign_text: the document that carries the text already.';
comment on column ocr_recent_incidents.other_filename is 'Its filename.';
comment on column ocr_recent_incidents.session_user_name is 'The role that offered it.';
comment on column ocr_recent_incidents.application_name is 'The application.';
comment on column ocr_recent_incidents.client_addr is 'The client''s address.';
