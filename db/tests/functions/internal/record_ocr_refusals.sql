-- Which rule refuses what is tested through the doors, working/update_ocr_safe.sql and
-- its neighbours; here, the result that the rules let pass and that was not written all
-- the same, and what is said of many at once.

begin;
\ir ../fixtures.psql
select plan(25);

-- The writing would be tried for ever if nothing ended it.
set local statement_timeout = '20s';

create function pg_temp.result(
    p_document_id uuid,
    p_token uuid,
    p_filename text default 'scan.pdf',
    p_text text default 'a b',
    p_confidence double precision default 90,
    p_word_count integer default 2
)
returns ocr_result
language sql
as $function$
    select row(
        p_document_id, p_filename, p_text, p_confidence, p_word_count, 1, p_token,
        null, null
    )::ocr_result;
$function$;

-- A trigger of the user's own that lets no result through, and says nothing.

create function pg_temp.suppress()
returns trigger
language plpgsql
as $function$
begin
    return null;
end;
$function$;
create trigger test_suppress before update on documents
for each row when (new.filename = 'mute.pdf' and new.ocr_status = 'completed')
execute function pg_temp.suppress();

select pg_temp.add_document('mute.pdf') as mute \gset
select pg_temp.claim(:'mute') as token \gset
select pg_temp.snapshot() as before \gset
select is(
    update_ocr_safe(:'mute', 'mute.pdf', 'a b', 90, 2, 1, :'token'),
    false,
    'a result whose write a trigger suppressed is refused'
);
select is(pg_temp.snapshot(), :'before', 'nothing changed');
select results_eq(
    $$
        select
            i.reason, i.document_id, i.job_id, i.worker_id, i.offered_token,
            i.live_token, i.text_length, i.detail
        from ocr_incidents as i
    $$,
    $$
        select
            'rejected_by_database', d.id, q.id, 'w-one', d.ocr_lease_token,
            d.ocr_lease_token, 3, '27000: a trigger on documents suppressed the update'
        from documents as d
        inner join ocr_queue as q on q.document_id = d.id
    $$,
    'and one incident says so, with the attempt that was live (G10)'
);
select is(
    update_ocr_safe(:'mute', 'mute.pdf', 'a b', 90, 2, 1),
    false,
    'without a token, too'
);
delete from ocr_incidents;
update ocr_settings set foreign_text_policy = 'refuse';
select is(
    update_ocr_safe(:'mute', 'mute.pdf', 'a b', 90, 2, 1, :'token'),
    false,
    'and under the policy refuse, where the document is locked beforehand'
);
select is(
    (select string_agg(i.reason, ' ') from ocr_incidents as i),
    'rejected_by_database',
    'with one incident'
);
update ocr_settings set foreign_text_policy = 'record';
delete from ocr_incidents;

-- The same in a batch, beside one that is written.
select pg_temp.add_document('loud.pdf') as loud \gset
select pg_temp.claim(:'loud') as loud_token \gset
select results_eq(
    format(
        $$
            select r.document_id, r.outcome, r.detail
            from update_ocr_batch_safe(
                json_build_array(
                    pg_temp.result(%1$L, %2$L, 'mute.pdf'),
                    pg_temp.result(%3$L, %4$L, 'loud.pdf')
                )
            ) as r
        $$,
        :'mute', :'token', :'loud', :'loud_token'
    ),
    format(
        $$
            values
            (
                %L::uuid, 'rejected_by_database',
                '27000: a trigger on documents suppressed the update'
            ),
            (%L::uuid, 'written', null)
        $$,
        :'mute', :'loud'
    ),
    'in a batch it is rejected_by_database, and the other is written'
);
select is(
    pg_temp.state(:'mute'),
    'pending / pending 1 of 3',
    'its job is failed as document: an attempt is spent'
);
select results_eq(
    format(
        $$
            select h.outcome, h.error_class, h.error, h.lease_token
            from ocr_job_history as h
            where h.document_id = %L
        $$,
        :'mute'
    ),
    format(
        $$
            values (
                'retry', 'document',
                '27000: a trigger on documents suppressed the update', %L::uuid
            )
        $$,
        :'token'
    ),
    'and the history says why (G10)'
);
select is(
    (select string_agg(i.reason || ' ' || i.document_id, ' ') from ocr_incidents as i),
    'rejected_by_database ' || :'mute',
    'one incident, of that document'
);
select is(pg_temp.state(:'loud'), 'completed / no job', 'the other''s job is gone');
select is(pg_temp.history(:'loud'), 'written', 'and once in the history');

