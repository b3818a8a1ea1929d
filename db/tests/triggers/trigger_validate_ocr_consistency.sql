-- G8: the guarantees hold against plain SQL, from any client.

begin;
\ir ../functions/fixtures.psql
\ir ../functions/working/offers.psql

select plan(395);

-- Section 6 by plain UPDATE, where the rule is one of the row alone.

create function pg_temp.run_offer(p_offer offers)
returns setof text
language plpgsql
as $function$
declare
    v_given record;
    v_token uuid;
    v_before text;
    v_update text;
begin
    v_given := pg_temp.arrange(p_offer);
    v_token := pg_temp.choose_token(
        p_offer.token, v_given.first_token, v_given.live_token
    );
    v_before := pg_temp.snapshot();
    v_update := format(
        'update documents set ocr_status = ''completed'', filename = %L, '
        'ocr_text = %L, ocr_confidence = %L, ocr_word_count = %L, '
        'ocr_processing_time_ms = 10, ocr_source_hash = %L, ocr_result_token = %L, '
        'ocr_engine = ''engine 1'' where id = %L',
        p_offer.expected_filename, p_offer.ocr_text, p_offer.confidence,
        p_offer.word_count, p_offer.source_hash, v_token, v_given.document_id
    );
    if p_offer.sqlstate = 'ok' then
        return next lives_ok(
            v_update, 'plain UPDATE: ' || p_offer.description || ': it writes'
        );
        return query
        select * from pg_temp.check_offer(
            p_offer, v_before, v_given.document_id, v_token, v_given.live_token
        );
    else
        return next throws_ok(
            v_update, p_offer.sqlstate, null,
            format('plain UPDATE: %s: %s', p_offer.description, p_offer.sqlstate)
        );
        return next is(
            pg_temp.snapshot(),
            v_before,
            'plain UPDATE: ' || p_offer.description || ': nothing changed'
        );
    end if;
    delete from documents;
end;
$function$;

select t.*
from offers as o
cross join lateral pg_temp.run_offer(o) as t
where o.sqlstate is not null
order by o.ordinal;

-- The state machine: every state, alone and with its job, and every plain UPDATE of
-- ocr_status.

create function pg_temp.enter(p_state text)
returns uuid
language plpgsql
as $function$
declare
    v_document_id constant uuid := pg_temp.add_document();
begin
    case p_state
        when 'pending' then
            null;
        when 'pending, job pending' then
            perform enqueue_ocr_job(v_document_id);
        when 'processing, job processing' then
            perform pg_temp.claim(v_document_id);
        when 'processing' then
            perform pg_temp.claim(v_document_id);
            delete from ocr_queue as q where q.document_id = v_document_id;
        when 'completed' then
            perform pg_temp.complete(v_document_id);
        when 'completed, job pending' then
            perform pg_temp.complete(v_document_id);
            insert into ocr_queue (document_id) values (v_document_id);
        when 'failed, job failed' then
            perform pg_temp.kill(v_document_id);
        when 'failed' then
            perform pg_temp.kill(v_document_id);
            delete from ocr_queue as q where q.document_id = v_document_id;
    end case;
    return v_document_id;
end;
$function$;
create function pg_temp.check_transition(p_from text, p_to text, p_sqlstate text)
returns setof text
language plpgsql
as $function$
declare
    v_document_id constant uuid := pg_temp.enter(p_from);
    v_update constant text := format(
        'update documents set ocr_status = %L where id = %L', p_to, v_document_id
    );
    v_before constant text := pg_temp.snapshot();
begin
    if p_sqlstate is null then
        return next lives_ok(
            v_update, format('%s -> %s is allowed', p_from, coalesce(p_to, 'null'))
        );
        return next results_eq(
            format(
                $$
                    select
                        d.ocr_status,
                        (d.ocr_status = 'processing') = (d.ocr_lease_token is not null)
                    from documents as d
                    where d.id = %L
                $$,
                v_document_id
            ),
            format('values (%L::text, true)', p_to),
            format('%s -> %s: status and lease fit together', p_from, p_to)
        );
    else
        return next throws_ok(
            v_update,
            p_sqlstate,
            null,
            format('%s -> %s raises %s', p_from, coalesce(p_to, 'null'), p_sqlstate)
        );
        return next is(
            pg_temp.snapshot(),
            v_before,
            format('%s -> %s changes nothing', p_from, coalesce(p_to, 'null'))
        );
    end if;
    delete from documents;
