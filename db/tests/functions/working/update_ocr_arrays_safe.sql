-- The decision table of section 6, through the function for many results as arrays:
-- each offer as a batch of one, then all that can stand side by side as one batch.
-- After that, what the arrays themselves may be, and that one bad result leaves the
-- others.

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
    return next is(
        (
            select string_agg(format('%s %s', r.document_id, r.outcome), ', ')
            from update_ocr_arrays_safe(
                array[v_given.document_id],
                array[p_offer.expected_filename],
                array[p_offer.ocr_text],
                array[p_offer.confidence],
                array[p_offer.word_count],
                array[10],
                array[v_token],
                array[p_offer.source_hash],
                array['engine 1']
            ) as r
        ),
        format('%s %s', v_given.document_id, p_offer.outcome),
        p_offer.description || ': ' || p_offer.outcome
    );
    return query
    select * from pg_temp.check_offer(
        p_offer, v_before, v_given.document_id, v_token, v_given.live_token
    );
    delete from ocr_settings;
    insert into ocr_settings default values;
    delete from documents;
end;
$function$;

select plan((select count(*)::integer * 5 + 112 from offers));

select t.*
from offers as o
cross join lateral pg_temp.run_offer(o) as t
order by o.ordinal;

-- All that need no setting of their own, in one batch.

create temporary table given as
select
    o.ordinal,
    o.outcome,
    o.expected_filename,
    o.ocr_text,
    o.confidence,
    o.word_count,
    o.source_hash,
    a.document_id,
    pg_temp.choose_token(o.token, a.first_token, a.live_token) as token
from offers as o
cross join lateral pg_temp.arrange(o) as a
where o.settings is null;
-- claims of later rows have swept the leases of the earlier, late ones
delete from given as g using offers as o
where o.ordinal = g.ordinal and o.state = 'late';
select results_eq(
    $$
        select r.document_id, r.outcome
        from (
            select
                array_agg(g.document_id order by g.ordinal desc) as document_ids,
                array_agg(g.expected_filename order by g.ordinal desc) as filenames,
                array_agg(g.ocr_text order by g.ordinal desc) as texts,
                array_agg(g.confidence order by g.ordinal desc) as confidences,
                array_agg(g.word_count order by g.ordinal desc) as word_counts,
                array_agg(10 order by g.ordinal desc) as times_ms,
                array_agg(g.token order by g.ordinal desc) as tokens,
                array_agg(g.source_hash order by g.ordinal desc) as source_hashes
            from given as g
        ) as a
        cross join lateral update_ocr_arrays_safe(
            a.document_ids, a.filenames, a.texts, a.confidences, a.word_counts,
            a.times_ms, a.tokens, a.source_hashes
        ) as r
    $$,
    $$select g.document_id, g.outcome from given as g order by g.ordinal desc$$,
    'a batch of all offers gives each its own outcome, in the order of the input'
);
select results_eq(
    $$
        select i.document_id, i.reason
        from ocr_incidents as i
        inner join given as g on g.document_id = i.document_id
        where i.reason <> 'foreign_text'
        order by i.document_id
    $$,
    $$
        select g.document_id, g.outcome
        from given as g
        where g.outcome not in ('written', 'already_written')
        order by g.document_id
    $$,
    'and leaves one incident for each refusal (G10)'
);

-- Documents in hand, and the results for them.

create temporary table batch (n bigint, result ocr_result);
create temporary table answers (
    document_id uuid, outcome text, detail text, n bigint
);

create function pg_temp.arrange_batch(p_size integer default 10)
returns void
language plpgsql
as $function$
begin
    delete from documents;
    delete from ocr_job_history;
    delete from ocr_incidents;
    insert into documents (filename, file_hash, created_at)
    select
        format('page %s.png', n),
        encode(sha256(n::text::bytea), 'hex'),
        now() + n * interval '1 second'
    from generate_series(1, p_size) as n;
    perform enqueue_pending_documents(p_size);
    truncate batch;
    insert into batch (n, result)
    select
        row_number() over (order by d.created_at) as n,
        row(
            c.document_id, c.filename, 'text of ' || c.filename, 90, 4,
            10, c.lease_token, c.file_hash, 'engine 1'
        )::ocr_result as result
    from claim_ocr_jobs('w-batch', p_size) as c
    inner join documents as d on d.id = c.document_id;
end;
$function$;

create function pg_temp.get_document(p_n integer)
returns uuid
language sql
as $function$
    select (b.result).document_id from batch as b where b.n = p_n;
$function$;

