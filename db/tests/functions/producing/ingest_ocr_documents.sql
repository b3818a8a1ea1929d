begin;
\ir ../fixtures.psql

select plan(39);

create temporary table answer as
select i.*
from ingest_ocr_documents(
    json_build_array(
        json_build_object(
            'filename', 'b.pdf', 'file_path', '/in/b.pdf', 'file_hash', repeat('b', 64),
            'file_size', 20, 'mime_type', 'application/pdf'
        ),
        json_build_object('filename', 'a.pdf', 'file_hash', repeat('a', 64)),
        json_build_object('filename', 'copy of b.pdf', 'file_hash', repeat('b', 64)),
        json_build_object(
            'filename', 'empty.pdf', 'file_hash', repeat('e', 64), 'file_size', 0
        )
    ),
    8
) as i;
select results_eq(
    $$
        select a.ordinal, d.filename, a.created
        from answer as a
        left join documents as d on d.id = a.document_id
        order by a.ordinal
    $$,
    $$
        values
        (1, 'b.pdf', true), (2, 'a.pdf', true), (3, 'b.pdf', false), (4, 'empty.pdf', true)
    $$,
    'one row for each file, in order: its document, and whether this call made it'
);
select results_eq(
    $$
        select
            d.filename, d.file_path, d.file_hash, d.file_size, d.mime_type,
            d.ocr_status, q.status, q.priority,
            q.run_after - min(q.run_after) over () < interval '1 millisecond',
            q.file_size
        from documents as d
        inner join ocr_queue as q on q.document_id = d.id
        order by d.filename
    $$,
    $$
        values
        (
            'a.pdf', null, repeat('a', 64), null::bigint, null, 'pending', 'pending', 8,
            true, null::bigint
        ),
        (
            'b.pdf', '/in/b.pdf', repeat('b', 64), 20, 'application/pdf', 'pending',
            'pending', 8, true, 20
        ),
        (
            'empty.pdf', null, repeat('e', 64), 0, null, 'pending', 'pending', 8,
            true, 0
        )
    $$,
    'each has its document, and a job with the given priority'
);

-- Again.
select pg_temp.complete(d.id) from documents as d
where d.filename = 'b.pdf' \g /dev/null
select pg_temp.kill(d.id) from documents as d where d.filename = 'a.pdf' \g /dev/null
select pg_temp.snapshot() as before \gset
select results_eq(
    $$
        select i.ordinal, d.filename, i.created
        from ingest_ocr_documents(
            (
                select json_agg(
                    json_build_object('filename', 'again ' || f.n, 'file_hash', f.hash)
                    order by f.n
                )
                from (
                    values
                    (1, repeat('e', 64)),
                    (2, repeat('a', 64)),
                    (3, repeat('b', 64))
                ) as f (n, hash)
            )
        ) as i
        left join documents as d on d.id = i.document_id
        order by i.ordinal
    $$,
    $$values (1, 'empty.pdf', false), (2, 'a.pdf', false), (3, 'b.pdf', false)$$,
    'a file whose hash is already there is skipped, under '
    'whatever name, in whatever state'
);
select is(pg_temp.snapshot(), :'before', 'and nothing changes');
truncate answer;
insert into answer
select i.*
from ingest_ocr_documents(
    json_build_array(
        json_build_object('filename', 'old.pdf', 'file_hash', repeat('a', 64)),
        json_build_object('filename', 'b.pdf', 'file_hash', repeat('c', 64))
    )
) as i;
select results_eq(
    $$
        select a.ordinal, d.filename, a.created, q.priority
        from answer as a
        left join documents as d on d.id = a.document_id
        left join ocr_queue as q on q.document_id = d.id
        order by a.ordinal
    $$,
    $$values (1, 'a.pdf', false, 10), (2, 'b.pdf', true, 5)$$,
    'known and new files may come mixed; the same name with '
    'another hash is another file'
);

select is(
    (
        select string_agg(i.ordinal::text, ' ')
        from ingest_ocr_documents(
            (
                select json_agg(
                    json_build_object('filename', 'x', 'file_hash', repeat(h.digit, 64))
                )
                from (values ('c'), ('a'), ('e'), ('b')) as h (digit)
            )
        ) as i
    ),
    '1 2 3 4',
    'the rows come in the order of the files'
);

