create or replace view ocr_unsafe_statements as
select
    count(*) as statements,
    i.statement,
    i.detail as change,
    case
        when i.detail like 'OG002%' or i.detail like 'OG005%'
            then 'update_ocr_safe() with the lease token from claim_ocr_jobs()'
        when i.detail like 'OG003%'
            then 'requeue_document(), which keeps the old result'
        when i.detail like '% to processing%' then 'claim_ocr_jobs()'
        when i.detail like '% to failed%' then 'fail_ocr_job() with the lease token'
        when i.detail like '% to pending%'
            then 'release_ocr_job(), retry_failed_ocr_jobs() or requeue_document()'
        else 'update_ocr_safe(), or leave the columns of the result alone'
    end as instead,
    i.session_user_name,
    i.application_name,
    min(i.created_at) as first_at,
    max(i.created_at) as last_at
from ocr_incidents as i
where
    i.reason = 'unsafe_statement'
    and i.created_at > now() - interval '7 days'
group by i.statement, i.detail, i.session_user_name, i.application_name;

comment on view ocr_unsafe_statements is
'Statements of the last seven days that guard_mode observe let through and enforce would
refuse, by code path: what has to change before set_guard_mode(''enforce'').';
comment on column ocr_unsafe_statements.statements is 'How often it came.';
comment on column ocr_unsafe_statements.statement is
'The statement without its literals, its first 500 characters.';
comment on column ocr_unsafe_statements.change is
'The error that it would get, and what it did to the document''s status.';
comment on column ocr_unsafe_statements.instead is 'What to call instead.';
comment on column ocr_unsafe_statements.session_user_name is 'The role that sent it.';
comment on column ocr_unsafe_statements.application_name is 'The application.';
comment on column ocr_unsafe_statements.first_at is 'When it came first.';
comment on column ocr_unsafe_statements.last_at is 'When it came last.';
