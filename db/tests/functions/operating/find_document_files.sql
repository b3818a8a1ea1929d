begin;
\ir ../fixtures.psql

select plan(9);

-- given: five documents, of which one has no file
insert into documents (id, filename, file_path, file_hash)
select
    format('00000000-0000-0000-0000-%s', lpad(n.n::text, 12, '0'))::uuid,
    format('%s.pdf', n.n),
    case when n.n <> 3 then format('/archive/%s.pdf', n.n) end,
    case when n.n = 1 then repeat('a', 64) end
from generate_series(5, 1, -1) as n (n);

-- then
select results_eq(
    $$select f.file_path, f.file_hash from find_document_files() as f$$,
    $$
        values
        ('/archive/1.pdf', repeat('a', 64)), ('/archive/2.pdf', null),
        ('/archive/4.pdf', null), ('/archive/5.pdf', null)
    $$,
    'the files of all documents that have one, in the order of their ids'
);
select results_eq(
    $$select f.document_id from find_document_files(p_limit => 2) as f$$,
    $$
        select d.id from documents as d
        where d.filename in ('1.pdf', '2.pdf')
        order by d.id
    $$,
    'a page is as long as its limit'
);
select results_eq(
    $$
        select f.file_path
        from find_document_files('00000000-0000-0000-0000-000000000002', 2) as f
    $$,
    $$values ('/archive/4.pdf'), ('/archive/5.pdf')$$,
    'the next one begins after the last id'
);
select is_empty(
    $$select from find_document_files('00000000-0000-0000-0000-000000000005')$$,
    'behind the last id there is nothing'
);
select results_eq(
    $$
        select f.file_path
        from find_document_files('00000000-0000-0000-0000-000000000003') as f
    $$,
    $$values ('/archive/4.pdf'), ('/archive/5.pdf')$$,
    'an id that has no file will do'
);

select throws_ok(
    format('select find_document_files(p_limit => %s)', l.value),
    '22023',
    format('p_limit must be between 1 and 10000, not %s', l.value),
    format('a limit of %s is refused', l.value)
)
from (values ('0'), ('-1'), ('10001'), ('null')) as l (value);

select * from finish();
rollback;
