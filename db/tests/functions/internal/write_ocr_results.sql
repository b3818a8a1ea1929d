-- The rules are tested through the doors, working/update_ocr_safe.sql and its
-- neighbours; here, what only their callers see of it.

begin;
\ir ../fixtures.psql
select plan(11);

create function pg_temp.offer(
    p_document_id uuid, p_text text, p_token uuid default null
)
returns ocr_result
language sql
as $function$
    select row(
        d.id, d.filename, p_text, 90, regexp_count(p_text, '\S+'), 10,
        coalesce(p_token, d.ocr_lease_token), null, null
    )::ocr_result
    from documents as d
    where d.id = p_document_id;
$function$;
create function pg_temp.written(variadic p_results ocr_result [])
returns text
language sql
as $function$
    select concat_ws(' ', w.is_complete, w.written, w.foreign_ids)
    from write_ocr_results(p_results) as w;
$function$;

select is(
    (select concat_ws(' ', w.is_complete, w.written) from write_ocr_results('{}') as w),
    't',
    'of nothing, all is written'
);
select pg_temp.add_document('a.pdf', repeat('a', 64)) as a \gset
select pg_temp.claim(:'a') as token \gset
select is(
    pg_temp.written(pg_temp.offer(:'a', 'a b c d e f g h i j k l')),
    't {1} {NULL}',
    'one result is written'
);
select is(
    (
        select d.ocr_completed_at > now() and d.updated_at > now()
        from documents as d
        where d.id = :'a'
    ),
    true,
    'and the document says when, by the clock and not by the transaction'
);
select is(
    pg_temp.written(pg_temp.offer(:'a', 'again', :'token')),
    'f',
    'a result that stands already is not written again (G4)'
);
select pg_temp.add_document('b.pdf', repeat('b', 64)) as b \gset
select pg_temp.claim(:'b') as token \gset
select pg_temp.add_document('c.pdf', repeat('c', 64)) as c \gset
select pg_temp.claim(:'c') as token \gset
select pg_temp.add_document('d.pdf', repeat('d', 64)) as d \gset
select pg_temp.claim(:'d') as token \gset
delete from ocr_queue as q where q.document_id = :'c';
select is(
    pg_temp.written(
        pg_temp.offer(:'d', 'x', gen_random_uuid()),
        pg_temp.offer(:'b', 'a b c d e f g h i j k l'),
        pg_temp.offer(:'c', 'another text')
    ),
    format('f {2,3} {%s,NULL}', :'a'),
    'of several, it says which, and which of them has a text that stands elsewhere'
);
select is(pg_temp.state(:'b'), 'completed / no job', 'their jobs are gone (G3)');
select is(pg_temp.history(:'b'), 'written', 'their attempts are in the history (G10)');
select is(
    pg_temp.history(:'c'), 'written', 'that of one that had lost its job, too (G10)'
);
select is(
    pg_temp.state(:'d'), 'processing / processing 1 of 3', 'and of no other document'
);
select is(
    current_setting('ocr_guardrails.finishing_depth', true),
    '',
    'nothing is left set behind it'
);
select set_config('ocr_guardrails.finishing_depth', '0', true) as outer_depth \gset
select pg_temp.written(pg_temp.offer(:'d', 'x')) \g /dev/null
select is(
    current_setting('ocr_guardrails.finishing_depth', true),
    '0',
    'an offer that is made while another is written leaves that one its setting'
);

select * from finish();
rollback;
