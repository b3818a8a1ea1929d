-- Bad elements among good ones are in working/update_ocr_batch_safe.sql.

begin;
\ir ../fixtures.psql
select plan(6);

select pg_temp.add_document() as document \gset
select pg_temp.claim(:'document') as token \gset
create function pg_temp.element(p_document_id uuid, p_token uuid, p_confidence text)
returns json
language sql
as $function$
    select json_build_object(
        'document_id', p_document_id, 'expected_filename', 'scan.pdf', 'ocr_text', 'a b',
        'confidence', p_confidence, 'word_count', 2, 'processing_time_ms', 1,
        'lease_token', p_token
    );
$function$;
select results_eq(
    format('select * from offer_ocr_element(pg_temp.element(%L, gen_random_uuid(), ''90''))', :'document'),
    format(
        $$
            values (
                %L::uuid, 'stale_lease',
                'another lease is live: the job was reset and claimed again'
            )
        $$,
        :'document'
    ),
    'a refusal is its outcome'
);
select results_eq(
    format('select * from offer_ocr_element(pg_temp.element(%L, %L, ''high''))', :'document', :'token'),
    format(
        $$
            values (
                %L::uuid, 'rejected_by_database',
                '22P02: invalid input syntax for type double precision: "high"'
            )
        $$,
        :'document'
    ),
    'an error is its outcome too, with SQLSTATE and message'
);
select is(pg_temp.state(:'document'), 'pending / pending 1 of 3', 'and fails the job');
select is(
    pg_temp.incidents(:'document'), 'stale_lease rejected_by_database', 'each leaves one incident'
);
-- What is not about the element concerns the whole call.
select pg_temp.claim(:'document') as token \gset
create function pg_temp.raise_error()
returns trigger
language plpgsql
as $function$
begin
    raise exception using errcode = tg_argv[0], message = 'the server is in trouble';
end;
$function$;
create trigger test_raise before update on documents
for each row when (new.ocr_status = 'completed')
execute function pg_temp.raise_error('40001');
select throws_ok(
    format('select * from offer_ocr_element(pg_temp.element(%L, %L, ''90''))', :'document', :'token'),
    '40001',
    'the server is in trouble',
    'a serialization failure goes through to the caller'
);
select throws_ok(
    format(
        'select * from update_ocr_batch_safe(json_build_array(pg_temp.element(%L, %L, ''90'')))',
        :'document', :'token'
    ),
    '40001',
    'the server is in trouble',
    'of the batch as well'
);

select * from finish();
rollback;
