begin;
select plan(1);

select throws_ok(
    $$
        select raise_final_result(
            '00000000-0000-0000-0000-000000000001', 'it would change'
        )
    $$,
    'OG003',
    'the OCR result of document 00000000-0000-0000-0000-000000000001 is final: '
    'it would change',
    'OG003 names document and change (G4)'
);

select * from finish();
rollback;
