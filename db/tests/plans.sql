-- What a worker calls reads documents and ocr_queue through indexes only, however many
-- rows there are, and no more rows of them when there are more. Counted by the server
-- (pg_stat_xact_user_tables), not by the plan's text or by the clock.

begin;
select plan(12);

-- Each call works on ten jobs of its own and reports what it made the server read.
create function pg_temp.work_and_count(out seq_scans bigint, out rows_read bigint)
language plpgsql
as $function$
declare
    v_jobs json;
    v_ids uuid [];
    v_tokens uuid [];
    v_seq_scans bigint;
    v_rows_read bigint;
begin
    select sum(s.seq_scan), sum(s.seq_tup_read + s.idx_tup_fetch)
    into v_seq_scans, v_rows_read
    from pg_stat_xact_user_tables as s
    where s.relname in ('documents', 'ocr_queue');

    select
        json_agg(
            json_build_object(
                'document_id', c.document_id,
                'expected_filename', c.filename,
                'ocr_text', 'text of document ' || c.document_id,
                'confidence', 90,
                'word_count', 4,
                'processing_time_ms', 10,
                'lease_token', c.lease_token
            )
        ),
        array_agg(c.document_id),
        array_agg(c.lease_token)
    into v_jobs, v_ids, v_tokens
    from claim_ocr_jobs('worker', 10) as c;
    perform from extend_ocr_leases(v_ids, v_tokens);
    perform report_ocr_progress(v_ids[1], v_tokens[1], 1, 2);
    perform fail_ocr_job(v_ids[1], v_tokens[1], 'unreadable');
    perform release_ocr_job(v_ids[2], v_tokens[2]);
    perform update_ocr_safe(
        v_ids[3], 'scan.pdf', 'text of document ' || v_ids[3], 90, 4, 10, v_tokens[3]
    );
    perform from update_ocr_batch_safe(v_jobs);
    perform from find_stuck_ocr_jobs(30);
    perform reset_stuck_ocr_jobs(30);

    select
        sum(s.seq_scan) - v_seq_scans,
        sum(s.seq_tup_read + s.idx_tup_fetch) - v_rows_read
    into seq_scans, rows_read
    from pg_stat_xact_user_tables as s
    where s.relname in ('documents', 'ocr_queue');
end;
$function$;

create function pg_temp.fill(p_pending integer, p_completed integer)
returns void
language sql
as $function$
    insert into documents (filename)
    select 'scan.pdf' from generate_series(1, p_pending);
    select enqueue_pending_documents(1000000);
    insert into documents (
        filename, ocr_status, ocr_text, ocr_confidence, ocr_word_count, ocr_completed_at
    )
    select 'scan.pdf', 'completed', 'done', 90, 1, now()
    from generate_series(1, p_completed);
$function$;

-- given: an empty database, so that the figures below are ours alone
delete from documents;
select set_ocr_setting('expiry_sweep_interval', '0');
analyze documents, ocr_queue;

-- when there are few rows, for which a planner likes to read the whole table
select pg_temp.fill(40, 0);
analyze documents, ocr_queue;
create temporary table few as select * from pg_temp.work_and_count();
select is(
    (select f.seq_scans from few as f), 0::bigint, 'no sequential scan of few rows'
);
-- and once more with the plans that are cached by now
select is(
    (select w.seq_scans from pg_temp.work_and_count() as w),
    0::bigint,
    'nor on repetition'
);

-- when there are many pending ones
select pg_temp.fill(30000, 0);
analyze documents, ocr_queue;
create temporary table many as select * from pg_temp.work_and_count();
select is(
    (select m.seq_scans from many as m), 0::bigint, 'no sequential scan of many rows'
);
select cmp_ok(
    (select m.rows_read from many as m), '<=', (select 2 * f.rows_read from few as f),
    'and the rows that are read do not grow with the queue'
);

-- when there are many finished documents
select pg_temp.fill(0, 30000);
analyze documents, ocr_queue;
create temporary table finished as select * from pg_temp.work_and_count();
select is(
    (select f.seq_scans from finished as f), 0::bigint,
    'no sequential scan of many finished documents'
);
select cmp_ok(
    (select n.rows_read from finished as n), '<=', (select 2 * f.rows_read from few as f),
    'and the rows that are read do not grow with finished documents'
);

-- when many jobs of a higher priority wait out their backoff
update ocr_queue as q set priority = 9, run_after = now() + interval '1 hour'
where q.id in (select o.id from ocr_queue as o where o.status = 'pending' limit 20000);
analyze ocr_queue;
create temporary table backoff as select * from pg_temp.work_and_count();
select is(
    (select b.seq_scans from backoff as b), 0::bigint,
    'no sequential scan while many jobs wait out their backoff'
);
select cmp_ok(
    (select b.rows_read from backoff as b), '<=', (select 2 * f.rows_read from few as f),
    'and a claim does not visit the jobs that are not due'
);

-- when no job is due at all
update ocr_queue as q set run_after = now() + interval '1 hour'
where q.status = 'pending';
create temporary table before_idle as
select sum(s.seq_scan) as seq_scans, sum(s.seq_tup_read + s.idx_tup_fetch) as rows_read
from pg_stat_xact_user_tables as s
where s.relname in ('documents', 'ocr_queue');
select is(
    (select count(*) from claim_ocr_jobs('worker', 100)), 0::bigint, 'nothing is due'
);
select cmp_ok(
    (
        select sum(s.seq_tup_read + s.idx_tup_fetch)
        from pg_stat_xact_user_tables as s
        where s.relname in ('documents', 'ocr_queue')
    ),
    '<=',
    (select b.rows_read + 20 from before_idle as b),
    'and finding that out reads no more than the jobs in hand'
);

-- the producing side
select enqueue_ocr_job(d.id)
from documents as d
where d.ocr_status = 'pending'
limit 1;
create temporary table one as
select d.id from documents as d
where d.ocr_status = 'pending'
order by d.created_at
limit 1;
create temporary table done as
select d.id from documents as d
where d.ocr_text_hash is not null
limit 1;
create temporary table before_enqueue as
select sum(s.seq_scan) as seq_scans
from pg_stat_xact_user_tables as s
where s.relname in ('documents', 'ocr_queue');
select lives_ok(
    $$
        select enqueue_ocr_job(o.id) from one as o;
        select cancel_ocr_job(o.id, 'plan test') from one as o;
        select enqueue_ocr_job(o.id) from one as o;
        select requeue_document(d.id, 'plan test') from done as d;
        select restore_previous_result(d.id) from done as d;
        select retry_failed_ocr_jobs(10);
    $$,
    'enqueue, cancel, requeue, restore and retry'
);
select is(
    (
        select sum(s.seq_scan) from pg_stat_xact_user_tables as s
        where s.relname in ('documents', 'ocr_queue')
    ),
    (select b.seq_scans from before_enqueue as b),
    'use indexes only'
);

select * from finish();
rollback;