-- One call for many: each gets its own outcome, by what the settings given to it say.

delete from documents;
delete from ocr_job_history;
delete from ocr_incidents;
select pg_temp.add_document('other.pdf', repeat('b', 64)) as other \gset
select pg_temp.complete(:'other', 'a b c d e f g h i j k l') as token \gset
select pg_temp.add_document() as stale \gset
select pg_temp.claim(:'stale', 'w-stale') as stale_token \gset
select pg_temp.add_document() as invalid \gset
select pg_temp.claim(:'invalid', 'w-invalid') as invalid_token \gset
select pg_temp.add_document() as copied \gset
select pg_temp.claim(:'copied', 'w-foreign') as copied_token \gset
select pg_temp.add_document() as mute \gset
select pg_temp.claim(:'mute', 'w-mute') as mute_token \gset
-- a document that was written just now, and its job, which is gone
select pg_temp.add_document() as written \gset
select pg_temp.claim(:'written', 'w-written') as written_token \gset
create temporary table jobs as
select q as job from ocr_queue as q
where q.document_id = :'written';
select update_ocr_safe(
    :'written', 'scan.pdf', 'a b', 90, 2, 1, :'written_token'
) as written_now \gset
select pg_temp.add_document() as plain \gset
select pg_temp.complete(:'plain') as plain_token \gset

create temporary table results as
select
    r.n,
    r.result
from (
    values
    (1, pg_temp.result(:'stale', gen_random_uuid())),
    (2, pg_temp.result(:'written', :'written_token')),
    (3, pg_temp.result(:'invalid', :'invalid_token', p_confidence => -1)),
    (4, pg_temp.result(gen_random_uuid(), null)),
    (
        5,
        pg_temp.result(
            :'copied', :'copied_token',
            p_text => 'a b c d e f g h i j k l', p_word_count => 12
        )
    ),
    (6, pg_temp.result(:'mute', :'mute_token')),
    (7, pg_temp.result(:'plain', :'plain_token')),
    (8, pg_temp.result(:'invalid', :'invalid_token', p_text => '', p_word_count => -1)),
    (9, pg_temp.result(:'stale', gen_random_uuid(), p_confidence => -1)),
    (10, pg_temp.result(:'mute', :'mute_token', p_word_count => 99))
) as r (n, result);
select pg_temp.snapshot() as before \gset
create function pg_temp.results_array()
returns ocr_result []
language sql
as $function$
    select array_agg(r.result order by r.n) from results as r;