end;
$function$;

select t.*
from (
    values
    ('pending', 'pending', null),
    ('pending', 'processing', 'OG004'),
    ('pending', 'completed', 'OG002'),
    ('pending', 'failed', null),
    ('pending', null, '23502'),
    ('pending', 'done', '23514'),
    ('pending, job pending', 'pending', null),
    ('pending, job pending', 'processing', 'OG004'),
    ('pending, job pending', 'completed', 'OG002'),
    ('pending, job pending', 'failed', 'OG004'),
    ('pending, job pending', null, '23502'),
    ('processing, job processing', 'pending', 'OG004'),
    ('processing, job processing', 'processing', null),
    ('processing, job processing', 'completed', 'OG002'),
    ('processing, job processing', 'failed', 'OG004'),
    ('processing, job processing', null, 'OG004'),
    ('processing, job processing', 'done', 'OG004'),
    ('processing', 'pending', null),
    ('processing', 'processing', null),
    ('processing', 'completed', 'OG002'),
    ('processing', 'failed', null),
    ('processing', null, '23502'),
    ('completed', 'pending', 'OG003'),
    ('completed', 'processing', 'OG003'),
    ('completed', 'completed', null),
    ('completed', 'failed', 'OG003'),
    ('completed', null, 'OG003'),
    ('completed', 'done', 'OG003'),
    ('completed, job pending', 'pending', 'OG003'),
    ('completed, job pending', 'processing', 'OG003'),
    ('completed, job pending', 'failed', 'OG003'),
    ('failed, job failed', 'pending', null),
    ('failed, job failed', 'processing', 'OG004'),
    ('failed, job failed', 'completed', 'OG002'),
    ('failed, job failed', 'failed', null),
    ('failed, job failed', null, '23502'),
    ('failed', 'pending', null),
    ('failed', 'processing', 'OG004'),
    ('failed', 'completed', 'OG002'),
    ('failed', 'failed', null),
    ('failed', null, '23502')
) as c (state, to_state, code)
cross join lateral pg_temp.check_transition(c.state, c.to_state, c.code) as t;

-- The way round that the naive check has: completed -> null -> failed.
select pg_temp.enter('completed') as completed \gset
select throws_ok(
    format($$update documents set ocr_status = null where id = %L$$, :'completed'),
    'OG003',
    format(
        'the OCR result of document %s is final: an UPDATE would make it null',
        :'completed'
    ),
    'completed -> null -> failed ends at its first step (G4)'
);

-- Every column of a completed result is final.

create function pg_temp.check_columns(p_state text, p_sqlstate text, p_description text)
returns setof text
language plpgsql
as $function$
declare
    v_document_id constant uuid := pg_temp.enter(p_state);
    v_before constant text := pg_temp.snapshot();
    v_case record;
begin
    for v_case in
        values
        ('ocr_text', '''other'''), ('ocr_text', 'null'), ('ocr_text', ''''''),
        ('ocr_confidence', '1'), ('ocr_confidence', 'null'), ('ocr_word_count', '1'),
        ('ocr_word_count', 'null'), ('ocr_processing_time_ms', '1'), ('ocr_engine', '''other'''),
        ('ocr_source_hash', 'repeat(''b'', 64)'), ('ocr_text_hash', '1'),
        ('ocr_completed_at', 'now() - interval ''1 day'''),
        ('ocr_result_token', 'gen_random_uuid()')
    loop
        continue when p_state <> 'completed' and v_case.column2 in ('null', '''''');
        return next throws_ok(
            format(
                'update documents set %I = %s where id = %L',
                v_case.column1, v_case.column2, v_document_id
            ),
            p_sqlstate,
            null,
            format(p_description, v_case.column1, v_case.column2)
        );
    end loop;
    return next is(
        pg_temp.snapshot(), v_before, p_state || ': none of it changes anything'
    );
    delete from documents;
