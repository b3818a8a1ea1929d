-- Who waits for whom is shown by the isolation specs; here, that all are locked.

begin;
\ir ../fixtures.psql
select plan(6);

insert into documents (filename) select 'page ' || n from generate_series(1, 10) as n;
select lives_ok('select lock_ocr_documents(''{}'')', 'no documents');
select lives_ok('select lock_ocr_documents(null)', 'nor null');
select lives_ok(
    'select lock_ocr_documents(array[gen_random_uuid(), gen_random_uuid()])',
    'documents that do not exist are passed over'
);
select lives_ok(
    'select lock_ocr_documents('
    '(select array_agg(d.id) || array_agg(d.id) from documents as d))',
    'each may come twice'
);
-- rows that nobody has locked yet
delete from documents;
insert into documents (filename) select 'page ' || n from generate_series(1, 10) as n;
select lock_ocr_documents(array_agg(d.id)) from documents as d
where d.filename <> 'page 3';
select is(
    (select count(*) from documents as d where d.xmax::text <> '0'),
    9::bigint,
    'those and no others are locked'
);
delete from documents;
insert into documents (filename) select 'page ' || n from generate_series(1, 10) as n;
select lock_ocr_documents(array[d.id]) from documents as d where d.filename = 'page 3';
select is(
    (select string_agg(d.filename, ', ') from documents as d where d.xmax::text <> '0'),
    'page 3',
    'a single one too'
);

select * from finish();
rollback;