$function$;
update ocr_settings set foreign_text_policy = 'refuse';
create temporary table answers as
select o.*
from record_ocr_refusals(
    pg_temp.results_array(),
    array[2, 7]::bigint [],
    array[:'other', null]::uuid []
) as o;
update ocr_settings set foreign_text_policy = default;
select results_eq(
    'select a.ordinal, a.document_id from answers as a',
    'select r.n, (r.result).document_id from results as r order by r.n',
    'one row for each result, in order'
);
select results_eq(
    'select a.ordinal, a.outcome, a.detail from answers as a',
    format(
        $$
            values
            (1, 'stale_lease', 'another lease is live: the job was reset and claimed again'),
            (2, 'written', 'document %1$s carries this very text'),
            (3, 'rejected_by_database', '22023: p_confidence must be between 0 and 100, not -1'),
            (4, 'document_missing', 'there is no such document'),
            (5, 'foreign_text', 'document %1$s carries this very text'),
            (6, 'rejected_by_database', '27000: a trigger on documents suppressed the update'),
            (7, 'written', null),
            (8, 'rejected_by_database', '22023: p_word_count must be zero or more, not -1'),
            (9, 'stale_lease', 'another lease is live: the job was reset and claimed again'),
            (10, 'implausible_result', '99 words and confidence 90 do not fit a text of 3 characters')
        $$,
        :'other'
    ),
    'with its outcome and the reason in words'
);
select is(pg_temp.snapshot(), :'before', 'it changes no document and no job');
select results_eq(
    $$
        select
            i.reason, i.document_id, i.worker_id, i.offered_token, i.live_token,
            i.expected_filename, i.actual_filename, i.text_length, i.text_hash,
            i.other_document_id, i.detail
        from ocr_incidents as i
        order by i.document_id, i.detail, i.offered_token
    $$,
    format(
        $$
            select
                case when a.outcome = 'written' then 'foreign_text' else a.outcome end,
                a.document_id,
                case
                    when d.id is not null then 'w-' || n.name
                end,
                (r.result).lease_token,
                coalesce(d.ocr_lease_token, d.ocr_result_token),
                'scan.pdf',
                d.filename,
                length((r.result).ocr_text),
                hash_ocr_text((r.result).ocr_text),
                case when a.ordinal in (2, 5) then %L::uuid end,
                a.detail
            from answers as a
            inner join results as r on r.n = a.ordinal
            left join documents as d on d.id = a.document_id
            left join (
                values
                (1, 'stale'), (2, 'written'), (3, 'invalid'), (5, 'foreign'),
                (6, 'mute'), (8, 'invalid'), (9, 'stale'), (10, 'mute')
            ) as n (n, name) on n.n = a.ordinal
            where a.ordinal <> 7
            order by a.document_id, a.detail, (r.result).lease_token
        $$,
        :'other'
    ),
    'each refusal, and each text that another carries, leaves one incident (G10)'
);
select is(
    (
        select i.job_id
        from ocr_incidents as i
        where i.document_id = :'written'
    ),
    (select (j.job).id from jobs as j),
    'that of a result that was written names the job, which is gone by then'
);

-- A written result is none of the database's refusals, however it looks.
create function pg_temp.refusals(
    p_result ocr_result,
    p_setting text default '',
    p_written bigint [] default null,
    p_foreign_ids uuid [] default null
)
returns text
language sql
as $function$
    update ocr_settings
    set
        require_lease_token = p_setting = 'require_lease_token',
        require_source_hash = p_setting = 'require_source_hash';
    select string_agg(concat_ws(': ', o.outcome, o.detail), ', ')
    from record_ocr_refusals(array[p_result], p_written, p_foreign_ids) as o;
$function$;
delete from ocr_incidents;
select is(
    pg_temp.refusals(pg_temp.result(:'plain', :'plain_token')),
    'already_written',
    'a result that stood there before is already written (G11)'
);
select is(
    (select count(*) from ocr_incidents),
    0::bigint,
    'and leaves no incident'
);
select is(
    pg_temp.refusals(pg_temp.result(:'plain', :'plain_token'), p_written => array[1]),
    'written',
    'one that was written just now is written'
);
select is(
    pg_temp.refusals(pg_temp.result(null, null)),
    'document_missing: there is no such document',
    'null is no document'
);
select is(
    pg_temp.refusals(
        pg_temp.result(
            :'copied', :'copied_token',
            p_text => 'a b c d e f g h i j k l', p_word_count => 12
        )
    ),
    'rejected_by_database: 27000: a trigger on documents suppressed the update',
    'a foreign text is no reason where the policy is not refuse'
);
select is(
    pg_temp.refusals(
        pg_temp.result(:'copied', null), 'require_lease_token'
    ),
    'lease_required: no lease token was given, and the document was claimed more than '
    'once or the setting require_lease_token is on',
    'a lease that the settings require'
);
select is(
    pg_temp.refusals(
        pg_temp.result(:'copied', :'copied_token'), 'require_source_hash'
    ),
    'source_mismatch: no source hash was given, and the setting require_source_hash is '
    'on',
    'a source that they require'
);
select is(
    pg_temp.refusals(pg_temp.result(:'copied', :'copied_token', 'Scan.pdf')),
    'filename_mismatch: the document''s filename is ''scan.pdf'', not ''Scan.pdf''',
    'and a filename that is another'
);

select * from finish();
rollback;