end;
$function$;
select * from pg_temp.check_columns(
    'completed', 'OG003', 'a completed document''s %s cannot become %s (G4)'
);
select * from pg_temp.check_columns(
    'pending', 'OG004', 'a pending document''s %s cannot become %s'
);
select * from pg_temp.check_columns(
    'processing, job processing',
    'OG004',
    'a processing document''s %s cannot become %s'
);
select * from pg_temp.check_columns(
    'failed, job failed', 'OG004', 'a failed document''s %s cannot become %s'
);

-- What an error says.
select pg_temp.enter('completed') as completed \gset
select throws_ok(
    format($$update documents set ocr_text = 'other' where id = %L$$, :'completed'),
    'OG003',
    format(
        'the OCR result of document %s is final: an UPDATE would change it',
        :'completed'
    ),
    'OG003 names the document'
);
select pg_temp.enter('pending') as pending \gset
select throws_ok(
    format($$update documents set ocr_text = 'other' where id = %L$$, :'pending'),
    'OG004',
    format(
        'the result of document %s may be written only by completing it', :'pending'
    ),
    'and so does OG004'
);
select throws_ok(
    format(
        $$update documents set ocr_text = 'a', ocr_status = 'completed' where id = %L$$,
        :'pending'
    ),
    'OG002',
    format('no live lease to write a result for document %s (stale_lease)', :'pending'),
    'the specification''s vulnerable UPDATE is refused with OG002'
);
delete from documents;

-- A write that completes: what else it may not do, and what the trigger adds.

select pg_temp.add_document('scan.pdf', repeat('a', 64)) as document \gset
select pg_temp.claim(:'document') as token \gset
select pg_temp.snapshot() as before \gset
create function pg_temp.completion(p_token uuid, p_column text, p_value text)
returns text
language sql
as $function$
    select 'update documents set ocr_status = ''completed'', ' || string_agg(
        format(
            '%I = %s', c.name, case when c.name = p_column then p_value else c.value end
        ),
        ', '
    )
    from (
        values
        ('ocr_text', '''a b'''), ('ocr_confidence', '90'), ('ocr_word_count', '2'),
        ('ocr_processing_time_ms', '10'), ('ocr_result_token', quote_literal(p_token)),
        ('filename', 'filename'), ('file_path', 'file_path'), ('file_hash', 'file_hash'),
        ('file_size', 'file_size'), ('ocr_source_hash', 'null')
    ) as c (name, value);
$function$;
select throws_ok(
    pg_temp.completion(:'token', c.name, c.value),
    c.code,
    null,
    c.description
)
from (
    values
    ('filename', '''other.pdf''', 'OG002', 'a result cannot come with another filename (G1)'),
    ('file_path', '''/other''', 'OG002', 'a result cannot come with another path (G1)'),
    ('file_hash', 'repeat(''b'', 64)', 'OG002', 'a result cannot come with another hash (G1)'),
    ('ocr_source_hash', 'repeat(''b'', 64)', 'OG005', 'a result cannot be read from another file (G1)'),
    ('ocr_text', 'null', '23514', 'a completed document has a text'),
    ('ocr_confidence', 'null', '23514', 'a completed document has a confidence'),
    ('ocr_word_count', 'null', '23514', 'a completed document has a word count'),
    ('ocr_confidence', '''NaN''', '23514', 'a confidence of NaN is refused'),
    ('ocr_confidence', '''Infinity''', '23514', 'an infinite confidence is refused'),
    ('ocr_confidence', '''-Infinity''', '23514', 'a negative infinite confidence is refused'),
    ('ocr_confidence', '-0.1', '23514', 'a confidence of -0.1 is refused'),
    ('ocr_confidence', '100.1', '23514', 'a confidence of 100.1 is refused'),
    ('ocr_word_count', '-1', '23514', 'a negative word count is refused'),
    ('ocr_processing_time_ms', '-1', '23514', 'a negative processing time is refused')
) as c (name, value, code, description);
select is(pg_temp.snapshot(), :'before', 'and nothing changed');
select lives_ok(
    format(
        $$
            update documents
            set
                ocr_status = 'completed', ocr_text = 'a b', ocr_confidence = 90,
                ocr_word_count = 2, ocr_result_token = %L, ocr_text_hash = 1,
                ocr_error = 'none', mime_type = 'image/png'
            where id = %L
        $$,
        :'token', :'document'
    ),
    'an UPDATE with the live lease token completes the document (G8)'
);
select results_eq(
    $$
        select
            d.ocr_status, d.ocr_lease_token, d.ocr_text_hash = hash_ocr_text('a b'),
            d.ocr_completed_at >= now(), d.ocr_source_hash, d.ocr_error, d.mime_type
        from documents as d
    $$,
    $$
        values (
            'completed', null::uuid, true, true, repeat('a', 64), null::text,
            'image/png'
        )
    $$,
    'the trigger ends the lease and adds hash, time and source'
);
select is(pg_temp.history(:'document'), 'written', 'the job is in the history (G3)');
delete from documents;
select pg_temp.add_document() as document \gset
select pg_temp.claim(:'document') as token \gset
select throws_ok(
    pg_temp.completion(:'token', 'file_size', '1'),
    'OG002',
    null,
    'a result cannot come with another size of the file (G1)'
);
delete from documents;

