begin;
\ir ../fixtures.psql

select plan(6);

select is_empty(
    'select from list_broken_guards()', 'nothing where no table was adopted'
);
\ir ../adopted.psql
select pg_temp.add_document('good.pdf') as good \gset
select is_empty('select from list_broken_guards()', 'nothing where all rows are right');

select pg_temp.add_document('wrong.pdf') as wrong \gset
update documents as d set file_hash = 'ABC', ocr_confidence = 200 where d.id = :'wrong';
insert into ocr_queue (document_id, status, priority)
values (:'wrong', 'cancelled', 5), (:'good', 'failed', null);
select results_eq(
    $$
        select d.filename, b.job_id is not null, b.constraint_name
        from list_broken_guards() as b
        inner join documents as d on d.id = b.document_id
        order by 1, 2
    $$,
    $$
        values
        ('good.pdf', true, 'not_null_priority'),
        ('wrong.pdf', false, 'check_ocr_confidence'),
        ('wrong.pdf', true, 'check_ocr_queue_status')
    $$,
    'each row with the first constraint that it breaks'
);
delete from ocr_queue;
update documents as d set ocr_confidence = null where d.id = :'wrong';
select is(
    (select b.constraint_name from list_broken_guards() as b), 'check_ocr_file_hash',
    'then with the next'
);
alter table documents add constraint check_ocr_file_hash check (true) not valid;
select is(
    (select count(*) from list_broken_guards()), 1::bigint,
    'also while the constraint is not valid yet'
);
alter table documents validate constraint check_ocr_file_hash;
select is_empty(
    'select from list_broken_guards()', 'a valid constraint is not looked at again'
);

select * from finish();
rollback;
