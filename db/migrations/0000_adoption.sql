-- Tables of the application that were there before the package are adopted: they get
-- what they lack, step by step and without holding them up. This is the list of the
-- steps, each with what takes it back, so that a rollback gives back what was there
-- whenever it comes, also after an installation that was killed. A step and its row are
-- one transaction; what cannot run inside of one is listed before it is begun, and
-- taking it back does no harm where it was not done.

create table ocr_adoption (
    id bigint generated always as identity,
    kind text not null,
    object text not null,
    statement text,
    condition text,
    undo text,
    is_in_force boolean not null default true,
    listed_at timestamptz not null default clock_timestamp(),
    constraint ocr_adoption_pkey primary key (id),
    constraint ocr_adoption_object_key unique (kind, object),
    constraint check_ocr_adoption_kind
    check (kind in ('table', 'column', 'default', 'index', 'guard', 'set aside'))
);

comment on table ocr_adoption is
'What was done to tables and objects of the application that were there before the
package. Empty on a fresh installation.';
comment on column ocr_adoption.id is
'Order of the steps.';
comment on column ocr_adoption.kind is
'table (adopted), column (added), default (set where there was none), index (built),
guard (a constraint or unique index that stands while guard_mode is enforce) or set
aside (an object of the application under another name).';
comment on column ocr_adoption.object is
'What the step is about.';
comment on column ocr_adoption.statement is
'For a guard: the statement that brings it into force.';
comment on column ocr_adoption.condition is
'For a guard that is a CHECK: what it checks.';
comment on column ocr_adoption.undo is
'The statement that takes the step back; null where there is nothing to take back.';
comment on column ocr_adoption.is_in_force is
'For a guard: whether it stands now.';
comment on column ocr_adoption.listed_at is
'When the step was listed.';
