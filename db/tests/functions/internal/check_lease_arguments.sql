begin;
select plan(3);

select lives_ok(
    'select check_lease_arguments(gen_random_uuid(), gen_random_uuid())',
    'both are given'
);
select throws_ok(
    'select check_lease_arguments(null, gen_random_uuid())', '22023',
    'p_document_id must be given, not null', 'no document'
);
select throws_ok(
    'select check_lease_arguments(gen_random_uuid(), null)', '22023',
    'p_lease_token must be the lease_token that claim_ocr_jobs() returned, not null',
    'no token'
);

select * from finish();
rollback;
