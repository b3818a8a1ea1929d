-- Where it is used, many at once: record_written_results.sql.

begin;
\ir ../fixtures.psql
select plan(3);

insert into documents (filename) values ('scan.pdf');
insert into ocr_queue (document_id, priority, run_after)
select d.id, 7, now() - interval '1 minute' from documents as d;
select c.lease_token as token from claim_ocr_jobs('w-one') as c \gset

select results_eq(
    format(
        $$
            select
                h.document_id = q.document_id, h.job_id = q.id, h.outcome,
                h.error_class, h.worker_id, h.engine, h.attempt, h.priority,
                h.queued_at = q.created_at, h.started_at = q.started_at,
                h.finished_at >= q.started_at,
                h.wait_ms = elapsed_ms(q.run_after, q.started_at),
                h.processing_time_ms, h.confidence, h.word_count, h.source_hash,
                h.lease_token, h.error
            from ocr_queue as q
            cross join lateral form_result_history(
                q.document_id, 'engine 1', 12, 80.5::real, 3, 'hash', %L, q
            ) as h
        $$,
        :'token'
    ),
    format(
        $$
            values (
                true, true, 'written', null::text, 'w-one', 'engine 1', 1, 7, true,
                true, true, true, 12, 80.5::real, 3, 'hash', %L::uuid, null::text
            )
        $$,
        :'token'
    ),
    'each value stands in its column'
);
select is(
    (
        select concat_ws(
            ' ', h.document_id = d.id, h.outcome, h.job_id, h.worker_id, h.attempt,
            h.wait_ms
        )
        from documents as d
        cross join lateral form_result_history(
            d.id, null, null, null, null, null, null, null
        ) as h
    ),
    't written',
    'a document that had lost its job has a row without one'
);
create function pg_temp.plan_of(p_query text)
returns text
language plpgsql
as $function$
declare
    v_line text;
    v_plan text := '';
begin
    for v_line in execute 'explain (verbose, costs off) ' || p_query loop
        v_plan := v_plan || v_line;
    end loop;
    return v_plan;
end;
$function$;
select unalike(
    pg_temp.plan_of(
        $$
            select
                (form_result_history(
                    d.id, d.ocr_engine, 1, 1, 1, null, null, null
                )).*
            from documents as d
        $$
    ),
    '%form_result_history%',
    'inlined, column by column: not called at all'
);

select * from finish();
rollback;
