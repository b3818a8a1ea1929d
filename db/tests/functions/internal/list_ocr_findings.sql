-- The kinds are tested through operating/find_inconsistencies.sql, which shows these
-- rows, and operating/validate_database_consistency.sql, which counts them.

begin;
\ir ../fixtures.psql
\ir ../operating/inconsistencies.psql
select plan(2);

select is_empty('select * from list_ocr_findings()', 'right states are no finding');
select pg_temp.break_everything();
select pg_temp.break_uniqueness();
select results_eq(
    $$
        select f.kind, f.document_id, f.job_id, f.detail
        from list_ocr_findings() as f
        order by 1, 2, 3
    $$,
    'select * from find_inconsistencies()',
    'what find_inconsistencies() shows'
);

select * from finish();
rollback;
