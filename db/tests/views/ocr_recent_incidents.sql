begin;
\ir ../functions/fixtures.psql

select plan(5);

select pg_temp.add_document('scan.pdf') as document \gset
select pg_temp.claim(:'document', 'w-late') as late_token \gset
select pg_temp.take_over(:'document', 'w-new') as new_token \gset
select update_ocr_safe(
    :'document', 'scan.pdf', 'late text', 90, 2, 10, :'late_token'
) as late \gset
select results_eq(
    $$
        select
            i.reason, i.detail, i.document_id, i.filename, i.offered_by,
            i.lease_held_by, i.text_length, i.session_user_name = session_user,
            i.application_name = current_setting('application_name')
        from ocr_recent_incidents as i
    $$,
    format(
        $$
            values (
                'stale_lease',
                'another lease is live: the job was reset and claimed again', %L::uuid,
                'scan.pdf', 'w-late', 'w-new', 9, true, true
            )
        $$,
        :'document'
    ),
    'what was refused, whose lease it was, and who held the live one'
);
delete from documents as d where d.id = :'document';
select is(
    (select i.filename from ocr_recent_incidents as i),
    'scan.pdf',
    'also when the document is gone'
);
delete from ocr_incidents;
select pg_temp.complete(
    pg_temp.add_document('first.pdf', repeat('a', 64)), 'a b c d e f g h i j k l'
) as token \gset
select pg_temp.complete(
    pg_temp.add_document('second.pdf', repeat('b', 64)), 'a b c d e f g h i j k l'
) as token \gset
select results_eq(
    $$select i.reason, i.filename, i.other_filename from ocr_recent_incidents as i$$,
    $$values ('foreign_text', 'second.pdf', 'first.pdf')$$,
    'a foreign text, with the document that carries it already'
);
select update_ocr_safe(
    gen_random_uuid(), 'never.pdf', 'text', 90, 1, 10, gen_random_uuid()
) as missing \gset
select results_eq(
    $$
        select i.filename, i.offered_by = current_setting('application_name')
        from ocr_recent_incidents as i
        where i.reason = 'document_missing'
    $$,
    $$values ('never.pdf', true)$$,
    'a token that nobody ever held is named by its application'
);
update ocr_incidents set created_at = now() - interval '8 days';
select is_empty('select * from ocr_recent_incidents', 'of the last seven days');

select * from finish();
rollback;
