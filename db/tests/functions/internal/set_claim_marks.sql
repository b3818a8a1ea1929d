-- How claims go by the marks is in working/claim_ocr_jobs.sql; here, where they are
-- set.
-- What a claim has to walk over is the entries of jobs that were taken in this very
-- transaction, which nobody can do away with before it ends. Sequences are not
-- transactional: clocks and marks are taken back at the end.

begin;
\ir ../fixtures.psql
select plan(32);

-- Moves a clock; null: it was never set.
create function pg_temp.set_clock(p_clock text, p_due interval)
returns bigint
language sql
as $function$
    select setval(
        format('ocr_claim_%s_clock', p_clock),
        coalesce(
            (extract(epoch from clock_timestamp() + p_due) * 1000)::bigint, 0
        )
    );
$function$;

-- When a clock is due, seen from now.
create function pg_temp.due(p_last_value bigint)
returns interval
language sql
as $function$
    select to_timestamp(p_last_value / 1000.0) - clock_timestamp();
$function$;

-- A document whose job of this priority is due then; the job.
create function pg_temp.add_job(p_priority integer, p_due interval)
returns uuid
language sql
as $function$
    insert into ocr_queue (document_id, priority, run_after)
    values (pg_temp.add_document(), p_priority, now() + p_due)
    returning id;
$function$;

create function pg_temp.run_after(p_job_id uuid)
returns timestamptz
language sql
as $function$
    select q.run_after from ocr_queue as q where q.id = p_job_id;
$function$;

-- A claim looks at once, at the whole: these are the clocks of a new installation.
select pg_temp.set_clock('look', null), pg_temp.set_clock('whole', null) \g /dev/null
select setval('ocr_claim_mark_' || n, 0) from generate_series(0, 10) as n \g /dev/null

-- Where there is little to walk over.

insert into documents (filename) select 'page ' || n from generate_series(1, 20) as n;
select enqueue_pending_documents() as enqueued \gset
select count(*) from claim_ocr_jobs('w-one', 10) \g /dev/null
select is(set_claim_marks(), null, 'few entries before the first job: no marks');
select is(
    (select c.last_value from ocr_claim_whole_clock as c),
    0::bigint,
    'and that is remembered'
);
select ok(
    (
        select pg_temp.due(c.last_value) between '-1 second' and '100 ms'
        from ocr_claim_look_clock as c
    ),
    'the next look is due within a tenth of a second'
);
select pg_temp.set_clock('whole', '10 seconds') \g /dev/null
select isnt(
    set_claim_marks(), null, 'marks that are in use stay until the whole is looked at'
);
select pg_temp.set_clock('whole', '-1 second') \g /dev/null
select is(set_claim_marks(), null, 'then they are given up');
select is(
    (select c.last_value from ocr_claim_whole_clock as c), 0::bigint, 'and not in use'
);
select is_empty(
    $$
        select n
        from generate_series(0, 10) as n
        cross join lateral pg_sequence_last_value(
            ('ocr_claim_mark_' || n)::regclass
        ) as s (mark)
        where
            s.mark
            > extract(epoch from clock_timestamp() - interval '1 second') * 1000000
    $$,
    'no mark is later than a second ago, whatever a clock says'
);

-- Three thousand jobs that were taken.

delete from documents;
insert into documents (filename) select 'page ' || n from generate_series(1, 3000) as n;
insert into ocr_queue (document_id, run_after)
select d.id, now() - interval '1 day' from documents as d;
select count(*) from claim_ocr_jobs('w-one', 3000) \g /dev/null
select pg_temp.add_job(9, '-1 minute') as urgent \gset
select pg_temp.add_job(9, '-30 seconds') as next_urgent \gset
select pg_temp.add_job(7, '1 hour') as later \gset
select pg_temp.add_job(5, '-10 minutes') as usual \gset
select pg_temp.add_job(0, '-10 days') as patient \gset
-- what the files before this one made the planner believe is not what is counted here
analyze documents, ocr_queue;
select pg_temp.set_clock('whole', null) \g /dev/null
select clock_timestamp() as began \gset
create temporary table seen as
select s.marks from set_claim_marks() as s (marks);
select is(
    (select cardinality(s.marks) from seen as s),
    11,
    'thousands of entries before the first job: a mark for each priority'
);
select is(
    read_claim_marks(), (select s.marks from seen as s), 'the others read the same'
);
select is(
    (select s.marks[9 + 1] from seen as s),
    pg_temp.run_after(:'urgent'),
    'a mark is at the oldest pending job of its priority'
);
select is(
    (select s.marks[0 + 1] from seen as s),
    pg_temp.run_after(:'patient'),
    'of the lowest'
);
select is(
    (select s.marks[5 + 1] from seen as s),
    pg_temp.run_after(:'usual'),
    'and of that of the jobs that were taken'
);
select ok(
    (
        select
            s.marks[7 + 1] between :'began'::timestamptz - interval '1 second'
            and clock_timestamp() - interval '1 second'
        from seen as s
    ),
    'where none is due, a second is allowed for those that are being enqueued'
);
select is(
    (
        select string_agg((m.n - 1)::text, ' ' order by m.n)
        from seen as s
        cross join lateral unnest(s.marks) with ordinality as m (mark, n)
        where m.mark = s.marks[7 + 1]
    ),
    '1 2 3 4 6 7 8 10',
    'as for each priority that has no job'
);
select ok(
    (
        select
            pg_temp.due(c.last_value) between interval '-1 second'
            and interval '30 seconds'
            and c.last_value > 0
        from ocr_claim_whole_clock as c
    ),
    'the next look at the whole is due within half a minute'
);

