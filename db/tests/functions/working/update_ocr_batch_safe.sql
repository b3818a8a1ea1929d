-- The decision table of section 6, through the function for many results: each offer as
-- a batch of one, then all that can stand side by side as one batch. After that, what
-- one bad element may not do to the others.

begin;
\ir ../fixtures.psql
\ir offers.psql

create function pg_temp.to_element(p_offer offers, p_document_id uuid, p_token uuid)
returns json
language sql
as $function$
    select json_build_object(
        'document_id', p_document_id,
        'expected_filename', p_offer.expected_filename,
        'ocr_text', p_offer.ocr_text,
        'confidence', p_offer.confidence,
        'word_count', p_offer.word_count,
        'processing_time_ms', 10,
        'lease_token', p_token,
        'source_hash', p_offer.source_hash,
        'engine', 'engine 1'
    );
$function$;

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
            from update_ocr_batch_safe(
                json_build_array(
                    pg_temp.to_element(p_offer, v_given.document_id, v_token)
                )
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

select plan((select count(*)::integer * 5 + 155 from offers));

select t.*
from offers as o
cross join lateral pg_temp.run_offer(o) as t
order by o.ordinal;

-- All that need no setting of their own, in one batch.

create temporary table given as
select
    o.ordinal,
    o.outcome,
    a.document_id,
    pg_temp.to_element(
        o,
        a.document_id,
        pg_temp.choose_token(o.token, a.first_token, a.live_token)
    ) as element
from offers as o
cross join lateral pg_temp.arrange(o) as a
where o.settings is null and o.confidence <> 1e-50;
-- claims of later rows have swept the leases of the earlier, late ones
delete from given as g using offers as o
where o.ordinal = g.ordinal and o.state = 'late';
select results_eq(
    $$
        select r.document_id, r.outcome
        from update_ocr_batch_safe(
            (select json_agg(g.element order by g.ordinal desc) from given as g)
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
delete from documents;
delete from ocr_job_history;
delete from ocr_incidents;

-- What is no batch.

select is_empty(
    $$select * from update_ocr_batch_safe('[]')$$, 'an empty array has no outcomes'
);
select throws_ok(
    format('select * from update_ocr_batch_safe(%L)', c.results),
    '22023',
    'p_results must be a json array of results, not ' || coalesce(c.results, 'null'),
    format('%s is no batch', coalesce(c.results, 'null'))
)
from (
    values (null), ('null'), ('{}'), ('{"document_id": null}'), ('1'), ('"a"'), ('true')
) as c (results);
select throws_ok(
    $$
        select * from update_ocr_batch_safe(
            (select json_agg('{}'::json) from generate_series(1, 10001))
        )
    $$,
    '22023',
    'p_results must be at most 10000 results, not 10001 results',
    'a batch has at most 10000 results'
);

-- A hundred documents in hand, and elements for them.

create function pg_temp.arrange_batch(p_size integer default 100)
returns void
language plpgsql
as $function$
begin
    delete from documents;
    delete from ocr_job_history;
    delete from ocr_incidents;
    insert into documents (filename, created_at)
    select format('page %s.png', n), now() + n * interval '1 second'
    from generate_series(1, p_size) as n;
    perform enqueue_pending_documents(p_size);
    drop table if exists batch;
    create temporary table batch as
    select
        row_number() over (order by d.created_at) as n,
        c.document_id,
        json_build_object(
            'document_id', c.document_id,
            'expected_filename', c.filename,
            'ocr_text', 'text of ' || c.filename,
            'confidence', 90,
            'word_count', 4,
            'processing_time_ms', 10,
            'lease_token', c.lease_token,
            'source_hash', null,
            'engine', 'engine 1'
        )::jsonb as element
    from claim_ocr_jobs('w-batch', p_size) as c
    inner join documents as d on d.id = c.document_id;
end;
$function$;

-- Replaces element 50 by p_element (json text, as it has to hold what jsonb cannot),
-- offers all, and keeps what came of it in a table.
create function pg_temp.offer_batch(p_element text)
returns void
language plpgsql
as $function$
begin
    drop table if exists answers;
    create temporary table answers as
    select r.*
    from update_ocr_batch_safe(
        (
            select
                '['
                || string_agg(
                    case when b.n = 50 then p_element else b.element::text end,
                    ',' order by b.n
                )
                || ']'
            from batch as b
        )::json
    ) with ordinality as r (document_id, outcome, detail, n);
end;
$function$;

create function pg_temp.check_batch(
    p_description text,
    p_element text,
    p_outcome text,
    p_detail text,
    p_state text
)
returns setof text
language plpgsql
as $function$
declare
    v_document_id uuid;
begin
    perform pg_temp.arrange_batch();
    v_document_id := (select b.document_id from batch as b where b.n = 50);
    perform pg_temp.offer_batch(
        replace(
            replace(p_element, '$document', v_document_id::text),
            '$token',
            (select b.element ->> 'lease_token' from batch as b where b.n = 50)
        )
    );
    return next results_eq(
        'select a.n, a.document_id, a.outcome from answers as a '
        'where a.n <> 50 order by a.n',
        $$
            select b.n, b.document_id, 'written'
            from batch as b
            where b.n <> 50
            order by b.n
        $$,
        p_description || ': the other 99 are written, in the order of the input'
    );
    return next results_eq(
        'select a.outcome, a.detail from answers as a where a.n = 50',
        format('values (%L::text, %L::text)', p_outcome, p_detail),
        p_description || ': the answer says what was wrong'
    );
    return next results_eq(
        $$
            select
                count(*), count(distinct d.ocr_text),
                bool_and(d.ocr_text = 'text of ' || d.filename)
            from documents as d
            inner join batch as b on b.document_id = d.id
            where d.ocr_status = 'completed' and b.n <> 50
        $$,
        'values (99::bigint, 99::bigint, true)',
        p_description || ': each of the 99 carries its own text (G1)'
    );
    return next is(
        pg_temp.state(v_document_id), p_state, p_description || ': ' || p_state
    );
    return next is(
        (select string_agg(i.reason || ' ' || coalesce(i.document_id = v_document_id, false)::text, ', ') from ocr_incidents as i),
        p_outcome || ' true',
        p_description || ': one incident, of that document (G10)'
    );
    return next is(
        pg_temp.history(v_document_id),
        case p_outcome when 'rejected_by_database' then 'retry' else '' end,
        p_description || ': the history of its job'
    );
end;
$function$;

create temporary table element (json text);
insert into element
values
(
    '{"document_id": "$document", "expected_filename": "page 50.png", '
    '"ocr_text": "TEXT", '
    '"confidence": 90, "word_count": 1, "processing_time_ms": 10, '
    '"lease_token": "$token", "source_hash": null}'
);

-- a text that an index of the user's own cannot hold
create index test_ocr_text on documents using gin (to_tsvector('english', ocr_text));
select pg_temp.arrange_batch();
select pg_temp.offer_batch(
    (
        select jsonb_set(
            b.element || '{"word_count": 60000}',
            '{ocr_text}',
            to_jsonb(
                (
                    select string_agg(md5(n::text), ' ')
                    from generate_series(1, 60000) as n
                )
            )
        )::text
        from batch as b
        where b.n = 50
    )
);
select is(
    (select string_agg(a.outcome, ' ' order by a.n) from answers as a),
    rtrim(repeat('written ', 49) || 'rejected_by_database ' || repeat('written ', 50)),
    'a text that an index of the user''s own cannot hold leaves the 99 others written'
);
select matches(
    (select a.detail from answers as a where a.n = 50),
    '^54000: string is too long for tsvector',
    'its detail is SQLSTATE and message'
);
select is(
    (select pg_temp.state(b.document_id) from batch as b where b.n = 50),
    'pending / pending 1 of 3',
    'its job is failed as document: an attempt is spent'
);
select results_eq(
    $$
        select h.outcome, h.error_class, left(h.error, 6)
        from ocr_job_history as h
        inner join batch as b on b.document_id = h.document_id
        where b.n = 50
    $$,
    $$values ('retry', 'document', '54000:')$$,
    'and the history says why'
);
select results_eq(
    $$
        select
            i.reason, i.document_id, i.text_length, i.offered_token, left(i.detail, 6)
        from ocr_incidents as i
    $$,
    $$
        select
            'rejected_by_database', b.document_id, 60000 * 33 - 1,
            (b.element ->> 'lease_token')::uuid, '54000:'
        from batch as b
        where b.n = 50
    $$,
    'and so does the incident, which names document, token and length (G10)'
);
select is(
    (
        select count(*)
        from documents as d
        inner join batch as b on b.document_id = d.id
        where d.ocr_status = 'completed' and d.ocr_text = 'text of ' || d.filename
    ),
    99::bigint,
    'each of the 99 carries its own text (G1)'
);
drop index test_ocr_text;

-- what PostgreSQL cannot read or store
select t.*
from element as e
cross join lateral (
    values
    (1, 'a NUL in the text', 'TEXT', 'a\u0000b', '22P05: unsupported Unicode escape sequence'),
    (2, 'a word count that no integer holds', '"word_count": 1', '"word_count": 99999999999', '22003: value "99999999999" is out of range for type integer'),
    (3, 'a word count with a fraction', '"word_count": 1', '"word_count": 1.5', '22P02: invalid input syntax for type integer: "1.5"'),
    (4, 'a confidence that no double holds', '"confidence": 90', '"confidence": 1e999', '22003: "1e999" is out of range for type double precision'),
    (5, 'a confidence in words', '"confidence": 90', '"confidence": "high"', '22P02: invalid input syntax for type double precision: "high"'),
    (6, 'a confidence of NaN', '"confidence": 90', '"confidence": "NaN"', '22023: p_confidence must be between 0 and 100, not NaN'),
    (7, 'an infinite confidence', '"confidence": 90', '"confidence": "-Infinity"', '22023: p_confidence must be between 0 and 100, not -Infinity'),
    (8, 'a confidence of 100.1', '"confidence": 90', '"confidence": 100.1', '22023: p_confidence must be between 0 and 100, not 100.1'),
    (9, 'no confidence', '"confidence": 90', '"confidence": null', '22023: p_confidence must be between 0 and 100, not null'),
    (10, 'a negative word count', '"word_count": 1', '"word_count": -1', '22023: p_word_count must be zero or more, not -1'),
    (11, 'a negative processing time', '"processing_time_ms": 10', '"processing_time_ms": -1', '22023: p_processing_time_ms must be zero or more, not -1'),
    (12, 'no text', '"TEXT"', 'null', '22023: p_ocr_text must be given (an empty text for an empty page), not null'),
    (13, 'a source that is no SHA-256', '"source_hash": null', '"source_hash": "abc"', '22023: p_source_hash must be null or a SHA-256 in 64 lower-case hexadecimal digits, not abc'),
    (14, 'an empty text with a confidence of 150', '"ocr_text": "TEXT", "confidence": 90', '"ocr_text": "", "confidence": 150', '22023: p_confidence must be between 0 and 100, not 150')
) as c (n, description, old, new, detail)
cross join lateral pg_temp.check_batch(
    c.description,
    replace(e.json, c.old, c.new),
    'rejected_by_database',
    c.detail,
    'pending / pending 1 of 3'
) as t
order by c.n;

-- an element that is refused by the rules
select t.*
from element as e
cross join lateral pg_temp.check_batch(
    'another page''s filename',
    replace(e.json, 'page 50', 'page 51'),
    'filename_mismatch',
    'the document''s filename is ''page 50.png'', not ''page 51.png''',
    'processing / processing 1 of 3'
) as t;

-- Elements that name no document at all.
select pg_temp.arrange_batch();
create function pg_temp.check_stray(p_element text, p_outcome text)
returns setof text
language plpgsql
as $function$
begin
    perform pg_temp.arrange_batch();
    perform pg_temp.offer_batch(p_element);
    return next is(
        (select string_agg(a.outcome, ' ' order by a.n) from answers as a),
        rtrim(repeat('written ', 49) || p_outcome || ' ' || repeat('written ', 50)),
        format(
            '%s in the middle is %s, the 99 others are written', p_element, p_outcome
        )
    );
    return next results_eq(
        'select i.reason, i.offered_token is null, i.detail is not null '
        'from ocr_incidents as i',
        format('values (%L, true, true)', p_outcome),
        format('%s leaves one incident (G10)', p_element)
    );
end;
$function$;
select t.*
from (
    values
    (1, '{}', 'document_missing'),
    (2, '{"document_id": null, "ocr_text": "a"}', 'document_missing'),
    (3, '{"document_id": "00000000-0000-0000-0000-000000000000"}', 'document_missing'),
    (4, '{"document_id": "scan.pdf"}', 'rejected_by_database'),
    (5, '{"document_id": 5}', 'rejected_by_database'),
    (6, 'null', 'rejected_by_database'),
    (7, '5', 'rejected_by_database'),
    (8, '"text"', 'rejected_by_database'),
    (9, '[]', 'rejected_by_database'),
    (10, '[{"a": 1}]', 'rejected_by_database')
) as c (n, element, outcome)
cross join lateral pg_temp.check_stray(c.element, c.outcome) as t
order by c.n;

-- A constraint of the user's own, several times in one batch.
select pg_temp.arrange_batch(10);
alter table documents add constraint users_own
check (filename not in ('page 3.png', 'page 7.png') or ocr_status <> 'completed');
select results_eq(
    $$
        select r.n, r.outcome, left(r.detail, 6)
        from update_ocr_batch_safe(
            (select json_agg(b.element order by b.n) from batch as b)
        ) with ordinality as r (document_id, outcome, detail, n)
        where r.outcome <> 'written'
        order by r.n
    $$,
    $$
        values
        (3::bigint, 'rejected_by_database', '23514:'),
        (7::bigint, 'rejected_by_database', '23514:')
    $$,
    'a constraint of the user''s own that refuses two of ten refuses just these'
);
alter table documents drop constraint users_own;

-- The same document twice, the same text twice.

select pg_temp.arrange_batch(3);
select is(
    (
        select string_agg(r.outcome, ' ')
        from update_ocr_batch_safe(
            (
                select json_agg(
                    jsonb_set(b.element, '{ocr_text}', to_jsonb('text number ' || c.n))
                    order by c.n
                )
                from batch as b
                cross join (values (1), (2)) as c (n)
                where b.n = 2
            )
        ) as r
    ),
    'written already_written',
    'a document that comes twice under one token is written once (G11)'
);
select is(
    (
        select d.ocr_text
        from documents as d
        inner join batch as b on b.document_id = d.id
        where b.n = 2
    ),
    'text number 1',
    'by the first of the two'
);
select is(
    (select pg_temp.history(b.document_id) from batch as b where b.n = 2),
    'written',
    'and is once in the history'
);
select is(
    (
        select string_agg(r.outcome, ' ')
        from update_ocr_batch_safe(
            (
                select json_agg(
                    case c.n
                        when 1 then b.element || '{"confidence": -1}'
                        else b.element
                    end
                    order by c.n
                )
                from batch as b
                cross join (values (1), (2)) as c (n)
                where b.n = 3
            )
        ) as r
    ),
    'rejected_by_database written',
    'a rejected element does not take the good one of the same document with it'
);
select is(
    (select pg_temp.state(b.document_id) from batch as b where b.n = 3),
    'completed / no job',
    'which stands'
);

create temporary table shared (
    policy text, outcomes text, written bigint, incidents text
);
insert into shared
values
('off', 'written written written', 3, null),
('record', 'written written written', 3, 'foreign_text foreign_text'),
('refuse', 'written foreign_text foreign_text', 1, 'foreign_text foreign_text');
create function pg_temp.check_shared(p_case shared)
returns setof text
language plpgsql
as $function$
begin
    perform pg_temp.arrange_batch(3);
    update ocr_settings set foreign_text_policy = p_case.policy;
    return next is(
        (
            select string_agg(r.outcome, ' ')
            from update_ocr_batch_safe(
                (
                    select json_agg(
                        b.element
                        || '{"ocr_text": "a b c d e f g h i j k l", "word_count": 12}'
                        order by b.n
                    )
                    from batch as b
                )
            ) as r
        ),
        p_case.outcomes,
        format('one text on three files of one batch, policy %s (G7)', p_case.policy)
    );
    return next is(
        (select count(*) from documents as d where d.ocr_status = 'completed'),
        p_case.written,
        format('policy %s: %s of the three are written', p_case.policy, p_case.written)
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

-- A batch may be repeated as a whole (G11).

select pg_temp.arrange_batch(5);
select count(*) as first_time from update_ocr_batch_safe(
    (select json_agg(b.element) from batch as b)
) \gset
select pg_temp.snapshot() as before \gset
select is(
    (
        select string_agg(distinct r.outcome, ' ')
        from update_ocr_batch_safe((select json_agg(b.element) from batch as b)) as r
    ),
    'already_written',
    'a batch that is repeated after COMMIT is already written (G11)'
);
select is(pg_temp.snapshot(), :'before', 'and changes nothing');
select is((select count(*) from ocr_incidents), 0::bigint, 'and leaves no incident');

-- A rejected element whose lease is another's does not touch the job (G2).

select pg_temp.arrange_batch(2);
create temporary table taken as
select b.document_id, pg_temp.take_over(b.document_id) as token from batch as b
where b.n = 1;
select pg_temp.snapshot() as before \gset
select is(
    (
        select r.outcome
        from update_ocr_batch_safe(
            (
                select format(
                    '[{"document_id": %s, "lease_token": %s, "confidence": "high"}]',
                    b.element -> 'document_id', b.element -> 'lease_token'
                )::json
                from batch as b
                where b.n = 1
            )
        ) as r
    ),
    'rejected_by_database',
    'an element that cannot be read is rejected_by_database'
);
select is(
    pg_temp.snapshot(), :'before', 'but fails no job whose lease it does not hold (G2)'
);
select is(
    (
        select r.outcome
        from update_ocr_batch_safe(
            (
                select format(
                    '[{"document_id": %s, "confidence": "high"}]',
                    b.element -> 'document_id'
                )::json
                from batch as b
                where b.n = 1
            )
        ) as r
    ),
    'rejected_by_database',
    'and so is one without a token'
);
select is(
    pg_temp.snapshot(),
    :'before',
    'which fails no job either, where the document was claimed twice'
);
select is(
    (
        select r.outcome
        from update_ocr_batch_safe(
            (
                select format(
                    '[{"document_id": %s, "confidence": "high"}]',
                    b.element -> 'document_id'
                )::json
                from batch as b
                where b.n = 2
            )
        ) as r
    ),
    'rejected_by_database',
    'the first and only claim may go without a token'
);
select is(
    (select pg_temp.state(b.document_id) from batch as b where b.n = 2),
    'pending / pending 1 of 3',
    'and its job is failed as document'
);
select pg_temp.arrange_batch(1);
update ocr_settings set require_lease_token = true;
select pg_temp.snapshot() as before \gset
select r.outcome from update_ocr_batch_safe(
    (
        select format(
            '[{"document_id": %s, "confidence": "high"}]', b.element -> 'document_id'
        )::json
        from batch as b
    )
) as r \gset
select is(
    pg_temp.snapshot(), :'before', 'but not where the setting require_lease_token is on'
);
update ocr_settings set require_lease_token = false;

-- A token that cannot be read still leaves the document to be named.

select pg_temp.arrange_batch(1);
select is(
    (
        select r.document_id
        from update_ocr_batch_safe(
            (
                select format(
                    '[{"lease_token": "no token", "document_id": %s}]',
                    b.element -> 'document_id'
                )::json
                from batch as b
            )
        ) as r
    ),
    (select b.document_id from batch as b),
    'the document is named where the token is none'
);
select is(
    (select i.document_id from ocr_incidents as i),
    (select b.document_id from batch as b),
    'in the incident too'
);

-- Where a job dies of rejected results.

select pg_temp.arrange_batch(1);
update ocr_queue set attempts = 3;
select r.outcome from update_ocr_batch_safe(
    (select json_agg(b.element || '{"confidence": -1}') from batch as b)
) as r \gset
select is(
    (select pg_temp.state(b.document_id) from batch as b),
    'failed / failed 3 of 3',
    'the last attempt whose result is rejected leaves a dead job (G9)'
);

select * from finish();
rollback;
