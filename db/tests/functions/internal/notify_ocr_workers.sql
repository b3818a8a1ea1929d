begin;
\ir ../fixtures.psql
select plan(2);

select lives_ok('select notify_ocr_workers()', 'workers are woken');
select matches(
    pg_get_functiondef('notify_ocr_workers'::regproc),
    'pg_notify\(''ocr_jobs''(::text)?, \(?"?current_schema"?',
    'on the channel ocr_jobs, with the schema as payload'
);

select * from finish();
rollback;
