-- The one view here that is materialized: it reads every document. Loading this file
-- again keeps the figures; another definition needs a migration that drops the old one.
-- Counted first, joined with the statuses afterwards: then no document goes through a
-- join, and the server may count in parallel.

create materialized view if not exists ocr_stats as
with
counted as (
    select
        d.ocr_status,
        count(*) as documents,
        avg(d.ocr_confidence) as avg_confidence,
        min(d.ocr_confidence) as min_confidence,
        avg(d.ocr_word_count) as avg_word_count,
        sum(d.ocr_word_count) as total_words,
        avg(d.ocr_processing_time_ms) as avg_processing_time_ms,
        min(d.created_at) as oldest_created_at,
        max(d.updated_at) as newest_updated_at
    from documents as d
    group by d.ocr_status
)
select
    s.ocr_status,
    coalesce(c.documents, 0) as documents,
    c.avg_confidence,
    c.min_confidence,
    c.avg_word_count,
    c.total_words,
    c.avg_processing_time_ms,
    c.oldest_created_at,
    c.newest_updated_at,
    now() as refreshed_at
from (values ('pending'), ('processing'), ('completed'), ('failed')) as s (ocr_status)
left join counted as c on c.ocr_status = s.ocr_status;

create unique index if not exists idx_ocr_stats_ocr_status on ocr_stats (ocr_status);

comment on materialized view ocr_stats is
'Documents by status: one row each, also for a status that no document has. As of
refreshed_at; refresh_ocr_stats() brings it up to date, also while it is read.';
comment on column ocr_stats.ocr_status is 'The status.';
comment on column ocr_stats.documents is 'Number of documents.';
comment on column ocr_stats.avg_confidence is 'Mean confidence in percent.';
comment on column ocr_stats.min_confidence is 'Lowest confidence in percent.';
comment on column ocr_stats.avg_word_count is 'Mean number of words.';
comment on column ocr_stats.total_words is 'Words in all.';
comment on column ocr_stats.avg_processing_time_ms is
'Mean processing time in milliseconds.';
comment on column ocr_stats.oldest_created_at is 'Age of the oldest document.';
comment on column ocr_stats.newest_updated_at is 'Last change by the package.';
comment on column ocr_stats.refreshed_at is 'When these figures were taken.';
