begin;
\ir ../functions/fixtures.psql

select plan(4);

insert into documents (filename, created_at)
values ('old', now() - interval '1 day'), ('new', now());
select pg_temp.complete(pg_temp.add_document('a'), 'one two three') as token \gset
select pg_temp.claim(pg_temp.add_document('b')) as token \gset
select pg_temp.add_document('c') as document \gset
select pg_temp.claim(:'document') as token \gset
select update_ocr_safe(:'document', 'c', 'four', 50, 1, 30, :'token') as written \gset
select pg_temp.kill(pg_temp.add_document('d')) as token \gset
select refresh_ocr_stats() as refreshed \gset
select results_eq(
    $$
        select
            s.ocr_status, s.documents, s.avg_confidence::numeric,
            s.min_confidence::numeric, s.avg_word_count::numeric, s.total_words,
            s.avg_processing_time_ms::numeric
        from ocr_stats as s
        order by s.ocr_status
    $$,
    $$
        values
        ('completed', 2::bigint, 70::numeric, 50::numeric, 2.0::numeric, 4::bigint, 20.0::numeric),
        ('failed', 1, null, null, null, null, null),
        ('pending', 2, null, null, null, null, null),
        ('processing', 1, null, null, null, null, null)
    $$,
    'documents by status, with the figures of their results'
);
select is(
    (select s.oldest_created_at from ocr_stats as s where s.ocr_status = 'pending'),
    now() - interval '1 day',
    'since when the oldest is there'
);
select is(
    (select distinct s.refreshed_at from ocr_stats as s), now(), 'and as of when they are'
);
delete from documents;
select refresh_ocr_stats() as refreshed \gset
select is(
    (select sum(s.documents) from ocr_stats as s), 0::numeric, 'without documents: zeros'
);

select * from finish();
rollback;
