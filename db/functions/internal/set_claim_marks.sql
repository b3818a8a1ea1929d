-- The claim order begins with the entries of jobs that were taken. Once nobody can see
-- them they are skipped for good; but as long as some transaction of this database
-- stays open, every claim walks over all that were taken since, and a queue that took
-- 200,000 jobs under a held snapshot claims thirty times as slowly. So claims remember
-- how far they need not look.
-- A mark only says where to begin, never what a job is. When it is set, it is no later
-- than any pending job that can be seen then, locked or not. What can come below it
-- later is a job that goes back with its old time (a retry, an expired lease), one
-- whose transaction took longer than the second that is allowed for, and one changed by
-- plain SQL: those are found by the next look at the whole, which begins at the
-- beginning and takes the marks down to them (G9). It is due after twenty times as long
-- as the last one took, and within half a minute.
-- In ordinary operation, when the whole look meets few entries, there are no marks and
-- claims see everything.

create or replace function set_claim_marks()
returns timestamptz []
language plpgsql
volatile
set search_path from current
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
-- the claim order comes from its index, also when statistics call the queue empty
set enable_sort = off
set jit = off
as $function$
declare
    v_now constant timestamptz := clock_timestamp();
    v_now_ms constant bigint := (extract(epoch from v_now) * 1000)::bigint;
    v_whole_at_ms bigint;
    v_is_whole boolean;
    v_marks timestamptz [];
    v_walked bigint;
begin
    perform setval('ocr_claim_look_clock', v_now_ms + 100);
    select c.last_value into v_whole_at_ms from ocr_claim_whole_clock as c;
    -- a time far ahead was set by a clock that has been put back
    v_is_whole := (v_whole_at_ms between v_now_ms and v_now_ms + 60000) is not true;
    if v_is_whole then
        v_marks := array_fill(timestamptz '-infinity', array[11]);
    else
        v_marks := read_claim_marks();
    end if;

    v_walked := pg_stat_get_xact_tuples_returned('idx_ocr_queue_claim'::regclass);
    v_marks := array(
        select coalesce(
            least(
                (
                    select q.run_after
                    from ocr_queue as q
                    where
                        q.status = 'pending'
                        and q.priority = m.n - 1
                        and q.run_after >= m.mark
                    order by q.run_after
                    limit 1
                ),
                v_now - interval '1 second'
            ),
            v_now - interval '1 second'
        )
        from unnest(v_marks) with ordinality as m (mark, n)
        order by m.n
    );
    v_walked := pg_stat_get_xact_tuples_returned('idx_ocr_queue_claim'::regclass)
        - v_walked;

    if v_is_whole then
        if v_walked < 2000 then
            perform setval('ocr_claim_whole_clock', 0);
            return null;
        end if;
        perform setval(
            'ocr_claim_whole_clock',
            v_now_ms + least(
                30000,
                greatest(
                    100,
                    20 * 1000 * extract(epoch from clock_timestamp() - v_now)
                )
            )::bigint
        );
    end if;
    perform setval(
        format('ocr_claim_mark_%s', m.n - 1)::regclass,
        greatest(0, (extract(epoch from m.mark) * 1000000)::bigint)
    )
    from unnest(v_marks) with ordinality as m (mark, n);
    return v_marks;
end;
$function$;

comment on function set_claim_marks is
'Internal. Looks where claims have to begin and remembers it, or, where they may as well
begin at the beginning, that there are no marks. Returns the marks, one per priority
from 0 to 10, or null.';