-- The lease is the claim's alone.

select pg_temp.enter('processing, job processing') as leased \gset
select throws_ok(
    format('update documents set %s where id = %L', c.change, :'leased'),
    'OG004',
    format('document %s can be claimed only with a lease', :'leased'),
    c.description
)
from (
    values
    ('ocr_lease_token = gen_random_uuid()', 'a live lease token cannot be changed (G2)'),
    ('ocr_lease_token = null', 'a live lease token cannot be taken away (G2)'),
    ('ocr_lease_token = null, ocr_claims = ocr_claims + 1', 'nor by the way of a claim'),
    ('ocr_lease_token = gen_random_uuid(), ocr_claims = ocr_claims + 2', 'a claim counts one')
) as c (change, description);
select pg_temp.enter('pending') as pending \gset
select throws_ok(
    format(
        $$
            update documents
            set ocr_status = 'processing', ocr_lease_token = gen_random_uuid()
            where id = %L
        $$,
        :'pending'
    ),
    'OG004',
    format('document %s can be claimed only with a lease', :'pending'),
    'a pending document cannot be taken without a claim'
);
select throws_ok(
    format(
        'update documents set ocr_lease_token = gen_random_uuid() where id = %L',
        :'pending'
    ),
    '23514',
    null,
    'a lease token stands on a processing document only'
);
delete from documents;

-- The count of claims decides whether a result without a lease token is ambiguous: it
-- is the claim's alone.

select pg_temp.enter('pending') as pending \gset
select pg_temp.enter('processing, job processing') as leased \gset
select pg_temp.enter('processing') as jobless \gset
select throws_ok(
    format('update documents set %s where id = %L', c.change, c.document_id),
    'OG004',
    format('ocr_claims of document %s counts its claims', c.document_id),
    c.description
)
from (
    values
    ('ocr_claims = 5', :'pending', 'a pending document was claimed as often as it was'),
    ('ocr_claims = 0', :'leased', 'the count does not start again under a lease (G2)'),
    ('ocr_claims = 2', :'leased', 'nor goes on without a claim'),
    (
        'ocr_claims = 0, ocr_status = ''pending'', ocr_lease_token = null', :'jobless',
        'nor starts again when the lease ends'
    )
) as c (change, document_id, description);
delete from documents;

-- What another document has does not help: neither its set-aside result, nor its job.

create function pg_temp.import(p_filename text, p_text text)
returns uuid
language sql
as $function$
    insert into documents (
        filename, ocr_status, ocr_text, ocr_confidence, ocr_word_count, ocr_engine,
        ocr_source_hash, ocr_completed_at
    )
    values (
        p_filename, 'completed', p_text, 90, 1, 'engine 1', repeat('a', 64),
        '2020-01-01'
    )
    returning id;
