-- Bad elements among good ones are in working/update_ocr_batch_safe.sql.

begin;
\ir ../fixtures.psql
select plan(12);

select pg_temp.add_document() as document \gset
select pg_temp.claim(:'document') as token \gset
create function pg_temp.result(p_document_id uuid, p_token uuid)
returns ocr_result
language sql
as $function$
    select row(
        p_document_id, 'scan.pdf', 'a b', 90, 2, 1, p_token, null, null
    )::ocr_result;
$function$;
create function pg_temp.offer(p_result ocr_result, out outcome text, out detail text)
language sql
as $function$
    select o.* from offer_ocr_element(to_json(p_result), p_result) as o;
$function$;
select results_eq(
    format(
        'select * from pg_temp.offer(pg_temp.result(%L, gen_random_uuid()))',
        :'document'
    ),
    $$
        values
        ('stale_lease', 'another lease is live: the job was reset and claimed again')
    $$,
    'a refusal is its outcome'
);
select results_eq(
    format(
        'select * from '
        'offer_ocr_element(''{"word_count": "x"}'', pg_temp.result(%L, %L))',
        :'document', :'token'
    ),
    $$
        values (
            'rejected_by_database', '22P02: invalid input syntax for type integer: "x"'
        )
    $$,
    'what could not be read is rejected_by_database'
);
select is(
    pg_temp.incidents(:'document'),
    'stale_lease rejected_by_database',
    'each leaves one incident'
);
alter table documents add constraint users_own check (ocr_text not like 'a b%');
select results_eq(
    format(
        'select o.outcome, left(o.detail, 6) '
        'from pg_temp.offer(pg_temp.result(%L, %L)) as o',
        :'document', :'token'
    ),
    $$values ('rejected_by_database', '23514:')$$,
    'and so is an error, with its SQLSTATE'
);
alter table documents drop constraint users_own;
-- What is not about the element concerns the whole call.
create function pg_temp.raise_error()
returns trigger
language plpgsql
as $function$
begin
    raise exception using
        errcode = current_setting('test.errcode'), message = 'the server is in trouble';
end;
$function$;
create trigger test_raise before update on documents
for each row when (new.ocr_status = 'completed')
execute function pg_temp.raise_error();
create function pg_temp.check_goes_through(
    p_code text, p_what text, p_document_id uuid, p_token uuid
)
returns text
language plpgsql
as $function$
begin
    perform set_config('test.errcode', p_code, true);
    return throws_ok(
        format(
            'select * from pg_temp.offer(pg_temp.result(%L, %L))',
            p_document_id, p_token
        ),
        p_code,
        'the server is in trouble',
        p_what || ' goes through to the caller'
    );
end;
$function$;
select pg_temp.check_goes_through(c.code, c.what, :'document', :'token')
from (
    values
    ('25006', 'a read-only transaction'), ('42501', 'a missing privilege'),
    ('53100', 'a full disk'), ('55P03', 'a lock that is not available'),
    ('57P01', 'the end of the server'), ('58030', 'an unreadable file'),
    ('40001', 'a serialization failure')
) as c (code, what);
set local test.errcode = '40001';
select throws_ok(
    format(
        'select * from update_ocr_batch_safe(json_build_array(pg_temp.result(%L, %L)))',
        :'document', :'token'
    ),
    '40001',
    'the server is in trouble',
    'of the batch as well'
);

select * from finish();
rollback;
