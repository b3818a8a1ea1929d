-- The rules by themselves; what they mean for documents is in
-- working/update_ocr_safe.sql.

begin;
\ir ../fixtures.psql

-- one good offer, changed column by column
create temporary table good as
select
    'processing'::text as status, '00000000-0000-0000-0000-000000000001'::uuid as live,
    null::uuid as result, 1 as claims, 'a.pdf'::text as filename,
    repeat('a', 64) as file_hash,
    '00000000-0000-0000-0000-000000000001'::uuid as token, 'a.pdf'::text as expected,
    repeat('a', 64) as source_hash, 'one two'::text as ocr_text,
    90::double precision as confidence, 2 as words, false as require_token,
    false as require_hash, null::numeric as tolerance;
create function pg_temp.judge(p_changes jsonb)
returns text
language sql
as $function$
    select judge_ocr_result(
        o.status, o.live, o.result, o.claims, o.filename, o.file_hash, o.token,
        o.expected, o.source_hash, o.ocr_text, o.confidence, o.words, o.require_token,
        o.require_hash, o.tolerance
    )
    from good as g
    cross join lateral jsonb_populate_record(g, p_changes) as o;
$function$;

select plan(31);

select is(pg_temp.judge(c.changes::jsonb), c.outcome, c.changes || ': ' || c.outcome)
from (
    values
    ('{}', 'written'),
    ('{"status": null}', 'document_missing'),
    ('{"status": "completed"}', 'already_completed'),
    ('{"status": "completed", "token": null}', 'already_completed'),
    ('{"status": "completed", "result": "00000000-0000-0000-0000-000000000001"}', 'already_written'),
    ('{"status": "completed", "result": "00000000-0000-0000-0000-000000000002"}', 'already_completed'),
    ('{"status": "pending", "live": null}', 'stale_lease'),
    ('{"status": "pending", "live": null, "result": "00000000-0000-0000-0000-000000000001"}', 'stale_lease'),
    ('{"status": "failed", "live": null}', 'stale_lease'),
    ('{"status": "pending", "live": null, "token": null}', 'stale_lease'),
    ('{"token": "00000000-0000-0000-0000-000000000002"}', 'stale_lease'),
    ('{"token": null}', 'written'),
    ('{"token": null, "claims": 2}', 'lease_required'),
    ('{"claims": 2}', 'written'),
    ('{"token": null, "require_token": true}', 'lease_required'),
    ('{"require_token": true}', 'written'),
    ('{"expected": "b.pdf"}', 'filename_mismatch'),
    ('{"expected": null}', 'filename_mismatch'),
    ('{"source_hash": "b"}', 'source_mismatch'),
    ('{"source_hash": null}', 'written'),
    ('{"file_hash": null}', 'written'),
    ('{"source_hash": null, "require_hash": true}', 'source_mismatch'),
    ('{"ocr_text": ""}', 'implausible_result'),
    ('{"ocr_text": "", "words": 0, "confidence": 50}', 'written'),
    ('{"ocr_text": "", "words": 0, "confidence": 51}', 'implausible_result'),
    ('{"words": 7}', 'written'),
    ('{"words": 8}', 'implausible_result'),
    ('{"words": 3, "tolerance": 0.5}', 'written'),
    ('{"words": 4, "tolerance": 0.5}', 'implausible_result'),
    ('{"words": 0, "tolerance": 0.5}', 'implausible_result')
) as c (changes, outcome);
select is(
    (select p.provolatile::text || p.proisstrict from pg_proc as p where p.oid = 'judge_ocr_result'::regproc),
    'ifalse',
    'the rules are a pure function of row, offer and settings'
);

select * from finish();
rollback;
