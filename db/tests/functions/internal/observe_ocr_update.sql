-- Through the trigger, which is its only caller.

begin;
\ir ../fixtures.psql
\ir ../adopted.psql

select plan(17);

select pg_temp.add_document('scan.pdf') as document \gset

-- the application's own worker: claim, result, retry
update documents as d set ocr_status = 'processing' where d.id = :'document';
select results_eq(
    $$select d.ocr_status, d.ocr_lease_token, d.ocr_claims from documents as d$$,
    $$values ('processing', null::uuid, 0)$$,
    'a claim by plain SQL goes through, without a lease'
);
update documents as d
set ocr_text = 'a secret text', ocr_status = 'completed', ocr_confidence = 90
where d.id = :'document';
select results_eq(
    $$
        select d.ocr_status, d.ocr_text, d.ocr_text_hash, d.ocr_result_token
        from documents as d
    $$,
    $$
        values (
            'completed', 'a secret text', hash_ocr_text('a secret text'), null::uuid
        )
    $$,
    'a result by plain SQL goes through, and is found by the search for foreign texts'
);
update documents as d set ocr_text = 'another text' where d.id = :'document';
update documents as d
set ocr_status = 'pending', ocr_text = null, ocr_confidence = null
where d.id = :'document';
select results_eq(
    $$select d.ocr_status, d.ocr_text, d.ocr_text_hash from documents as d$$,
    $$values ('pending', null, null::bigint)$$,
    'so does a retry that clears the result'
);
select results_eq(
    $$
        select i.reason, i.detail, i.document_id is not null, i.statement is not null
        from ocr_incidents as i order by i.id
    $$,
    $$
        values
        ('unsafe_statement', 'OG004: from pending to processing', true, true),
        (
            'unsafe_statement',
            'OG002: from processing to completed, with another text', true, true
        ),
        (
            'unsafe_statement',
            'OG003: from completed to completed, with another text', true, true
        ),
        (
            'unsafe_statement',
            'OG003: from completed to pending, with another text', true, true
        )
    $$,
    'each leaves an incident that names the rule and the change (G10)'
);
select is_empty(
    $$
        select from ocr_incidents as i
        where i::text ~ 'secret' or i::text ~ 'another text''' or i.statement ~ ''''
    $$,
    'never the text itself'
);
select is(
    (
        select count(*) from ocr_incidents as i
        where
            i.session_user_name = session_user
            and i.application_name = current_setting('application_name')
    ),
    4::bigint,
    'each names role and application'
);

-- many documents, one statement
insert into documents (filename)
select 'many-' || n.n from generate_series(1, 20) as n (n);
delete from ocr_incidents;
update documents as d set ocr_status = 'processing' where d.filename like 'many-%';
select is(
    (select count(*) from ocr_incidents), 1::bigint,
    'one statement is one incident, however many documents it changes'
);
select is(
    (select count(*) from documents as d where d.ocr_status = 'processing'), 20::bigint,
    'and all of them are changed'
);

-- a lease is nobody's to forge
select gen_random_uuid() as forged \gset
select pg_temp.add_document('forged.pdf') as victim \gset
update documents as d
set ocr_status = 'processing', ocr_lease_token = :'forged', ocr_claims = 7
where d.id = :'victim';
select is(
    (select d.ocr_lease_token from documents as d where d.id = :'victim'), null,
    'plain SQL cannot make a lease'
);
select is(
    (select d.ocr_claims from documents as d where d.id = :'victim'), 0,
    'nor a claim'
);

-- beside the package's own workers
select pg_temp.add_document('guarded.pdf') as guarded \gset
select pg_temp.claim(:'guarded', 'w-guarded') as token \gset
delete from ocr_incidents;
update documents as d
set
    ocr_text = 'plain', ocr_status = 'completed', ocr_confidence = 1,
    ocr_word_count = 1
where d.id = :'guarded';
select is(
    (select d.ocr_lease_token from documents as d where d.id = :'guarded'), null,
    'a result by plain SQL ends the live lease (G2)'
);
select is(
    (select i.live_token from ocr_incidents as i), :'token'::uuid,
    'the incident says whose lease that was'
);
select is(
    (select i.worker_id from ocr_incidents as i), 'w-guarded', 'and which worker''s'
);
select is_empty(
    format('select from ocr_queue as q where q.document_id = %L', :'guarded'),
    'the job goes with the result'
);
select is(
    update_ocr_safe(:'guarded', 'guarded.pdf', 'late', 90, 1, 10, :'token'), false,
    'and the worker that comes then is refused (G4)'
);

-- what breaks no rule
delete from ocr_incidents;
update documents as d set mime_type = 'image/png' where d.id = :'document';
select is(
    (select count(*) from ocr_incidents), 0::bigint, 'other changes are no matter'
);

update ocr_settings set guard_mode = 'enforce';
select throws_ok(
    format(
        $$update documents set ocr_status = 'processing' where id = %L$$, :'document'
    ),
    'OG004',
    null,
    'while guard_mode is enforce nothing goes through (G8)'
);

select * from finish();
rollback;
