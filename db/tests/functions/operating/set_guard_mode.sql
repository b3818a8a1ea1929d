begin;
\ir ../fixtures.psql

select plan(20);

select throws_ok(
    $$select set_guard_mode('observe')$$, '55000',
    'this installation has made its own tables, which always enforce',
    'a fresh installation has nothing to observe'
);
select is(set_guard_mode('enforce'), 'enforce', 'it enforces already');
select throws_ok(
    format('select set_guard_mode(%L)', c.mode), '22023', null,
    format('there is no mode %s', coalesce(c.mode, 'null'))
)
from (values (null), (''), ('off'), ('Observe')) as c (mode);

\ir ../adopted.psql
select pg_temp.add_document('good.pdf') as good \gset
select pg_temp.add_document('wrong.pdf') as wrong \gset
update documents as d set ocr_status = 'processing' where d.id = :'wrong';
insert into ocr_queue (document_id, priority) values (:'good', null);
select throws_ok(
    $$select set_guard_mode('enforce')$$, '55000',
    'rows would be stranded: broken_constraint (1), processing_without_job (1)',
    'rows that enforcement would strand stand in the way, by kind'
);
select is(
    (select s.guard_mode from ocr_settings as s), 'observe', 'and nothing has changed'
);
select is(
    (select count(*) from ocr_adoption as a where a.kind = 'guard' and a.is_in_force),
    0::bigint, 'no guard is in force'
);
select repair_database_consistency(false) \g /dev/null
select is(set_guard_mode('enforce'), 'observe', 'after the repair it is done');
select is(
    (
        select count(*) from ocr_adoption as a
        where
            a.kind = 'guard'
            and (
                not a.is_in_force
                or not exists (
                    select from pg_constraint as c
                    where a.object = format('%s.%s', c.conrelid::regclass, c.conname)
                )
            )
    ),
    0::bigint, 'every guard is in force'
);
select throws_ok(
    $$update documents set ocr_status = 'processing' where filename = 'good.pdf'$$,
    'OG004', null, 'plain SQL is refused (G8)'
);
select throws_ok(
    $$update ocr_queue set priority = null$$, '23514', null,
    'and what a constraint forbids (G8)'
);
select throws_ok(
    $$update ocr_queue set status = 'cancelled'$$, '23514', null, 'in the queue too'
);
select is(set_guard_mode('enforce'), 'enforce', 'once more is nothing');
select is(set_guard_mode('observe'), 'enforce', 'there is a way back');
select lives_ok(
    $$update documents set ocr_status = 'processing' where filename = 'good.pdf'$$,
    'plain SQL goes through again'
);
select lives_ok($$update ocr_queue set priority = null$$, 'the guards are gone');
select is(
    (select count(*) from ocr_adoption as a where a.kind = 'guard' and a.is_in_force),
    0::bigint, 'and listed as not in force'
);
select is(
    (select count(*) from ocr_incidents as i where i.reason = 'unsafe_statement'),
    2::bigint, 'incidents are of the time of observing'
);

select * from finish();
rollback;