-- Two documents with the same file are legal; the older one is it.
insert into documents (filename, file_hash, created_at)
values
('younger.pdf', repeat('d', 64), now()),
('older.pdf', repeat('d', 64), now() - interval '1 day');
select results_eq(
    $$
        select d.filename, i.created
        from ingest_ocr_documents(
            json_build_array(
                json_build_object('filename', 'new.pdf', 'file_hash', repeat('d', 64))
            )
        ) as i
        inner join documents as d on d.id = i.document_id
    $$,
    $$values ('older.pdf', false)$$,
    'where several documents have the file, the oldest is the answer'
);
select is_empty($$select * from ingest_ocr_documents('[]')$$, 'no files, no rows');

-- Names are what people type.
truncate answer;
insert into answer
select i.*
from ingest_ocr_documents(
    json_build_array(
        json_build_object(
            'filename', E'Überweisung ''42''; drop table documents; -- \n.pdf',
            'file_hash', repeat('1', 64),
            'file_size', 999999999999999999
        )
    )
) as i;
select is(
    (
        select d.filename || ' ' || d.file_size
        from documents as d
        inner join answer as a on a.document_id = d.id
    ),
    E'Überweisung ''42''; drop table documents; -- \n.pdf 999999999999999999',
    'any text is a filename'
);

-- Malformed files: nothing is added.
select pg_temp.snapshot() as before \gset
create temporary table malformed (file text, message text);
insert into malformed (file)
values
('null'), ('5'), ('"scan.pdf"'), ('[]'), ('{}'),
('{"filename": "a"}'),
('{"file_hash": "HASH"}'),
('{"filename": null, "file_hash": "HASH"}'),
('{"filename": "a", "file_hash": null}'),
('{"filename": "a", "file_hash": ""}'),
('{"filename": "a", "file_hash": "abc"}'),
('{"filename": "a", "file_hash": "UPPER"}'),
('{"filename": "a", "file_hash": "HASH0"}'),
('{"filename": "a", "file_hash": "HASH", "file_size": -1}'),
('{"filename": "a", "file_hash": "HASH", "file_size": 1.5}'),
('{"filename": "a", "file_hash": "HASH", "file_size": "NaN"}'),
('{"filename": "a", "file_hash": "HASH", "file_size": "big"}'),
('{"filename": "a", "file_hash": "HASH", "file_size": ""}'),
('{"filename": "a", "file_hash": "HASH", "file_size": 9999999999999999999}');
update malformed
set file = replace(replace(file, 'HASH', repeat('f', 64)), 'UPPER', repeat('F', 64));
select throws_ok(
    format(
        'select * from ingest_ocr_documents(%L)',
        '[{"filename": "good.pdf", "file_hash": "' || repeat('9', 64) || '"}, '
        || m.file || ']'
    ),
    '22023',
    'p_files[2] must be an object with filename, file_hash (SHA-256 in 64 lower-case '
    'hexadecimal digits) and a file_size of zero or more, not ' || m.file,
    format('the file %s is malformed (22023)', left(m.file, 70))
)
from malformed as m;
select throws_ok(
    format(
        'select * from ingest_ocr_documents(%L)',
        '[{"filename": "a\u0000b", "file_hash": "' || repeat('9', 64) || '"}]'
    ),
    '22023',
    null,
    'a NUL in a filename is malformed (22023)'
);
select throws_ok(
    format('select * from ingest_ocr_documents(%s)', c.arguments), '22023', c.message,
    format('ingest_ocr_documents(%s) is refused (22023)', left(c.arguments, 60))
)
from (
    values
    ('null', 'p_files must be a json array of files, not null'),
    ('''null''', 'p_files must be a json array of files, not null'),
    ('''{}''', 'p_files must be a json array of files, not {}'),
    ('''"a"''', 'p_files must be a json array of files, not "a"'),
    ('''[]'', null', 'p_priority must be between 0 and 10, not null'),
    ('''[]'', -1', 'p_priority must be between 0 and 10, not -1'),
    ('''[]'', 11', 'p_priority must be between 0 and 10, not 11'),
    ('(select json_agg(1) from generate_series(1, 10001))', 'p_files must be at most 10000 files, not 10001 files')
) as c (arguments, message);
select is(
    pg_temp.snapshot(),
    :'before',
    'a malformed file adds nothing, the good ones neither'
);

-- Large folders.
select is(
    (
        select count(*) filter (where i.created)
        from ingest_ocr_documents(
            (
                select json_agg(
                    json_build_object(
                        'filename', 'scan.pdf',
                        'file_hash', encode(sha256(n::text::bytea), 'hex')
                    )
                )
                from generate_series(1, 1000) as n
            )
        ) as i
    ),
    1000::bigint,
    'a thousand files of one name are a thousand documents'
);

select * from finish();
rollback;
