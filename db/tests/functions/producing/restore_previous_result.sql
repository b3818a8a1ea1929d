begin;
\ir ../fixtures.psql

select plan(33);

-- Requeue, then restore: as if nothing had been.
select pg_temp.add_document('scan.pdf', repeat('a', 64)) as document \gset
select pg_temp.claim(:'document') as token \gset
select update_ocr_safe(
    :'document', 'scan.pdf', 'first text', 81, 2, 123, :'token', null, 'engine 1'
) as written \gset
select to_jsonb(d) - 'updated_at' as before from documents as d \gset
select requeue_document(:'document', 'test') as job \gset
select is(
    restore_previous_result(:'document'),
    true,
    'the result that was set aside comes back'
);
select is(
    (select to_jsonb(d) - 'updated_at' from documents as d),
    :'before'::jsonb,
    'all of it, as it was'
);
select is(
    pg_temp.state(:'document'), 'completed / no job', 'the job that waited is dropped'
);
select is(
    (select count(*) from ocr_previous_results), 0::bigint, 'nothing is set aside any more'
);
select is(pg_temp.history(:'document'), 'written', 'it is no new attempt');
select pg_temp.snapshot() as before_second \gset
select throws_ok(
    format('select restore_previous_result(%L)', :'document'),
    'OG006',
    format('document %s is completed already', :'document'),
    'a second restore finds the result standing: OG006'
);
select is(pg_temp.snapshot(), :'before_second', 'and changes nothing');
select is(
    update_ocr_safe(:'document', 'scan.pdf', 'first text', 81, 2, 123, :'token'),
    true,
    'the token of a restored result is its token again (G11)'
);

-- While the new attempt is processing: it is fenced off (G2).
select requeue_document(:'document', 'test') as job \gset
select pg_temp.claim(:'document', 'w-new') as new_token \gset
select is(
    restore_previous_result(:'document'),
    true,
    'a processing document gets its result back'
);
select is(
    (select to_jsonb(d) - 'updated_at' - 'ocr_claims' from documents as d),
    :'before'::jsonb - 'ocr_claims',
    'as it was'
);
select is(
    pg_temp.history(:'document'),
    'written cancelled',
    'the attempt that was under way is in the history (G10)'
);
select pg_temp.snapshot() as before_late \gset
select is(
    update_ocr_safe(:'document', 'scan.pdf', 'new text', 90, 2, 10, :'new_token'),
    false,
    'its late result is refused (G2, G4)'
);
select is(
    fail_ocr_job(:'document', :'new_token', 'late'),
    'stale_lease',
    'its late failure too'
);
select is(pg_temp.snapshot(), :'before_late', 'and the result stands');

-- After the new attempt has failed.
select requeue_document(:'document', 'test') as job \gset
select pg_temp.kill(:'document') as token_two \gset
select is(
    restore_previous_result(:'document'), true, 'a failed document gets its result back'
);
select is(pg_temp.state(:'document'), 'completed / no job', 'its dead job goes');
select is((select d.ocr_error from documents as d), null, 'and its error');

-- After the file was processed again: the newest is brought back first.
select requeue_document(:'document', 'test') as job \gset
select pg_temp.complete(:'document', 'second text') as token_two \gset
select throws_ok(
    format('select restore_previous_result(%L)', :'document'),
    'OG006',
    null,
    'a new result is not restored over (G4)'
);
select requeue_document(:'document', 'test') as job \gset
select is(
    (select string_agg(r.ocr_text, ', ' order by r.id) from ocr_previous_results as r),
    'first text, second text',
    'requeued twice: two results are set aside'
);
select restore_previous_result(:'document') as restored \gset
select is(
    (select d.ocr_text from documents as d), 'second text', 'the newest comes back'
);
select is(
    (select string_agg(r.ocr_text, ', ' order by r.id) from ocr_previous_results as r),
    'first text',
    'the older one is kept'
);

-- Another document's result is none of ours.
select pg_temp.add_document('other.pdf') as other \gset
select enqueue_ocr_job(:'other') as job \gset
select pg_temp.snapshot() as before_other \gset
select is(
    restore_previous_result(:'other'), false, 'without a result set aside there is none'
);
select is(pg_temp.snapshot(), :'before_other', 'and nothing changes');
select pg_temp.claim(:'other') as other_token \gset
select is(
    restore_previous_result(:'other'), false, 'nor while it is processed'
);
select is(
    pg_temp.state(:'other'),
    'processing / processing 1 of 3',
    'whose lease stays live then'
);

-- Without a job.
select requeue_document(:'document', 'test') as job \gset
delete from ocr_queue as q where q.document_id = :'document';
select is(
    restore_previous_result(:'document'), true, 'a document without a job gets it back'
);
select requeue_document(:'document', 'test') as job \gset
select pg_temp.claim(:'document') as token_three \gset
delete from ocr_queue as q where q.document_id = :'document';
select is(
    restore_previous_result(:'document'), true, 'and a processing one without a job'
);
select is(pg_temp.state(:'document'), 'completed / no job', 'no job is left over');

-- The text hash is there again, so that the text is found when it comes on another
-- file.
select is(
    (
        select d.ocr_text_hash = hash_ocr_text(d.ocr_text)
        from documents as d
        where d.id = :'document'
    ),
    true,
    'a restored text is compared with others again (G7)'
);

select throws_ok(
    $$select restore_previous_result(null)$$,
    '22023',
    'p_document_id must be given, not null',
    'null is refused (22023)'
);
select throws_ok(
    $$select restore_previous_result('00000000-0000-0000-0000-000000000000')$$,
    'OG001',
    'there is no document 00000000-0000-0000-0000-000000000000',
    'a document that does not exist: OG001'
);
select is(
    (select string_agg(distinct i.reason, ', ') from ocr_incidents as i),
    'already_completed',
    'the late result is the only incident'
);
select is(
    (select count(*) from ocr_previous_results), 1::bigint, 'the oldest result is still kept'
);

select * from finish();
rollback;
