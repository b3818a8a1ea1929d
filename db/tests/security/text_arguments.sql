-- SQL, quotes, format specifiers and such in every text that a role can hand over: they
-- are stored or refused, never read as anything but text.

begin;
\ir ../functions/fixtures.psql
\ir attempts.psql

create temporary table payload (n serial, value text);
insert into payload (value) values
('x''; drop table documents cascade; --'),
('x''); update ocr_settings set require_lease_token = true; select (''x'),
('''; select pg_sleep(60); --'),
('$$; drop table documents; $$'),
('$do$ end $do$; drop table documents; do $do$ begin'),
('%s %I %L %1$s %% %n'),
('\''; drop table documents; --'),
('E''\047; drop table documents'),
('"; drop table documents; --'),
('id'), ('true'), ('null'), ('default'),
('default_lease = ''1 day'', require_lease_token'),
('require_lease_token" = true, "default_max_attempts'),
('{"document_id": null}'), ('[1, 2]'), ('{}'), ('(1,2)'),
('x'' || (select ocr_lease_token::text from documents limit 1) || ''x'),
('pg_catalog.now()'),
(U&'\02BC or 1=1 --'), (U&'x\0085y'), (repeat('''', 1000));

select plan((select count(*)::integer * 12 + 4 from payload));

create temporary table before as
select
    (select s::text from ocr_settings as s) as settings,
    (select string_agg(c.oid::text, ' ' order by c.oid) from pg_class as c) as tables;

-- A document for each payload, which is its name, too.
create temporary table item as
select p.n, p.value, pg_temp.add_document(p.value) as id
from payload as p;

-- a producer's
select is(
    pg_temp.attempt('a_producer', format(
        $$
            select i.created from ingest_ocr_documents(json_build_array(
                json_build_object(
                    'filename', %1$L::text, 'file_path', %1$L::text,
                    'mime_type', %1$L::text, 'file_hash', %2$L, 'file_size', 1
                )
            )) as i
        $$,
        p.value, lpad(p.n::text, 64, '0')
    )),
    'true',
    'as a file''s name, path and type: ' || left(p.value, 40)
)
from payload as p;
select is(
    (
        select concat_ws('|', d.filename, d.file_path, d.mime_type)
        from documents as d
        where d.file_hash = lpad(p.n::text, 64, '0')
    ),
    concat_ws('|', p.value, p.value, p.value),
    'it is stored as it came'
)
from payload as p;
select is(
    pg_temp.attempt('a_producer', format(
        $$select i.created from ingest_ocr_documents(json_build_array(json_build_object(
            'filename', 'x', 'file_hash', %1$L::text, 'file_size', 1))) as i$$,
        p.value
    )),
    '22023',
    'as a hash it is refused: ' || left(p.value, 40)
)
from payload as p;

-- a worker's
select is(
    pg_temp.attempt('hostile_worker', format(
        $$select fail_ocr_job(%L, %L, %L, 'document', %L)$$,
        i.id, pg_temp.claim(i.id, i.value), i.value, i.value
    )),
    'retry',
    'as an error and the name of an engine: ' || left(i.value, 40)
)
from item as i;
select is(
    (
        select concat_ws('|', h.worker_id, h.error, h.engine)
        from ocr_job_history as h
        where h.document_id = i.id
    ),
    concat_ws('|', i.value, i.value, i.value),
    'and as a worker''s name: it is stored as it came'
)
from item as i;
select is(
    pg_temp.attempt('hostile_worker', format(
        $$select fail_ocr_job(%L, %L, 'x', %L)$$, i.id, gen_random_uuid(), i.value
    )),
    '22023',
    'as the class of an error it is refused: ' || left(i.value, 40)
)
from item as i;
select is(
    pg_temp.attempt('hostile_worker', format(
        $$
            select u.outcome from update_ocr_batch_safe(json_build_array(
                json_build_object(
                    'document_id', %1$L, 'expected_filename', %2$L::text,
                    'ocr_text', %2$L::text, 'confidence', 40, 'word_count', 0,
                    'processing_time_ms', 1, 'lease_token', %3$L, 'engine', %2$L::text
                )
            )) as u
        $$,
        i.id, i.value, pg_temp.claim(i.id, 'w')
    )),
    'written',
    'as a filename, a text and an engine: ' || left(i.value, 40)
)
from item as i;
select is(
    (
        select concat_ws('|', d.ocr_text, d.ocr_engine)
        from documents as d
        where d.id = i.id
    ),
    concat_ws('|', i.value, i.value),
    'it is stored as it came'
)
from item as i;

-- an operator's
select is(
    pg_temp.attempt('an_operator', format(
        $$select set_ocr_setting(%L, 'true')$$, p.value
    )),
    '22023',
    'as the name of a setting it is refused: ' || left(p.value, 40)
)
from payload as p;
select is(
    pg_temp.attempt('an_operator', format(
        $$select set_ocr_setting('foreign_text_policy', %L)$$, p.value
    )),
    '22023',
    'as its value, too: ' || left(p.value, 40)
)
from payload as p;
select is(
    pg_temp.attempt('an_operator', format(
        $$
            select concat_ws(
                ' ',
                requeue_document(%2$L, %1$L) is not null,
                retry_failed_ocr_jobs(1, %1$L),
                cancel_ocr_job(%2$L, %1$L),
                lock_resource(%1$L),
                release_lease_lock(
                    %1$L, acquire_lease_lock(%1$L, %1$L, '1 minute')
                ),
                pause_ocr_queue(%1$L),
                resume_ocr_queue()
            )
        $$,
        i.value, i.id
    )),
    't 0 t t t t t',
    'as a reason, a pattern and the name of a lock: ' || left(i.value, 40)
)
from item as i;
select is(
    (
        select d.ocr_error || '|' || r.reason
        from documents as d
        inner join ocr_previous_results as r on r.document_id = d.id
        where d.id = i.id
    ),
    format('cancelled: %s|%s', i.value, i.value),
    'it is stored as it came'
)
from item as i;

select is(
    (select b.settings from before as b), (select s::text from ocr_settings as s),
    'no setting has changed'
);
select is_empty(
    $$
        select t.oid
        from before as b
        cross join unnest(string_to_array(b.tables, ' ')) as t (oid)
        where not exists (select from pg_class as c where c.oid = t.oid::oid)
    $$,
    'no table is gone'
);
select is(
    (select count(*)::integer from ocr_queue_state as t where t.paused_at is null), 1,
    'the queue is open'
);
select is_empty(
    $$select f.kind, f.document_id from find_inconsistencies() as f
    where f.kind <> 'shared_text'$$,
    'and everything is consistent'
);

select * from finish();
rollback;
