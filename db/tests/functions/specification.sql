-- The statements of the specification that are meant for an installed system, word for
-- word: dashboard queries, daily and weekly tasks, emergency procedures.

begin;
\ir fixtures.psql

select plan(26);

-- given: a stuck job, a stuck last attempt, one alive, and results
create function pg_temp.put_back(p_filename text, p_attempts integer, p_minutes integer)
returns void
language plpgsql
as $function$
declare
    v_document_id constant uuid := pg_temp.add_document(p_filename);
begin
    perform pg_temp.claim(v_document_id);
    update ocr_queue as q
    set
        attempts = p_attempts,
        started_at = clock_timestamp() - make_interval(mins => p_minutes),
        heartbeat_at = clock_timestamp() - make_interval(mins => p_minutes)
    where q.document_id = v_document_id;
end;
$function$;
select pg_temp.put_back('stuck', 1, 31);
select pg_temp.put_back('stuck too', 3, 40);
select pg_temp.put_back('slow', 1, 16);
select pg_temp.complete(pg_temp.add_document('a'), 'one two three') as token \gset
select pg_temp.complete(pg_temp.add_document('b'), 'four') as token \gset
select enqueue_ocr_job(pg_temp.add_document('waiting')) as job \gset

-- Dashboard: real-time OCR status
select set_eq(
    $$
SELECT
    ocr_status,
    COUNT(*) as count,
    AVG(ocr_confidence) as avg_confidence
FROM documents
GROUP BY ocr_status;
    $$,
    $$
        values
        ('completed', 2::bigint, 90::double precision), ('processing', 3, null),
        ('pending', 1, null)
    $$,
    'dashboard: real-time OCR status'
);

-- Dashboard: queue processing rate. Completed jobs are removed, so it sees dead ones
-- only; the view ocr_processing_rate answers it.
select lives_ok(
    $$
SELECT
    DATE_TRUNC('minute', completed_at) as minute,
    COUNT(*) as completed_jobs
FROM ocr_queue
WHERE completed_at > NOW() - INTERVAL '1 hour'
GROUP BY minute
ORDER BY minute;
    $$,
    'dashboard: queue processing rate'
);
select is(
    (select sum(r.completed_jobs) from ocr_processing_rate as r),
    2::numeric,
    'what it asks for is in ocr_processing_rate'
);

-- Dashboard: identify stuck jobs
select lives_ok(
    $$SELECT * FROM find_stuck_ocr_jobs(30);$$, 'dashboard: identify stuck jobs'
);
select is(
    (select string_agg(s.filename, ', ') from find_stuck_ocr_jobs(30) as s),
    'stuck too, stuck',
    'it finds these'
);

-- Daily
select results_eq(
    $$SELECT reset_stuck_ocr_jobs(30);$$,
    'values (2)',
    'daily: check and reset stuck jobs'
);
select results_eq(
    $$SELECT refresh_ocr_stats();$$, 'values (true)', 'daily: refresh statistics'
);
select set_eq(
    $$select s.ocr_status, s.documents from ocr_stats as s$$,
    $$
        values
        ('completed', 2::bigint), ('processing', 1), ('pending', 2), ('failed', 1)
    $$,
    'daily: the statistics after that'
);
select lives_ok($$SELECT * FROM ocr_stats;$$, 'as it is written');

-- Weekly
select results_eq(
    $$
SELECT
    orphaned_queue_items,
    documents_without_files,
    inconsistent_ocr_states,
    data_integrity_score
FROM validate_database_consistency();
    $$,
    $$values (0::bigint, 0::bigint, 0::bigint, 100::numeric)$$,
    'weekly: deep consistency check'
);
select lives_ok($$ANALYZE documents;$$, 'weekly: performance analysis of documents');
select lives_ok($$ANALYZE ocr_queue;$$, 'weekly: performance analysis of ocr_queue');

-- Emergency
select results_eq(
    $$SELECT reset_stuck_ocr_jobs(15);$$,
    'values (1)',
    'emergency: reset all stuck jobs older than 15 minutes'
);
select pg_temp.snapshot() as before \gset
select lives_ok(
    $$DELETE FROM ocr_queue WHERE document_id NOT IN (SELECT id FROM documents);$$,
    'emergency: clear orphaned queue items'
);
select is(pg_temp.snapshot(), :'before', 'of which there are none');

-- The names that the specification gives.
select has_trigger(
    'documents', 'trigger_validate_ocr_consistency', 'its validating trigger'
);
select trigger_is(
    'documents', 'trigger_validate_ocr_consistency', 'validate_ocr_consistency',
    'by its function'
);
select trigger_is(
    'documents', 'trigger_cleanup_completed_ocr_queue', 'cleanup_completed_ocr_queue',
    'and the one that cleans up'
);
select col_has_check('documents', 'ocr_status', 'its check of the status');
select results_eq(
    $$
        select c.conname::text collate "default"
        from pg_constraint as c
        where c.conname in (
            'check_ocr_status', 'check_ocr_confidence', 'fk_ocr_queue_document_id'
        )
        order by 1
    $$,
    $$
        values
        ('check_ocr_confidence'), ('check_ocr_status'), ('fk_ocr_queue_document_id')
    $$,
    'its constraints'
);
select results_eq(
    $$
        select pg_get_indexdef(i.indexrelid)
        from pg_index as i
        inner join pg_class as c on c.oid = i.indexrelid
        where c.relname in (
            'idx_ocr_queue_unique_pending_document', 'idx_documents_pending_ocr',
            'idx_documents_processing_ocr'
        )
        order by c.relname
    $$,
    format(
        $$
            values
            ('CREATE INDEX idx_documents_pending_ocr ON %1$I.documents USING btree (created_at) WHERE (ocr_status = ''pending''::text)'),
            ('CREATE INDEX idx_documents_processing_ocr ON %1$I.documents USING btree (updated_at) WHERE (ocr_status = ''processing''::text)'),
            ('CREATE UNIQUE INDEX idx_ocr_queue_unique_pending_document ON %1$I.ocr_queue USING btree (document_id) WHERE (status = ANY (ARRAY[''pending''::text, ''processing''::text]))')
        $$,
        current_schema()
    ),
    'its indexes'
);
-- The six arguments of its update_ocr_with_validation().
select pg_temp.add_document('scan.pdf') as document \gset
select pg_temp.claim(:'document') as token \gset
select is(
    update_ocr_safe(
        :'document', 'scan.pdf', 'recognised text', 95.5::real, 2, 1500
    ),
    true,
    'its safe update, with the six arguments that it has'
);
select throws_ok(
    format(
        $$
            UPDATE documents SET ocr_text = 'FileB', ocr_status = 'completed'
            WHERE id = %L
        $$,
        :'document'
    ),
    'OG003',
    null,
    'its vulnerable update cannot overwrite it'
);
select throws_ok(
    format(
        $$
            UPDATE documents SET ocr_text = 'FileB', ocr_status = 'completed'
            WHERE id = %L
        $$,
        d.id
    ),
    'OG002',
    null,
    'nor write where nothing stands'
)
from documents as d
where d.filename = 'waiting';
select throws_ok(
    format(
        $$
            insert into documents (filename, ocr_status, ocr_confidence)
            values ('a', %s)
        $$,
        c.value
    ),
    '23514',
    null,
    format('its constraints refuse %s', c.value)
)
from (values ('''done'', 50'), ('''pending'', 101')) as c (value);

select * from finish();
rollback;
