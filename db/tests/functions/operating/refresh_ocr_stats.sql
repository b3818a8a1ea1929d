begin;
\ir ../fixtures.psql

-- given: no partition but the default one
do $do$
declare
    v_partition regclass;
begin
    for v_partition in
        select i.inhrelid
        from pg_inherits as i
        where
            i.inhparent = 'ocr_job_history'::regclass
            and i.inhrelid <> 'ocr_job_history_default'::regclass
    loop
        execute format('drop table %s', v_partition);
    end loop;
end
$do$;

select plan(11);

select pg_temp.add_document('pending') as document \gset
select pg_temp.complete(
    pg_temp.add_document('completed'), 'one two three'
) as token \gset
select pg_temp.complete(pg_temp.add_document('completed too'), 'one') as token \gset
select is(refresh_ocr_stats(), true, 'the statistics are refreshed');
select results_eq(
    $$
        select s.ocr_status, s.documents, s.avg_confidence::numeric, s.total_words
        from ocr_stats as s
        order by s.ocr_status
    $$,
    $$
        values
        ('completed', 2::bigint, 90::numeric, 4::bigint), ('failed', 0, null, null),
        ('pending', 1, null, null), ('processing', 0, null, null)
    $$,
    'and count the documents by status'
);
select pg_temp.add_document('pending too') as document \gset
select is(
    (select s.documents from ocr_stats as s where s.ocr_status = 'pending'),
    1::bigint,
    'they are as of the last refresh'
);
select is(refresh_ocr_stats(), true, 'a second refresh');
select is(
    (select s.documents from ocr_stats as s where s.ocr_status = 'pending'),
    2::bigint,
    'brings them up to date'
);
select isnt_empty(
    $$
        select i.indexrelid::regclass
        from pg_index as i
        where i.indrelid = 'ocr_stats'::regclass and i.indisunique and i.indpred is null
    $$,
    'the view has the unique index that a concurrent refresh needs'
);
select is(
    (
        select count(*)
        from pg_inherits as i
        where
            i.inhparent = 'ocr_job_history'::regclass
            and i.inhrelid <> 'ocr_job_history_default'::regclass
    ),
    4::bigint,
    'a refresh also makes the coming partitions of the history'
);
select is(
    (
        select p.prosecdef
        from pg_proc as p
        where p.oid = 'refresh_ocr_stats'::regproc
    ),
    true,
    'it works for a role that does not own the view'
);
create role test_refresher;
grant execute on function refresh_ocr_stats to test_refresher;
grant usage on schema tap to test_refresher;
set local role test_refresher;
select is(refresh_ocr_stats(), true, 'as this one');
reset role;
select lives_ok($$select * from ocr_stats$$, 'and it is read meanwhile');
select is(
    (select count(*) from ocr_stats), 4::bigint, 'one row for each status, used or not'
);

select * from finish();
rollback;
