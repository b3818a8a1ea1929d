-- That it takes everything in one order is shown by the isolation specs.

begin;
\ir ../fixtures.psql
select plan(5);

create function pg_temp.locks()
returns bigint
language sql
as $function$
    select count(*)
    from pg_locks as l
    where l.locktype = 'advisory' and l.pid = pg_backend_pid() and l.granted;
$function$;
create temporary table offered as
select
    row(
        pg_temp.add_document(), 'a', offer.content, 90, offer.words, 1, null, null, null
    )::ocr_result as result
from (
    values ('one text', 12), ('another text', 10), ('short', 1), (null, 12)
) as offer (content, words);
select lock_ocr_offers(array_agg(f.result)) from offered as f;
select is(pg_temp.locks(), 0::bigint, 'by default no text is locked');
select is(
    (select count(*) from documents as d where d.xmax::text <> '0'),
    4::bigint,
    'the documents are'
);
update ocr_settings set foreign_text_policy = 'refuse';
select lock_ocr_offers(array_agg(f.result)) from offered as f;
select is(
    pg_temp.locks(), 2::bigint,
    'under the policy refuse the texts that are long enough to be compared, too (G7)'
);
select lives_ok($$select lock_ocr_offers('{}')$$, 'nothing to lock');
select lives_ok(
    $$select lock_ocr_offers(array[null, null]::ocr_result [])$$,
    'nor where nothing could be read'
);

select * from finish();
rollback;