$function$;
create function pg_temp.set_aside(p_document_id uuid)
returns void
language sql
as $function$
    insert into ocr_previous_results (
        document_id, ocr_text, ocr_confidence, ocr_word_count, ocr_completed_at,
        ocr_result_token, reason
    )
    select
        d.id, d.ocr_text, d.ocr_confidence, d.ocr_word_count, d.ocr_completed_at,
        d.ocr_result_token, 'test'
    from documents as d
    where d.id = p_document_id;
$function$;

select pg_temp.import('one.pdf', 'the same text') as one \gset
select pg_temp.import('two.pdf', 'the same text') as two \gset
select pg_temp.enter('pending') as pending \gset
select pg_temp.set_aside(:'one');
insert into ocr_queue (document_id) values (:'two');
select throws_ok(
    format('update documents set ocr_status = ''pending'' where id = %L', :'two'),
    'OG003',
    null,
    'the set-aside result of another document does not let a result go (G4)'
);
select throws_ok(
    format('update documents set ocr_status = ''pending'' where id = %L', :'one'),
    'OG003',
    null,
    'the pending job of another document does not either (G4)'
);
select throws_ok(
    format(
        'update documents set ocr_status = ''completed'', '
        'ocr_text = ''the same text'', ocr_confidence = 90, ocr_word_count = 1, '
        'ocr_completed_at = ''2020-01-01'' where id = %L',
        :'pending'
    ),
    'OG002',
    null,
    'the set-aside result of another document is not written here (G1)'
);
select pg_temp.enter('processing, job processing') as leased \gset
select lives_ok(
    format('update documents set ocr_status = ''failed'' where id = %L', :'pending'),
    'the live job of another document keeps no document from failing (G5)'
);

-- when: all that the rule asks for is there
insert into ocr_queue (document_id) values (:'one');
select lives_ok(
    format(
        'update documents set ocr_status = ''pending'', ocr_text = null, '
        'ocr_confidence = null, ocr_engine = ''engine 2'' where id = %L',
        :'one'
    ),
    'a result that was set aside may go, whatever else the UPDATE says of it'
);
select results_eq(
    format(
        $$
            select
                d.ocr_text, d.ocr_confidence, d.ocr_word_count,
                d.ocr_processing_time_ms, d.ocr_engine, d.ocr_source_hash,
                d.ocr_text_hash, d.ocr_completed_at, d.ocr_result_token
            from documents as d
            where d.id = %L
        $$,
        :'one'
    ),
    $$
        values (
            null::text, null::real, null::integer, null::integer, null::text,
            null::text, null::bigint, null::timestamptz, null::uuid
        )
    $$,
    'it goes as a whole'
);
delete from documents;

-- A claim that names another file is a claim, no replacement under a lease.

select pg_temp.enter('pending') as pending \gset
update documents as d
set
    ocr_status = 'processing',
    ocr_lease_token = gen_random_uuid(),
    ocr_claims = d.ocr_claims + 1,
    filename = 'renamed.pdf'
where d.id = :'pending';
select is(
    pg_temp.state(:'pending'),
    'processing / no job',
    'a claim in which the filename changes is a claim'
);
delete from documents;

-- Unrelated updates, in every state.

create function pg_temp.check_unrelated(p_state text)
returns setof text
language plpgsql
as $function$
declare
    v_document_id constant uuid := pg_temp.enter(p_state);
    v_before constant jsonb := (
        select to_jsonb(d) - 'mime_type' - 'ocr_error' - 'updated_at' - 'created_at'
        from documents as d
    );
    v_jobs constant text := (select string_agg(q::text, ' ') from ocr_queue as q);
begin
    return next lives_ok(
        format(
            $$
                update documents
                set
                    mime_type = 'image/tiff', ocr_error = 'seen', updated_at = now(),
                    created_at = created_at - interval '1 day'
                where id = %L
            $$,
            v_document_id
        ),
        p_state || ': unrelated columns may be updated'
    );
    return next is(
        (
            select to_jsonb(d) - 'mime_type' - 'ocr_error' - 'updated_at' - 'created_at'
            from documents as d
        ),
        v_before,
        p_state || ': that changes nothing else; a live lease stays live'
    );
    return next is(
        (select string_agg(q::text, ' ') from ocr_queue as q),
        v_jobs,
        p_state || ': and the job stays as it is'
    );
    delete from documents;
