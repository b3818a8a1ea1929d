-- What follows from it is in triggers/trigger_cleanup_completed_ocr_queue.sql.

begin;
\ir ../fixtures.psql
select plan(7);
select current_schema() as schema \gset

create role test_client;
grant usage on schema :"schema" to test_client;
grant all on documents to test_client;
revoke trigger on documents from test_client;
create function pg_temp.answer(p_setting text, p_role text default null)
returns boolean
language plpgsql
as $function$
declare
    v_answer boolean;
begin
    perform set_config('ocr_guardrails.finishing_depth', p_setting, true);
    if p_role is not null then
        perform set_config('role', p_role, true);
    end if;
    v_answer := is_finishing_left_to_trigger('documents'::regclass);
    reset role;
    return v_answer;
end;
$function$;

reset "ocr_guardrails.finishing_depth";
select is(
    is_finishing_left_to_trigger('documents'::regclass), true, 'nothing was ever set'
);
select is(pg_temp.answer('0'), false, 'whoever writes at this depth finishes the jobs');
select is(pg_temp.answer('1'), true, 'whoever does at another depth does not');
select is(pg_temp.answer(''), true, 'nor does nobody');
select is(pg_temp.answer('on'), true, 'nor what is no depth');
select is(
    pg_temp.answer('0', 'test_client'),
    true,
    'who has all rights but that to create triggers cannot say so'
);
grant trigger on documents to test_client;
select is(
    pg_temp.answer('0', 'test_client'),
    false,
    'who may create triggers could take this one out of action anyway'
);

select * from finish();
rollback;
