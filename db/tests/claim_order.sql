-- A claim goes by the claim order also when the statistics are those of a nearly empty
-- queue, for which sorting looks cheaper, and the indexes have many pages. In a file of
-- its own: what is planned in a session before this stays planned.

begin;
\ir functions/fixtures.psql
select plan(1);

insert into documents (filename) select 'scan.pdf' from generate_series(1, 3000);
insert into ocr_queue (document_id, run_after)
select d.id, now() - interval '1 day' from documents as d;
do $do$
begin
    for i in 1 .. 9 loop
        update ocr_queue as q
        set run_after = q.run_after + random() * interval '1 minute';
    end loop;
end;
$do$;
update pg_class as c
set reltuples = 2, relpages = pg_relation_size(c.oid) / 8192
where
    c.oid = 'ocr_queue'::regclass
    or c.oid in (
        select i.indexrelid from pg_index as i
        where i.indrelid = 'ocr_queue'::regclass
    );
create function pg_temp.entries_of_other_indexes()
returns numeric
language sql
as $function$
    select sum(pg_stat_get_xact_tuples_returned(i.indexrelid))
    from pg_index as i
    where
        i.indrelid = 'ocr_queue'::regclass
        and i.indexrelid <> 'idx_ocr_queue_claim'::regclass;
$function$;
select pg_temp.entries_of_other_indexes() as entries \gset
select count(*) from claim_ocr_jobs('worker', 3) \g /dev/null
select cmp_ok(
    pg_temp.entries_of_other_indexes() - :entries,
    '<',
    1000::numeric,
    'a claim reads the claim order, whatever the statistics say'
);
-- sequences outlive the rollback
select
    setval('ocr_claim_look_clock', 0),
    setval('ocr_claim_whole_clock', 0) \g /dev/null

select * from finish();
rollback;