end;
$function$;
select t.*
from (
    values
    ('pending'), ('pending, job pending'), ('processing, job processing'), ('processing'),
    ('completed'), ('completed, job pending'), ('failed, job failed'), ('failed')
) as c (state)
cross join lateral pg_temp.check_unrelated(c.state) as t;

select pg_temp.enter('completed') as completed \gset
select lives_ok(
    format(
        $$
            update documents
            set
                filename = 'renamed.pdf', file_path = '/archive/renamed.pdf',
                file_size = 1, file_hash = repeat('c', 64)
            where id = %L
        $$,
        :'completed'
    ),
    'a completed document may be renamed, moved, and its file replaced'
);
select results_eq(
    $$select d.filename, d.ocr_status, d.ocr_text from documents as d$$,
    $$values ('renamed.pdf', 'completed', 'one two three')$$,
    'its result stands'
);
delete from documents;
select pg_temp.enter('pending, job pending') as pending \gset
update documents set filename = 'new.pdf', file_hash = repeat('c', 64);
select is(
    pg_temp.state(:'pending'),
    'pending / pending 0 of 3',
    'replacing the file of a waiting document leaves its job in the line'
);
delete from documents;

-- Replacing the file under a live lease voids it (G1).

create function pg_temp.check_replacement(
    p_change text,
    p_is_replacement boolean,
    p_description text,
    p_file_hash text,
    p_file_size bigint
)
returns setof text
language plpgsql
as $function$
declare
    v_document_id uuid;
    v_token uuid;
    v_before text;
begin
    insert into documents (filename, file_path, file_hash, file_size)
    values ('scan.pdf', '/in/scan.pdf', p_file_hash, p_file_size)
    returning id into v_document_id;
    v_token := pg_temp.claim(v_document_id, 'w-one');
    -- the second attempt, so that there is something to give back
    v_token := pg_temp.take_over(v_document_id, 'w-two');
    perform report_ocr_progress(v_document_id, v_token, 1, 5);
    execute format('update documents set %s where id = %L', p_change, v_document_id);
    if not p_is_replacement then
        return next is(
            pg_temp.state(v_document_id),
            'processing / processing 2 of 3',
            p_description || ': the lease stays live'
        );
        return next is(
            (select d.ocr_lease_token from documents as d where d.id = v_document_id),
            v_token,
            p_description || ': under its token'
        );
    else
        return next is(
            pg_temp.state(v_document_id),
            'pending / pending 0 of 3',
            p_description || ': the job starts again with all attempts (G1)'
        );
        return next results_eq(
            format(
                $$
                    select
                        d.ocr_lease_token, q.worker_id, q.started_at, q.heartbeat_at,
                        q.lease_expires_at, q.progress_current, q.progress_total,
                        q.run_after <= clock_timestamp()
                    from documents as d
                    inner join ocr_queue as q on q.document_id = d.id
                    where d.id = %L
                $$,
                v_document_id
            ),
            $$
                values (
                    null::uuid, null::text, null::timestamptz, null::timestamptz,
                    null::timestamptz, null::integer, null::integer, true
                )
            $$,
            p_description || ': nothing of the old attempt is left'
        );
        return next results_eq(
            format(
                $$
                    select h.outcome, h.worker_id, h.attempt, h.lease_token, h.error
                    from ocr_job_history as h
                    where h.document_id = %L and h.outcome <> 'expired'
                $$,
                v_document_id
            ),
            format(
                $$values ('cancelled', 'w-two', 2, %L::uuid, 'the file was replaced')$$,
                v_token
            ),
            p_description || ': the attempt is in the history (G10)'
        );
        perform pg_temp.claim(v_document_id, 'w-three');
        v_before := pg_temp.snapshot();
        return next is(
            update_ocr_safe(
                v_document_id,
                (select d.filename from documents as d where d.id = v_document_id),
                'old text', 90, 2, 10, v_token
            ),
            false,
            p_description || ': the text of the old file is refused (G1, G2)'
        );
        return next is(
            pg_temp.snapshot(), v_before, p_description || ': and changes nothing'
        );
    end if;
    delete from documents;