-- The next look goes on from the marks.

create function pg_temp.look(
    p_priority integer, out mark timestamptz, out walked bigint
)
language plpgsql
as $function$
declare
    v_before constant bigint := pg_stat_get_xact_tuples_returned(
        'idx_ocr_queue_claim'::regclass
    );
begin
    mark := (set_claim_marks())[p_priority + 1];
    walked := pg_stat_get_xact_tuples_returned('idx_ocr_queue_claim'::regclass)
        - v_before;
end;
$function$;

select pg_temp.set_clock('whole', '20 seconds') \g /dev/null
delete from ocr_queue as q where q.id = :'urgent';
select mark, walked from pg_temp.look(9) \gset
select is(
    :'mark',
    pg_temp.run_after(:'next_urgent')::text,
    'the mark goes on as jobs are taken'
);
select cmp_ok(
    :'walked'::integer, '<', 100, 'and what was walked over once is not walked again'
);
select ok(
    (
        select
            pg_temp.due(c.last_value) between interval '10 seconds'
            and interval '20 seconds'
        from ocr_claim_whole_clock as c
    ),
    'which does not put off the look at the whole'
);

-- What goes back below the mark: found by the next look at the whole (G9).

update ocr_queue as q set run_after = now() - interval '1 hour'
where q.id = :'next_urgent';
update ocr_queue as q set run_after = now() - interval '2 hours'
where q.id = :'later';
select mark, walked from pg_temp.look(9) \gset
select cmp_ok(
    :'mark'::timestamptz, '>', pg_temp.run_after(:'next_urgent'),
    'a job that plain SQL puts below the mark is not seen from there'
);
select cmp_ok(
    (read_claim_marks())[7 + 1], '>', pg_temp.run_after(:'later'),
    'whatever its priority'
);
select pg_temp.set_clock('whole', '-1 ms') \g /dev/null
select mark, walked from pg_temp.look(9) \gset
select is(
    :'mark',
    pg_temp.run_after(:'next_urgent')::text,
    'the look at the whole takes the mark down to it (G9)'
);
select cmp_ok(:'walked'::integer, '>=', 3000, 'it walks over everything');
select is(
    (read_claim_marks())[7 + 1], pg_temp.run_after(:'later'), 'as for each priority'
);

-- A clock that has been put back does not keep it waiting.

update ocr_queue as q set run_after = now() - interval '3 hours'
where q.id = :'next_urgent';
select pg_temp.set_clock('whole', '50 seconds') \g /dev/null
select mark, walked from pg_temp.look(9) \gset
select cmp_ok(
    :'mark'::timestamptz, '>', pg_temp.run_after(:'next_urgent'),
    'within a minute the look at the whole is waited for'
);
select pg_temp.set_clock('whole', '10 minutes') \g /dev/null
select mark, walked from pg_temp.look(9) \gset
select is(
    :'mark',
    pg_temp.run_after(:'next_urgent')::text,
    'a time further ahead was set by a clock that has been put back, and counts as due'
);
select ok(
    (
        select pg_temp.due(c.last_value) <= interval '30 seconds'
        from ocr_claim_whole_clock as c
    ),
    'and is put right'
);

-- The longer it took, the later the next one; but not at once, and not for ever.

select pg_temp.set_clock('whole', '-1 ms') \g /dev/null
select clock_timestamp() as began, set_claim_marks() as marks \gset
select ok(
    (
        select
            to_timestamp(c.last_value / 1000.0)
            between :'began'::timestamptz + interval '99 ms'
            and clock_timestamp() + greatest(
                interval '102 ms', 20 * (clock_timestamp() - :'began'::timestamptz)
            )
        from ocr_claim_whole_clock as c
    ),
    'after twenty times as long as it took, and a tenth of a second at least'
);

-- Jobs that are due in the future only, and jobs that are taken.

update ocr_queue as q set run_after = now() + interval '1 hour'
where q.status = 'pending';
select pg_temp.set_clock('whole', '-1 ms') \g /dev/null
select ok(
    (
        select bool_and(m.mark <= clock_timestamp() - interval '1 second')
        from unnest(set_claim_marks()) as m (mark)
    ),
    'no mark is later than a second ago, however late the first job is due'
);

-- Another priority does not stand in for this one.

select is(
    (
        select count(distinct m.mark)
        from unnest(read_claim_marks()) as m (mark)
    ),
    1::bigint,
    'with no job due all marks are the same'
);

-- Once nothing has to be walked over, the marks are given up.

truncate ocr_queue;
select pg_temp.add_job(5, '-1 minute') as fresh \gset
select pg_temp.set_clock('whole', '10 seconds') \g /dev/null
select isnt(set_claim_marks(), null, 'the marks stay until the next look at the whole');
select pg_temp.set_clock('whole', '-1 ms') \g /dev/null
select is(set_claim_marks(), null, 'which finds nothing to walk over: no marks');
select is(
    (select c.last_value from ocr_claim_whole_clock as c),
    0::bigint,
    'and that is remembered'
);

select pg_temp.set_clock('look', null), pg_temp.set_clock('whole', null) \g /dev/null
select setval('ocr_claim_mark_' || n, 0) from generate_series(0, 10) as n \g /dev/null
select * from finish();
rollback;
