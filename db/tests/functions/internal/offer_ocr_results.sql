-- The rules are tested through its two doors, working/update_ocr_safe.sql and
-- working/update_ocr_batch_safe.sql; here, what only they see of it.

begin;
\ir ../fixtures.psql
select plan(7);

select is_empty('select * from offer_ocr_results(''{}'')', 'no results, no outcomes');
insert into documents (filename) select 'page ' || n from generate_series(1, 3) as n;
select pg_temp.claim(d.id) from documents as d \g /dev/null
create temporary table offered as
select
    right(d.filename, 1)::integer as n,
    row(
        d.id, d.filename, 'text ' || d.filename, 90, 3, 10, d.ocr_lease_token, null,
        null
    )::ocr_result as result
from documents as d;
select results_eq(
    $$
        select o.ordinal, o.document_id, o.outcome, o.detail
        from offer_ocr_results(
            (select array_agg(f.result order by f.n desc) from offered as f)
        ) as o
    $$,
    $$
        select
            row_number() over (order by f.n desc)::integer,
            (f.result).document_id,
            'written',
            null::text
        from offered as f
        order by f.n desc
    $$,
    'each result has its number, document and outcome, in order'
);
select is(
    (select count(distinct d.ocr_text) from documents as d where d.ocr_text = 'text ' || d.filename),
    3::bigint,
    'each document has its own text (G1)'
);
select is(
    (
        select string_agg(o.outcome, ' ' order by o.ordinal)
        from offer_ocr_results(
            (select array_agg(f.result) || array_agg(f.result) from offered as f)
        ) as o
    ),
    rtrim(repeat('already_written ', 6)),
    'the same document twice is offered one after the other (G11)'
);
select results_eq(
    $$
        select o.ordinal, o.document_id
        from offer_ocr_results(
            (select array_agg(f.result order by f.n) from offered as f)
            || (select array_agg(f.result order by f.n) from offered as f)
        ) as o
    $$,
    $$
        select f.n + r.n * 3, (f.result).document_id
        from offered as f
        cross join generate_series(0, 1) as r (n)
        order by 1
    $$,
    'each keeps its number and place'
);

-- Two texts may share a hash: only the texts decide (G7).
select pg_temp.add_document('other.pdf', repeat('a', 64)) as other \gset
select pg_temp.complete(:'other', 'a b c d e f g h i j k l') as token \gset
alter table documents disable trigger trigger_validate_ocr_consistency;
update documents set ocr_text_hash = hash_ocr_text('m n o p q r s t u v w x')
where id = :'other';
alter table documents enable trigger trigger_validate_ocr_consistency;
select pg_temp.add_document('mine.pdf', repeat('b', 64)) as mine \gset
select pg_temp.claim(:'mine') as token \gset
update ocr_settings set foreign_text_policy = 'refuse';
select is(
    update_ocr_safe(
        :'mine', 'mine.pdf', 'm n o p q r s t u v w x', 90, 12, 10, :'token'
    ),
    true,
    'another text of the same hash is no foreign text (G7)'
);
select is((select count(*) from ocr_incidents), 0::bigint, 'and no incident');

select * from finish();
rollback;