end;
$function$;
select t.*
from (
    values
    (1, 'filename = ''new.pdf''', true, 'another name', null, null),
    (2, 'file_path = ''/new''', true, 'another path', null, null),
    (3, 'file_path = null', true, 'no path any more', null, null),
    (4, 'file_hash = repeat(''b'', 64)', true, 'another hash', repeat('a', 64), null),
    (5, 'file_hash = null', true, 'no hash any more', repeat('a', 64), null),
    (6, 'file_size = 2', true, 'another size', null, 1::bigint),
    (7, 'file_size = null', true, 'no size any more', null, 1::bigint),
    (8, 'file_hash = repeat(''b'', 64)', false, 'learning the hash', null, null),
    (9, 'file_size = 2', false, 'learning the size', null, null),
    (10, 'filename = filename, file_hash = file_hash', false, 'the same file', repeat('a', 64), 1::bigint)
) as c (n, change, is_replacement, description, file_hash, file_size)
cross join lateral pg_temp.check_replacement(
    c.change, c.is_replacement, c.description, c.file_hash, c.file_size
) as t
order by c.n;
select pg_temp.enter('processing, job processing') as document \gset
select throws_ok(
    format(
        $$
            update documents set filename = 'new.pdf', ocr_status = 'pending'
            where id = %L
        $$,
        :'document'
    ),
    'OG004',
    format('document %s cannot become pending while its job is live', :'document'),
    'replacing the file and taking the status back in one is refused'
);
delete from documents;

-- The way back of requeue_document(), and that of restore_previous_result().

select pg_temp.enter('completed, job pending') as document \gset
select d.ocr_result_token as token from documents as d \gset
insert into ocr_previous_results (
    document_id, ocr_text, ocr_confidence, ocr_word_count, ocr_completed_at,
    ocr_result_token, reason
)
select d.id, c.ocr_text, 90, 3, d.ocr_completed_at, c.token, 'test'
from documents as d
cross join (
    values ('another text', :'token'::uuid), ('one two three', gen_random_uuid())
) as c (ocr_text, token);
select throws_ok(
    $$update documents set ocr_status = 'pending'$$,
    'OG003',
    null,
    'a result that is not the one set aside cannot be taken back (G4)'
);
insert into ocr_previous_results (
    document_id, ocr_text, ocr_confidence, ocr_word_count, ocr_completed_at,
    ocr_result_token, reason
)
select d.id, d.ocr_text, 90, 3, d.ocr_completed_at, d.ocr_result_token, 'test'
from documents as d;
delete from ocr_queue;
select throws_ok(
    $$update documents set ocr_status = 'pending'$$,
    'OG003',
    null,
    'nor one for which no job is enqueued (G9)'
);
insert into ocr_queue (document_id, status, attempts) values (:'document', 'failed', 3);
select throws_ok(
    $$update documents set ocr_status = 'pending'$$,
    'OG003',
    null,
    'a dead job is none'
);
delete from ocr_queue;
insert into ocr_queue (document_id) values (:'document');
select throws_ok(
    $$update documents set ocr_status = 'failed'$$,
    'OG003',
    null,
    'a result that was set aside makes its document pending, not failed'
);
select lives_ok(
    $$update documents set ocr_status = 'pending'$$,
    'with the result set aside and a job the document is pending again'
);
select results_eq(
    $$
        select
            d.ocr_text, d.ocr_confidence, d.ocr_word_count, d.ocr_processing_time_ms,
            d.ocr_engine, d.ocr_source_hash, d.ocr_text_hash, d.ocr_completed_at,
            d.ocr_result_token
        from documents as d
    $$,
    $$
        values (
            null::text, null::real, null::integer, null::integer, null::text,
            null::text, null::bigint, null::timestamptz, null::uuid
        )
    $$,
    'and carries no result'
);

