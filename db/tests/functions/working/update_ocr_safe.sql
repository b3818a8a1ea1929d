-- The decision table of section 6, through the function for one result.

begin;
\ir ../fixtures.psql
\ir offers.psql

create function pg_temp.run_offer(p_offer offers)
returns setof text
language plpgsql
as $function$
declare
    v_given record;
    v_token uuid;
    v_before text;
begin
    v_given := pg_temp.arrange(p_offer);
    v_token := pg_temp.choose_token(
        p_offer.token, v_given.first_token, v_given.live_token
    );
    v_before := pg_temp.snapshot();
    begin
        return next is(
            update_ocr_safe(
                p_document_id => v_given.document_id,
                p_expected_filename => p_offer.expected_filename,
                p_ocr_text => p_offer.ocr_text,
                p_confidence => p_offer.confidence,
                p_word_count => p_offer.word_count,
                p_processing_time_ms => 10,
                p_lease_token => v_token,
                p_source_hash => p_offer.source_hash,
                p_engine => 'engine 1'
            ),
            p_offer.outcome in ('written', 'already_written'),
            p_offer.description || ': ' || p_offer.outcome
        );
    exception
        when data_exception then
            return next fail(
                format('%s: it raised %s, %s', p_offer.description, sqlstate, sqlerrm)
            );
    end;
    return query
    select * from pg_temp.check_offer(
        p_offer, v_before, v_given.document_id, v_token, v_given.live_token
    );
    delete from ocr_settings;
    insert into ocr_settings default values;
    delete from documents;
end;
$function$;

select plan((select count(*)::integer * 5 + 54 from offers));

select t.*
from offers as o
cross join lateral pg_temp.run_offer(o) as t
order by o.ordinal;

-- The specification's own call has six arguments.

select pg_temp.add_document() as document \gset
select pg_temp.claim(:'document') as token \gset
select is(
    update_ocr_safe(:'document', 'scan.pdf', 'one two three', 90.5, 3, 12),
    true,
    'the specification''s six arguments write the result of a first and only claim'
);
select results_eq(
    format(
        $$
            select
                d.ocr_status, d.ocr_text, d.ocr_confidence, d.ocr_word_count,
                d.ocr_processing_time_ms, d.ocr_result_token
            from documents as d
            where d.id = %L
        $$,
        :'document'
    ),
    format(
        $$values ('completed', 'one two three', 90.5::real, 3, 12, %L::uuid)$$, :'token'
    ),
    'and that claim''s token stands under it'
);

-- G11: the connection died after COMMIT, and the worker does not know.

select pg_temp.snapshot() as before \gset
select is(
    update_ocr_safe(:'document', 'scan.pdf', 'one two three', 90.5, 3, 12, :'token'),
    true,
    'the same call with the same token once more is true (G11)'
);
select is(
    update_ocr_safe(:'document', 'scan.pdf', 'another text', 10, 2, 99, :'token'),
    true,
    'whatever it carries: the result under that token stands'
);
select is(pg_temp.snapshot(), :'before', 'and it changes nothing');
select is(pg_temp.history(:'document'), 'written', 'it is once in the history');

-- A document that is deleted while it is processed.

select pg_temp.add_document() as deleted \gset
select pg_temp.claim(:'deleted') as deleted_token \gset
delete from documents as d where d.id = :'deleted';
select is(
    update_ocr_safe(:'deleted', 'scan.pdf', 'text', 90, 1, 10, :'deleted_token'),
    false,
    'a result for a document that was deleted while it was processed is refused'
);
select is(
    pg_temp.incidents(:'deleted'), 'document_missing', 'and leaves its incident (G10)'
);
select is(
    (select count(*) from ocr_queue as q where q.document_id = :'deleted'),
    0::bigint,
    'its job went with it'
);

-- The neighbour's id, with the same filename and another file.

select pg_temp.add_document('scan.pdf', repeat('1', 64)) as mine \gset
select pg_temp.add_document('scan.pdf', repeat('2', 64)) as neighbour \gset
select pg_temp.claim(:'mine', 'w-mine') as my_token \gset
select pg_temp.claim(:'neighbour', 'w-neighbour') as neighbours_token \gset
select pg_temp.snapshot() as before \gset
select is(
    update_ocr_safe(
        :'neighbour', 'scan.pdf', 'my text', 90, 2, 10, :'my_token', repeat('1', 64)
    ),
    false,
    'my token does not write to the neighbour of the same filename (G1)'
);
select is(
    update_ocr_safe(
        :'neighbour', 'scan.pdf', 'my text', 90, 2, 10, null, repeat('1', 64)
    ),
    false,
    'without a token the file''s hash keeps my text off the neighbour (G1)'
);
select is(
    update_ocr_safe(
        :'neighbour', 'scan.pdf', 'my text', 90, 2, 10, :'neighbours_token',
        repeat('1', 64)
    ),
    false,
    'with the neighbour''s own token too (G1)'
);
select is(pg_temp.snapshot(), :'before', 'and neither document changed');
select is(
    pg_temp.incidents(:'neighbour'),
    'stale_lease source_mismatch source_mismatch',
    'three incidents say which rule it was'
);
select results_eq(
    format(
        $$
            select i.worker_id, i.job_id
            from ocr_incidents as i
            where i.document_id = %L
            limit 1
        $$,
        :'neighbour'
    ),
    format(
        $$
            select 'w-neighbour', q.id
            from ocr_queue as q
            where q.document_id = %L
        $$,
        :'neighbour'
    ),
    'an incident names the live job and who holds it'
);
select is_empty(
    $$
        select i.*
        from ocr_incidents as i
        where to_jsonb(i)::text like '%my text%'
    $$,
    'an incident never holds the text itself'
);

