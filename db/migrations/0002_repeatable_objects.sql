-- depends: 0001_schema
-- Functions, triggers and views are loaded after the migrations, whole files at a time,
-- and no migration knows their names. This table does; without it a rollback could only
-- guess what is the package's own.

create table ocr_schema_objects (
    kind text not null,
    identity text not null,
    definition text not null,
    loaded_at timestamptz not null default now(),
    constraint ocr_schema_objects_pkey primary key (kind, identity),
    constraint check_ocr_schema_object_kind
    check (kind in ('routine', 'trigger', 'view', 'materialized view'))
);

comment on table ocr_schema_objects is
'The functions, triggers and views that the repeatable SQL files have created here.';
comment on column ocr_schema_objects.kind is
'What kind of object it is, in the words of DROP.';
comment on column ocr_schema_objects.identity is
'Its name as DROP takes it, with argument types or table, without the schema.';
comment on column ocr_schema_objects.definition is
'SHA-256 of the definition that PostgreSQL gave right after loading.';
comment on column ocr_schema_objects.loaded_at is
'When it was last loaded.';