-- Changes some of the results of the batch.
create function pg_temp.change(p_n integer, p_change text)
returns void
language sql
as $function$
    update batch as b
    set result = jsonb_populate_record(b.result, p_change::jsonb)
    where b.n = p_n;
$function$;

-- Offers them, and keeps what came of them in a table.
create function pg_temp.offer_batch()
returns text
language plpgsql
as $function$
begin
    truncate answers;
    insert into answers (document_id, outcome, detail, n)
    select r.*
    from (
        select
            array_agg((b.result).document_id order by b.n) as document_ids,
            array_agg((b.result).expected_filename order by b.n) as filenames,
            array_agg((b.result).ocr_text order by b.n) as texts,
            array_agg((b.result).confidence order by b.n) as confidences,
            array_agg((b.result).word_count order by b.n) as word_counts,
            array_agg((b.result).processing_time_ms order by b.n) as times_ms,
            array_agg((b.result).lease_token order by b.n) as tokens,
            array_agg((b.result).source_hash order by b.n) as source_hashes,
            array_agg((b.result).engine order by b.n) as engines
        from batch as b
    ) as a
    cross join lateral update_ocr_arrays_safe(
        a.document_ids, a.filenames, a.texts, a.confidences, a.word_counts, a.times_ms,
        a.tokens, a.source_hashes, a.engines
    ) with ordinality as r (document_id, outcome, detail, n);
    return (select string_agg(a.outcome, ' ' order by a.n) from answers as a);
end;
$function$;

-- Each array ends up in its own column.

select pg_temp.arrange_batch(3);
select pg_temp.change(2, '{"engine": null, "source_hash": null, "lease_token": null}');
select pg_temp.change(3, '{"confidence": 12.5, "word_count": 2, "engine": "engine 3"}');
select is(
    pg_temp.offer_batch(), 'written written written', 'nulls where they are allowed'
);
select results_eq(
    $$
        select
            d.filename, d.ocr_text, d.ocr_confidence, d.ocr_word_count,
            d.ocr_processing_time_ms, d.ocr_engine, d.ocr_source_hash = d.file_hash,
            d.ocr_result_token = h.lease_token, h.engine, h.outcome
        from documents as d
        inner join ocr_job_history as h on h.document_id = d.id
        order by d.filename
    $$,
    $$
        values
        (
            'page 1.png', 'text of page 1.png', 90::real, 4, 10, 'engine 1', true,
            true, 'engine 1', 'written'
        ),
        (
            'page 2.png', 'text of page 2.png', 90::real, 4, 10, null, true, true,
            null, 'written'
        ),
        (
            'page 3.png', 'text of page 3.png', 12.5::real, 2, 10, 'engine 3', true,
            true, 'engine 3', 'written'
        )
    $$,
    'each document has what stands at its place in each of the arrays (G1)'
);
select results_eq(
    'select a.n, a.document_id, a.detail from answers as a order by a.n',
    $$
        select b.n, (b.result).document_id, null::text
        from batch as b
        order by b.n
    $$,
    'and its row in the answer, in order'
);
select is((select count(*) from ocr_incidents), 0::bigint, 'without an incident');
select pg_temp.snapshot() as before \gset
select is(
    pg_temp.offer_batch(),
    'already_written already_completed already_written',
    'a batch that is repeated after COMMIT is already written, as far as the tokens '
    'say so (G11)'
);
select is(pg_temp.snapshot(), :'before', 'and changes nothing');

select pg_temp.arrange_batch(2);
select is(
    (
        select string_agg(r.outcome, ' ')
        from update_ocr_arrays_safe(
            array[pg_temp.get_document(1), pg_temp.get_document(2)],
            array['page 1.png', 'page 2.png'], array['a', 'b'], array[90, 90],
            array[1, 1], array[10, 10], array[null, null]::uuid [], null, null
        ) as r
    ),
    'written written',
    'source hashes and engines may be null, and every token of a first claim'
);
select is(
    (
        select string_agg(
            concat_ws(' ', d.ocr_text, d.ocr_engine), ', ' order by d.ocr_text
        )
        from documents as d
    ),
    'a, b',
    'the engine is not known then'
);

-- What is no batch. All in one transaction, so that the same documents serve each.