-- Retry of a completed document while its old worker still runs.

select pg_temp.add_document() as again \gset
select pg_temp.claim(:'again', 'w-late') as late_token \gset
select pg_temp.take_over(:'again') as new_token \gset
select update_ocr_safe(
    :'again', 'scan.pdf', 'the new text', 90, 3, 10, :'new_token'
) as written \gset
select requeue_document(:'again', 'better engine') as job \gset
select pg_temp.claim(:'again', 'w-third') as third_token \gset
select is(
    update_ocr_safe(:'again', 'scan.pdf', 'late text', 90, 2, 10, :'late_token'),
    false,
    'the first worker is fenced off while a requeued document is processed again (G2)'
);
select is(
    update_ocr_safe(:'again', 'scan.pdf', 'the new text', 90, 3, 10, :'new_token'),
    false,
    'and so is the one whose result was set aside (G2)'
);
select is(
    pg_temp.incidents(:'again'), 'stale_lease stale_lease', 'each leaves an incident'
);
select is(
    update_ocr_safe(:'again', 'scan.pdf', 'third text', 90, 2, 10, :'third_token'),
    true,
    'the third one writes'
);
select is(
    update_ocr_safe(:'again', 'scan.pdf', 'the new text', 90, 3, 10, :'new_token'),
    false,
    'the token of a result that was set aside is no longer the result''s (G11)'
);

-- A document whose job was deleted under its worker.

select pg_temp.add_document() as jobless \gset
select pg_temp.claim(:'jobless') as jobless_token \gset
delete from ocr_queue as q where q.document_id = :'jobless';
select is(
    update_ocr_safe(
        :'jobless', 'scan.pdf', 'jobless text', 90, 2, 10, :'jobless_token'
    ),
    true,
    'the lease alone lets a worker write whose job was deleted'
);
select results_eq(
    format(
        $$
            select h.outcome, h.job_id, h.worker_id, h.lease_token
            from ocr_job_history as h
            where h.document_id = %L
        $$,
        :'jobless'
    ),
    format($$values ('written', null::uuid, null::text, %L::uuid)$$, :'jobless_token'),
    'and the attempt is in the history all the same (G10)'
);

-- A dead job beside the live one, as a plain INSERT leaves it.
select pg_temp.add_document('beside.pdf') as beside \gset
select pg_temp.kill(:'beside') as beside_token \gset
insert into ocr_queue (document_id) values (:'beside');
select c.lease_token as beside_token from claim_ocr_jobs('w-two', 100) as c
where c.document_id = :'beside' \gset
select is(
    update_ocr_safe(:'beside', 'beside.pdf', 'text', 90, 1, 10, gen_random_uuid()),
    false,
    'a stale offer where a dead job stands beside the live one'
);
select results_eq(
    format(
        'select i.job_id from ocr_incidents as i where i.document_id = %L', :'beside'
    ),
    format(
        $$
            select q.id
            from ocr_queue as q
            where q.document_id = %L and q.status = 'processing'
        $$,
        :'beside'
    ),
    'leaves one incident, which names the live one (G10)'
);

-- What carries a text already.

insert into documents (
    filename, ocr_status, ocr_text, ocr_confidence, ocr_word_count, ocr_completed_at
)
values (
    'imported.pdf', 'completed',
    'a text of at least ten words that was brought along here', 90, 11, now()
);
select pg_temp.add_document() as copy \gset
select pg_temp.claim(:'copy') as copy_token \gset
select is(
    update_ocr_safe(
        :'copy', 'scan.pdf', 'a text of at least ten words that was brought along here',
        90, 11, 10, :'copy_token'
    ),
    true,
    'by default a foreign text is written'
);
select is(
    pg_temp.incidents(:'copy'),
    'foreign_text',
    'and recorded, also where its first document was inserted with its result (G7)'
);
select pg_temp.add_document() as similar \gset
select pg_temp.claim(:'similar') as similar_token \gset
update ocr_settings set foreign_text_policy = 'refuse';
select is(
    update_ocr_safe(
        :'similar', 'scan.pdf',
        'A text of at least ten words that was brought along here',
        90, 11, 10, :'similar_token'
    ),
    true,
    'a text that differs in one letter is no foreign text'
);
update ocr_settings set foreign_text_policy = 'record';