delete from ocr_previous_results
where ocr_text <> 'one two three' or ocr_result_token <> :'token';
create function pg_temp.restore_sql(p_column text, p_value text)
returns text
language sql
as $function$
    select format(
        'update documents as d set ocr_status = ''completed'', %s '
        'from ocr_previous_results as r where r.document_id = d.id',
        string_agg(
            format(
                '%I = %s',
                a.name,
                case when a.name = p_column then p_value else 'r.' || a.name end
            ),
            ', '
        )
    )
    from (
        values
        ('ocr_text'), ('ocr_confidence'), ('ocr_word_count'), ('ocr_completed_at'),
        ('ocr_result_token'), ('file_hash')
    ) as a (name)
    where a.name not like 'file%' or a.name = p_column;
$function$;
select throws_ok(
    pg_temp.restore_sql(c.name, c.value),
    'OG002',
    null,
    format('a result is not brought back with another %s', c.name)
)
from (
    values
    ('ocr_text', '''four five six'''), ('ocr_confidence', '91'), ('ocr_word_count', '2'),
    ('ocr_completed_at', 'now() + interval ''1 day'''),
    ('ocr_result_token', 'gen_random_uuid()'),
    ('file_hash', 'repeat(''d'', 64)')
) as c (name, value);
select lives_ok(
    pg_temp.restore_sql(null, null),
    'a result that was set aside is brought back as it was'
);
select is(pg_temp.state(:'document'), 'completed / no job', 'the job goes');
select is(
    pg_temp.history(:'document'), 'written', 'and no attempt is added to the history'
);
delete from documents;

-- INSERT

select throws_ok(
    format('insert into documents (filename, %s', c.rest), c.code, null, c.description
)
from (
    values
    ('ocr_status) values (''a'', ''completed'')', '23514', 'no document is inserted as completed without a result'),
    ('ocr_status, ocr_text, ocr_confidence, ocr_completed_at) values (''a'', ''completed'', ''t'', 90, now())', '23514', 'nor without a word count'),
    ('ocr_status, ocr_text, ocr_word_count, ocr_completed_at) values (''a'', ''completed'', ''t'', 1, now())', '23514', 'nor without a confidence'),
    ('ocr_status, ocr_confidence, ocr_word_count, ocr_completed_at) values (''a'', ''completed'', 90, 1, now())', '23514', 'nor without a text'),
    ('ocr_status, ocr_text, ocr_confidence, ocr_word_count) values (''a'', ''completed'', ''t'', 90, 1)', '23514', 'nor without a time'),
    ('ocr_status) values (''a'', ''processing'')', '23514', 'no document is inserted as processing without a lease'),
    ('ocr_status) values (''a'', null)', '23502', 'nor without a status'),
    ('ocr_status) values (''a'', ''done'')', '23514', 'nor with another status'),
    ('ocr_lease_token) values (''a'', gen_random_uuid())', '23514', 'nor as pending with a lease'),
    ('file_hash) values (''a'', repeat(''A'', 64))', '23514', 'a hash is written in lower case'),
    ('file_hash) values (''a'', ''abc'')', '23514', 'and of 64 digits')
) as c (rest, code, description);
select lives_ok(
    $$
        insert into documents (
            filename, ocr_status, ocr_text, ocr_confidence, ocr_word_count,
            ocr_completed_at
        )
        values ('import.pdf', 'completed', 'text', 90, 1, now())
    $$,
    'a document with a whole result is inserted as completed'
);

-- Many rows in one UPDATE: one bad row refuses it all.

delete from documents;
select pg_temp.enter('completed') as completed \gset
select pg_temp.enter('pending') as pending \gset
select throws_ok(
    $$update documents set ocr_status = 'failed'$$,
    'OG003',
    null,
    'a bulk UPDATE is refused for one completed row among others'
);
select is(
    pg_temp.state(:'pending'), 'pending / no job', 'and changes none of the others'
);

-- ON CONFLICT DO UPDATE is an UPDATE too.
select throws_ok(
    format(
        $$
            insert into documents (id, filename) values (%L, 'x')
            on conflict (id) do update set ocr_status = 'pending', ocr_text = null
        $$,
        :'completed'
    ),
    'OG003',
    null,
    'INSERT ON CONFLICT DO UPDATE does not get round it'
);

select * from finish();
rollback;