select pg_temp.arrange_batch(2);
select pg_temp.snapshot() as before \gset
create function pg_temp.call_with(p_argument text, p_value text)
returns text
language sql
as $function$
    select 'select * from update_ocr_arrays_safe(' || string_agg(
        format(
            '%s => %s', a.name,
            case when a.name = p_argument then p_value else a.value end
        ),
        ', '
    ) || ')'
    from (
        values
        (
            'p_document_ids',
            format(
                '%L::uuid[]', array[pg_temp.get_document(1), pg_temp.get_document(2)]
            )
        ),
        ('p_expected_filenames', 'array[''page 1.png'', ''page 2.png'']'),
        ('p_ocr_texts', 'array[''a'', ''b'']'),
        ('p_confidences', 'array[90, 90]'),
        ('p_word_counts', 'array[1, 1]'),
        ('p_processing_times_ms', 'array[10, 10]'),
        ('p_lease_tokens', 'array[null, null]::uuid[]'),
        ('p_source_hashes', 'array[null, null]'),
        ('p_engines', 'array[null, null]')
    ) as a (name, value);
$function$;
create temporary table arguments as
select a.*
from (
    values
    (1, 'p_expected_filenames', 'text'), (2, 'p_ocr_texts', 'text'),
    (3, 'p_confidences', 'double precision'), (4, 'p_word_counts', 'integer'),
    (5, 'p_processing_times_ms', 'integer'), (6, 'p_lease_tokens', 'uuid'),
    (7, 'p_source_hashes', 'text'), (8, 'p_engines', 'text')
) as a (n, name, type);

select throws_ok(
    pg_temp.call_with(
        a.name, format('array_fill(null::%s, array[%s])', a.type, c.length)
    ),
    '22023',
    format(
        'each array must be as long as p_document_ids, which has 2 elements, not %s '
        'elements',
        (
            select string_agg(
                case when o.n = a.n then c.length else 2 end::text, ', ' order by o.n
            )
            from arguments as o
        )
    ),
    format('%s of %s elements is refused (22023)', a.name, c.length)
)
from arguments as a
cross join (values (0), (1), (3)) as c (length)
order by a.n, c.length;
select throws_ok(
    pg_temp.call_with(a.name, format('null::%s[]', a.type)),
    '22023',
    null,
    format('%s must not be null (22023)', a.name)
)
from arguments as a
where a.n <= 6
order by a.n;
select throws_ok(
    pg_temp.call_with('p_document_ids', c.ids),
    '22023',
    c.message,
    format('p_document_ids of %s is refused (22023)', c.ids)
)
from (
    values
    ('null', 'p_document_ids must be an array of at most 10000 ids, not null'),
    ('array_fill(gen_random_uuid(), array[10001])', 'p_document_ids must be an array of at most 10000 ids, not 10001 ids'),
    ('''{}''', 'each array must be as long as p_document_ids, which has 0 elements, not 2, 2, 2, 2, 2, 2, 2, 2 elements'),
    ('array[gen_random_uuid()]', 'each array must be as long as p_document_ids, which has 1 elements, not 2, 2, 2, 2, 2, 2, 2, 2 elements')
) as c (ids, message);
select throws_ok(
    $$
        select * from update_ocr_arrays_safe(
            array_fill(gen_random_uuid(), array[10001]),
            array_fill('a'::text, array[10001]),
            array_fill('a'::text, array[10001]),
            array_fill(90, array[10001]),
            array_fill(1, array[10001]),
            array_fill(1, array[10001]),
            array_fill(null::uuid, array[10001])
        )
    $$,
    '22023',
    'p_document_ids must be an array of at most 10000 ids, not 10001 ids',
    'a batch has at most 10000 results'
);
select is(pg_temp.snapshot(), :'before', 'all that changes nothing');
select is(
    (select count(*) from ocr_incidents),
    0::bigint,
    'and leaves no incident: it is wrong use of the call'
);
select is(
    (
        select format('%s %s', count(*), string_agg(distinct r.outcome, ' '))
        from update_ocr_arrays_safe(
            array(select gen_random_uuid() from generate_series(1, 10000)),
            array_fill('a'::text, array[10000]),
            array_fill('a'::text, array[10000]),
            array_fill(90, array[10000]),
            array_fill(1, array[10000]),
            array_fill(1, array[10000]),
            array_fill(null::uuid, array[10000])
        ) as r
    ),
    '10000 document_missing',
    '10000 results are a batch'
);
select is_empty(
    $$
        select * from update_ocr_arrays_safe(
            '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}'
        )
    $$,
    'empty arrays have no outcomes'
);
select is_empty(
    $$select * from update_ocr_arrays_safe('{}', '{}', '{}', '{}', '{}', '{}', '{}')$$,
    'nor where source hashes and engines are left out'
);

-- One bad result in the middle. It is what it is in json, and the others are written.

create function pg_temp.check_batch(
    p_description text,
    p_change text,
    p_outcome text,
    p_detail text,
    p_state text
)
returns setof text
language plpgsql
as $function$
declare
    v_document_id uuid;
    v_answer text;
