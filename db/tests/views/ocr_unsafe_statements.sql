begin;
\ir ../functions/fixtures.psql

select plan(3);

insert into ocr_incidents (reason, statement, detail, created_at)
values
('unsafe_statement', 'update a', 'OG004: from pending to processing', now()),
('unsafe_statement', 'update a', 'OG004: from pending to processing', now() - interval '1 day'),
('unsafe_statement', 'update a', 'OG004: from pending to processing', now() - interval '8 days'),
('unsafe_statement', 'update b', 'OG002: from processing to completed', now()),
('unsafe_statement', 'update c', 'OG003: from completed to pending', now()),
('unsafe_statement', 'update d', 'OG004: from processing to failed', now()),
('unsafe_statement', 'update e', 'OG004: from processing to pending', now()),
('unsafe_statement', 'update f', 'OG004: from completed to completed', now()),
('stale_lease', null, 'another lease is live', now());
select results_eq(
    $$
        select u.statement, u.statements, u.last_at - u.first_at
        from ocr_unsafe_statements as u
        where u.statement = 'update a'
    $$,
    $$values ('update a', 2::bigint, interval '1 day')$$,
    'the same code path is one row with a count, of seven days'
);
select results_eq(
    $$
        select u.statement, left(u.instead, 15)
        from ocr_unsafe_statements as u
        order by 1
    $$,
    $$
        values
        ('update a', 'claim_ocr_jobs('), ('update b', 'update_ocr_safe'),
        ('update c', 'requeue_documen'), ('update d', 'fail_ocr_job() '),
        ('update e', 'release_ocr_job'), ('update f', 'update_ocr_safe')
    $$,
    'each says what to call instead, and other incidents are none of its matter'
);
select is(
    (select u.session_user_name from ocr_unsafe_statements as u limit 1),
    session_user::text, 'and who sent it'
);

select * from finish();
rollback;