-- What the write itself raises goes through, and changes nothing.

create index test_ocr_text on documents using gin (to_tsvector('english', ocr_text));
select pg_temp.add_document() as huge \gset
select pg_temp.claim(:'huge') as huge_token \gset
select pg_temp.snapshot() as before \gset
select throws_ok(
    format(
        $$
            select update_ocr_safe(
                %L, 'scan.pdf',
                (select string_agg(md5(n::text), ' ') from generate_series(1, 60000) as n),
                90, 60000, 10, %L
            )
        $$,
        :'huge', :'huge_token'
    ),
    '54000',
    null,
    'what an index of the user''s own cannot hold raises in the call for one result'
);
select is(pg_temp.snapshot(), :'before', 'and nothing changed');
drop index test_ocr_text;
alter table documents add constraint users_own check (ocr_text not like '%forbidden%');
select throws_ok(
    format(
        $$select update_ocr_safe(%L, 'scan.pdf', 'forbidden', 90, 1, 10, %L)$$,
        :'huge', :'huge_token'
    ),
    '23514',
    null,
    'and so does what a constraint of the user''s own refuses'
);
select is(
    update_ocr_safe(:'huge', 'scan.pdf', 'allowed', 90, 1, 10, :'huge_token'),
    true,
    'the lease is still live then'
);

-- Bad arguments: 22023 with name, range and value, and nothing changed.

select pg_temp.add_document('args.pdf') as args \gset
select pg_temp.claim(:'args') as args_token \gset
select pg_temp.snapshot() as before \gset
create temporary table bad_arguments (arguments text, message text);
insert into bad_arguments (arguments, message)
values
($$p_document_id => null$$, 'p_document_id must be given, not null'),
($$p_expected_filename => null$$, 'p_expected_filename must be given, not null'),
($$p_ocr_text => null$$, 'p_ocr_text must be given (an empty text for an empty page), not null'),
($$p_confidence => null$$, 'p_confidence must be between 0 and 100, not null'),
($$p_confidence => 'NaN'$$, 'p_confidence must be between 0 and 100, not NaN'),
($$p_confidence => 'Infinity'$$, 'p_confidence must be between 0 and 100, not Infinity'),
($$p_confidence => '-Infinity'$$, 'p_confidence must be between 0 and 100, not -Infinity'),
($$p_confidence => -0.1$$, 'p_confidence must be between 0 and 100, not -0.1'),
($$p_confidence => 100.1$$, 'p_confidence must be between 0 and 100, not 100.1'),
($$p_confidence => 150$$, 'p_confidence must be between 0 and 100, not 150'),
($$p_word_count => null$$, 'p_word_count must be zero or more, not null'),
($$p_word_count => -1$$, 'p_word_count must be zero or more, not -1'),
($$p_word_count => -2147483648$$, 'p_word_count must be zero or more, not -2147483648'),
($$p_processing_time_ms => null$$, 'p_processing_time_ms must be zero or more, not null'),
($$p_processing_time_ms => -1$$, 'p_processing_time_ms must be zero or more, not -1'),
($$p_source_hash => ''$$, 'p_source_hash must be null or a SHA-256 in 64 lower-case hexadecimal digits, not '),
($$p_source_hash => repeat('A', 64)$$, 'p_source_hash must be null or a SHA-256 in 64 lower-case hexadecimal digits, not ' || repeat('A', 64)),
($$p_source_hash => repeat('a', 63)$$, 'p_source_hash must be null or a SHA-256 in 64 lower-case hexadecimal digits, not ' || repeat('a', 63)),
($$p_source_hash => repeat('a', 10000)$$, 'p_source_hash must be null or a SHA-256 in 64 lower-case hexadecimal digits, not ' || repeat('a', 100));

select throws_ok(
    'select update_ocr_safe(' || (
        select string_agg(
            case
                when b.arguments like d.name || ' => %' then b.arguments
                else d.name || ' => ' || d.value
            end,
            ', '
        )
        from (
            values
            ('p_document_id', quote_literal(:'args')),
            ('p_expected_filename', '''args.pdf'''),
            ('p_ocr_text', '''some text'''),
            ('p_confidence', '90'),
            ('p_word_count', '2'),
            ('p_processing_time_ms', '10'),
            ('p_lease_token', quote_literal(:'args_token')),
            ('p_source_hash', 'null')
        ) as d (name, value)
    ) || ')',
    '22023',
    b.message,
    format('%s is refused by name (22023)', left(b.arguments, 60))
)
from bad_arguments as b;
select is(pg_temp.snapshot(), :'before', 'a bad argument changes nothing');
select is(
    (select count(*) from ocr_incidents as i where i.document_id = :'args'),
    0::bigint,
    'and leaves no incident: it is wrong use of the call, not a refused write'
);
select is(
    update_ocr_safe(
        :'args', 'args.pdf', 'some text', 90, 2, 2147483647, :'args_token', null, null
    ),
    true,
    'the same call without it writes, with the longest processing time there is'
);

select * from finish();
rollback;