begin
    perform pg_temp.arrange_batch();
    v_document_id := pg_temp.get_document(5);
    perform pg_temp.change(5, p_change);
    perform pg_temp.offer_batch();
    return next results_eq(
        $$
            select a.n, a.document_id, a.outcome, d.ocr_text
            from answers as a
            inner join documents as d on d.id = a.document_id
            where a.n <> 5
            order by a.n
        $$,
        $$
            select b.n, (b.result).document_id, 'written', (b.result).ocr_text
            from batch as b
            where b.n <> 5
            order by b.n
        $$,
        p_description || ': the other nine are written, each with its own text (G1)'
    );
    select format('%s %s', a.outcome, a.detail) into v_answer
    from answers as a
    where a.n = 5;
    return next is(
        v_answer,
        format('%s %s', p_outcome, p_detail),
        format('%s: %s', p_description, p_outcome)
    );
    return next is(
        (
            select format(
                '%s, %s, %s', pg_temp.state(v_document_id),
                pg_temp.history(v_document_id),
                (select string_agg(i.reason, ' ') from ocr_incidents as i)
            )
        ),
        format(
            '%s, %s, %s', p_state,
            case when p_state like 'pending%' then 'retry' end, p_outcome
        ),
        p_description || ': what becomes of its job, and one incident (G10)'
    );
    -- the other door: a new claim of the same document, the same result
    perform pg_temp.arrange_batch();
    perform pg_temp.change(5, p_change);
    return next is(
        (
            select format('%s %s', r.outcome, r.detail)
            from update_ocr_batch_safe(
                (select json_agg(b.result) from batch as b where b.n = 5)
            ) as r
        ),
        v_answer,
        p_description || ': the same as in json'
    );
end;
$function$;

select t.*
from (
    values
    (1, 'no document', '{"document_id": null}', 'document_missing', 'there is no such document', 'processing / processing 1 of 3'),
    (2, 'no filename', '{"expected_filename": null}', 'filename_mismatch', 'the document''s filename is ''page 5.png'', not NULL', 'processing / processing 1 of 3'),
    (3, 'no text', '{"ocr_text": null}', 'rejected_by_database', '22023: p_ocr_text must be given (an empty text for an empty page), not null', 'pending / pending 1 of 3'),
    (4, 'no confidence', '{"confidence": null}', 'rejected_by_database', '22023: p_confidence must be between 0 and 100, not null', 'pending / pending 1 of 3'),
    (5, 'a confidence of NaN', '{"confidence": "NaN"}', 'rejected_by_database', '22023: p_confidence must be between 0 and 100, not NaN', 'pending / pending 1 of 3'),
    (6, 'an infinite confidence', '{"confidence": "-Infinity"}', 'rejected_by_database', '22023: p_confidence must be between 0 and 100, not -Infinity', 'pending / pending 1 of 3'),
    (7, 'no word count', '{"word_count": null}', 'rejected_by_database', '22023: p_word_count must be zero or more, not null', 'pending / pending 1 of 3'),
    (8, 'a negative processing time', '{"processing_time_ms": -1}', 'rejected_by_database', '22023: p_processing_time_ms must be zero or more, not -1', 'pending / pending 1 of 3'),
    (9, 'no processing time', '{"processing_time_ms": null}', 'rejected_by_database', '22023: p_processing_time_ms must be zero or more, not null', 'pending / pending 1 of 3'),
    (10, 'another page''s filename', '{"expected_filename": "page 6.png"}', 'filename_mismatch', 'the document''s filename is ''page 5.png'', not ''page 6.png''', 'processing / processing 1 of 3'),
    (11, 'another attempt''s token', '{"lease_token": "00000000-0000-0000-0000-000000000000"}', 'stale_lease', 'another lease is live: the job was reset and claimed again', 'processing / processing 1 of 3')
) as c (n, description, change, outcome, detail, state)
cross join lateral pg_temp.check_batch(
    c.description, c.change, c.outcome, c.detail, c.state
) as t
order by c.n;

-- What is the user's own: a constraint, a trigger that raises, one that says nothing.

