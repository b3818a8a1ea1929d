begin;
\ir ../fixtures.psql

select plan(5);

select set_eq(
    'select o.kind, o.identity, o.definition from list_loaded_objects() as o'
    ' inner join ocr_schema_objects as s using (kind, identity)',
    'select s.kind, s.identity, s.definition from ocr_schema_objects as s',
    'everything that was loaded is there as it was'
);
select is(
    (select v.changed_object from validate_database_consistency() as v), 0::bigint,
    'so the validator finds no changed object'
);
alter table documents disable trigger trigger_validate_ocr_consistency;
create or replace function hash_ocr_text(p_text text)
returns bigint
language sql
immutable
as $$select 1::bigint$$;
drop view ocr_queue_overview;
select results_eq(
    $$select f.detail from find_inconsistencies() as f order by 1$$,
    $$
        values
        ('the routine hash_ocr_text(text) is another one'),
        ('the trigger trigger_validate_ocr_consistency on documents is another one'),
        ('the view ocr_queue_overview is missing')
    $$,
    'what was replaced, switched off or dropped is found'
);
select is(
    (select v.changed_object from validate_database_consistency() as v), 3::bigint,
    'and counted'
);
select cmp_ok(
    (select v.data_integrity_score from validate_database_consistency() as v),
    '<', 100::numeric, 'the score says so'
);

select * from finish();
rollback;