select pg_temp.arrange_batch();
alter table documents add constraint users_own
check (filename not in ('page 3.png', 'page 7.png') or ocr_status <> 'completed');
select is(
    pg_temp.offer_batch(),
    'written written rejected_by_database written written written '
    'rejected_by_database written written written',
    'a constraint of the user''s own that refuses two of ten refuses just these'
);
select results_eq(
    $$
        select
            a.n, left(a.detail, 6), pg_temp.state(a.document_id),
            pg_temp.history(a.document_id), pg_temp.incidents(a.document_id)
        from answers as a
        where a.outcome <> 'written'
        order by a.n
    $$,
    $$
        select
            n::bigint, '23514:', 'pending / pending 1 of 3', 'retry',
            'rejected_by_database'
        from unnest(array[3, 7]) as n
    $$,
    'each says why, and its job is failed as document'
);
alter table documents drop constraint users_own;

create function pg_temp.interfere()
returns trigger
language plpgsql
as $function$
begin
    if new.filename = 'page 2.png' then
        raise exception using errcode = 'P0001', message = 'not on a Sunday';
    end if;
    if new.filename = 'page 4.png' then
        return null;
    end if;
    return new;
end;
$function$;
create trigger test_interfere before update on documents
for each row when (new.ocr_status = 'completed')
execute function pg_temp.interfere();
set local statement_timeout = '60s';
select pg_temp.arrange_batch(4);
select is(
    pg_temp.offer_batch(),
    'written rejected_by_database written rejected_by_database',
    'a trigger of the user''s own that refuses one and suppresses another'
);
select results_eq(
    $$
        select a.detail, pg_temp.state(a.document_id), pg_temp.incidents(a.document_id)
        from answers as a
        where a.outcome <> 'written'
        order by a.n
    $$,
    $$
        values
        (
            'P0001: not on a Sunday', 'pending / pending 1 of 3', 'rejected_by_database'
        ),
        (
            '27000: a trigger on documents suppressed the update',
            'pending / pending 1 of 3', 'rejected_by_database'
        )
    $$,
    'each says why, and its job is failed as document'
);
drop trigger test_interfere on documents;

-- The same document twice, the same text twice.

select pg_temp.arrange_batch(3);
insert into batch (n, result)
select
    4,
    jsonb_populate_record(b.result, '{"ocr_text": "another text"}')
from batch as b
where b.n = 2;
select is(
    pg_temp.offer_batch(),
    'written written written already_written',
    'a document that comes twice under one token is written once (G11)'
);
select is(
    (select d.ocr_text from documents as d where d.id = pg_temp.get_document(2)),
    'text of page 2.png',
    'by the first of the two'
);
select is(
    pg_temp.history(pg_temp.get_document(2)), 'written', 'and is once in the history'
);
select is(
    (select string_agg(i.reason, ' ') from ocr_incidents as i), null, 'no incident'
);

select pg_temp.arrange_batch(3);
insert into batch (n, result)
select
    0,
    jsonb_populate_record(b.result, '{"confidence": -1}')
from batch as b
where b.n = 2;
select is(
    pg_temp.offer_batch(),
    'rejected_by_database written written written',
    'a rejected result does not take the good one of the same document with it'
);
select is(
    pg_temp.state(pg_temp.get_document(2)), 'completed / no job', 'which stands'
);

create temporary table shared (policy text, outcomes text, incidents text);
insert into shared
values
('off', 'written written written', null),
('record', 'written written written', 'foreign_text foreign_text'),
('refuse', 'written foreign_text foreign_text', 'foreign_text foreign_text');
create function pg_temp.check_shared(p_case shared)
returns setof text
language plpgsql
as $function$
begin
    perform pg_temp.arrange_batch(3);
    perform pg_temp.change(
        n, '{"ocr_text": "a b c d e f g h i j k l", "word_count": 12}'
    )
    from generate_series(1, 3) as n;
    update ocr_settings set foreign_text_policy = p_case.policy;
    return next is(
        pg_temp.offer_batch(),
        p_case.outcomes,
        format('one text on three files of one batch, policy %s (G7)', p_case.policy)
    );
    return next is(
        (select string_agg(i.reason, ' ') from ocr_incidents as i),
        p_case.incidents,
        format('policy %s: incidents', p_case.policy)
    );
    update ocr_settings set foreign_text_policy = 'record';
end;
$function$;
select t.* from shared as s cross join lateral pg_temp.check_shared(s) as t;

-- A result that the database rejects does not touch a job that is another's (G2).

select pg_temp.arrange_batch(2);
select pg_temp.take_over(pg_temp.get_document(1)) as new_token \gset
select pg_temp.snapshot() as before \gset
select pg_temp.change(1, '{"confidence": -1}');
delete from batch as b where b.n = 2;
select is(
    pg_temp.offer_batch(), 'stale_lease', 'a late result that is none is stale first'
);
select is(
    pg_temp.snapshot(), :'before', 'and fails no job whose lease it does not hold (G2)'
);

select * from finish();
rollback;
