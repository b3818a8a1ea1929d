-- What a login of a group role may not do at all, tried.

begin;
\ir ../functions/fixtures.psql
\ir attempts.psql

create temporary table forbidden (
    login text default 'hostile_worker',
    what text,
    statement text
);

insert into forbidden (what, statement) values
-- settings
('read the settings', 'select * from ocr_settings'),
('change the settings', 'update ocr_settings set require_lease_token = false'),
('change a setting by function',
 $$select set_ocr_setting('require_lease_token', 'false')$$),
('read why the queue is paused', 'select paused_reason from ocr_queue_state'),
('read the token of the probe', 'select circuit_probe_token from ocr_queue_state'),
('close the circuit', $$update ocr_queue_state set circuit_state = 'closed'$$),
('pause the queue', $$select pause_ocr_queue('mine')$$),
('resume the queue', 'select resume_ocr_queue()'),
-- leases and tables
('read lease tokens', 'select ocr_lease_token from documents'),
('read texts', 'select ocr_text from documents'),
('read a document''s name', 'select filename from documents'),
('count the documents', 'select count(*) from documents'),
('lock a document', 'select from documents for update'),
('insert a document', $$insert into documents (filename) values ('x')$$),
('change a document', $$update documents set ocr_text = 'x'$$),
('delete a document', 'delete from documents'),
('empty the documents', 'truncate documents cascade'),
('lock the documents', 'lock table documents in access exclusive mode'),
('read other workers'' jobs', 'select * from ocr_queue'),
('steal a job', $$update ocr_queue set worker_id = 'hostile'$$),
('insert a job', 'insert into ocr_queue (document_id) values (gen_random_uuid())'),
('delete jobs', 'delete from ocr_queue'),
('read who works on what', 'select * from ocr_worker_activity'),
('copy the documents out', 'copy (select * from documents) to stdout'),
('copy a file in', $$copy documents from '/etc/passwd'$$),
('copy out to a program', $$copy (select 1) to program 'true'$$),
('read a file', $$select pg_read_file('/etc/passwd')$$),
('rebuild an index', 'reindex table ocr_queue'),
-- evidence
('read the history', 'select * from ocr_job_history'),
('read a partition of the history', 'select * from ocr_job_history_default'),
('write history', $$insert into ocr_job_history (document_id, outcome)
    values (gen_random_uuid(), 'written')$$),
('delete history', 'delete from ocr_job_history'),
('read incidents', 'select * from ocr_incidents'),
('read recent incidents', 'select * from ocr_recent_incidents'),
('write incidents', $$insert into ocr_incidents (reason) values ('stale_lease')$$),
('delete incidents', 'delete from ocr_incidents'),
('read previous results', 'select * from ocr_previous_results'),
('forge a previous result', $$insert into ocr_previous_results (document_id, ocr_text,
    ocr_confidence, ocr_word_count, ocr_completed_at, reason)
    values (gen_random_uuid(), 'x', 90, 1, now(), 'mine')$$),
('read lease locks', 'select * from ocr_lease_locks'),
('read file checks', 'select * from ocr_file_checks'),
('read the register', 'select * from ocr_schema_objects'),
('read yoyo''s tables', 'select * from _yoyo_migration'),
-- what steers claims
('hide jobs behind a mark', $$select setval('ocr_claim_mark_5', 9e15::bigint)$$),
('stop the sweep', $$select setval('ocr_expiry_sweep_clock', 9e15::bigint)$$),
('draw an incident''s number', $$select nextval('ocr_incidents_id_seq')$$),
('read a mark', 'select last_value from ocr_claim_mark_5'),
-- definitions
('switch the triggers off', 'alter table documents disable trigger all'),
('drop a trigger', 'drop trigger trigger_validate_ocr_consistency on documents'),
('add a trigger', $$create trigger mine before update on documents
    for each row execute function suppress_redundant_updates_trigger()$$),
('add a rule', 'create rule mine as on update to documents do instead nothing'),
('add a policy', 'create policy mine on documents using (true)'),
('add an index', 'create index on documents (filename)'),
('replace a function', $$create or replace function notify_ocr_workers()
    returns void language sql as 'select 1'$$),
('unpin a function', 'alter function release_ocr_job reset all'),
('make a function run as its caller', 'alter function release_ocr_job security invoker'),
('drop a function', 'drop function release_ocr_job'),
('own a function', 'alter function release_ocr_job owner to hostile_worker'),
('create a function beside them', $$create function format(text, uuid) returns text
    language sql as 'select 1::text'$$),
('create a table beside them', 'create table mine (id integer)'),
('hang a table on a type', 'create temporary table mine (r ocr_result)'),
-- a trigger function on a table of one's own would run with its owner's rights
('use the cleanup as a trigger of one''s own', $$
    create temporary table mine (id uuid, ocr_status text);
    create trigger mine after update on mine
    for each row execute function cleanup_completed_ocr_queue()$$),
('use the validation as a trigger of one''s own', $$
    create temporary table mine (like pg_class);
    create trigger mine before update on mine
    for each row execute function validate_ocr_consistency()$$),
('use the hash as a trigger of one''s own', $$
    create temporary table mine (ocr_text text, ocr_text_hash bigint);
    create trigger mine before insert on mine
    for each row execute function hash_inserted_ocr_text()$$),
-- rights
('become an operator', 'set role ocr_operator'),
('become the owner', format('set role %I', session_user)),
('join the operators', 'grant ocr_operator to hostile_worker'),
('give an operator''s function away',
 'grant execute on function set_ocr_setting to hostile_worker'),
('take a function from others', 'drop owned by honest_worker'),
('change a role', 'alter role ocr_worker superuser'),
('create a role', 'create role mine'),
('switch triggers off for the session',
 'set session_replication_role = replica'),
('end another session', format(
    'select pg_terminate_backend(a.pid) from pg_stat_activity as a where a.pid = %s',
    pg_backend_pid()
));

insert into forbidden (login, what, statement) values
-- the other roles have nothing of each other's
('a_producer', 'claim', $$select * from claim_ocr_jobs('p')$$),
('a_producer', 'write a result', $$select update_ocr_safe(
    gen_random_uuid(), 'x', 'x', 1, 1, 1, gen_random_uuid())$$),
('a_producer', 'read documents', 'select * from documents'),
('a_producer', 'insert documents', $$insert into documents (filename) values ('x')$$),
('a_producer', 'insert jobs',
 'insert into ocr_queue (document_id) values (gen_random_uuid())'),
('a_producer', 'pause', $$select pause_ocr_queue('mine')$$),
('a_producer', 'look at the queue', 'select * from ocr_queue_overview'),
('an_operator', 'claim', $$select * from claim_ocr_jobs('o')$$),
('an_operator', 'write a result', $$select update_ocr_safe(
    gen_random_uuid(), 'x', 'x', 1, 1, 1, gen_random_uuid())$$),
('an_operator', 'read lease tokens', 'select ocr_lease_token from documents'),
('an_operator', 'read texts', 'select ocr_text from documents'),
('an_operator', 'read the texts set aside', 'select * from ocr_previous_results'),
('an_operator', 'read the tokens of incidents', 'select live_token from ocr_incidents'),
('an_operator', 'read the tokens offered', 'select offered_token from ocr_incidents'),
('an_operator', 'read the token of the probe',
 'select circuit_probe_token from ocr_queue_state'),
('an_operator', 'change settings past their function',
 'update ocr_settings set default_max_attempts = 4'),
('an_operator', 'delete incidents', 'delete from ocr_incidents'),
('an_operator', 'delete history', 'delete from ocr_job_history'),
('an_operator', 'move a job', 'update ocr_queue set priority = 10'),
('a_monitor', 'claim', $$select * from claim_ocr_jobs('m')$$),
('a_monitor', 'read texts', 'select ocr_text from documents'),
('a_monitor', 'read file names at the source', 'select filename from documents'),
('a_monitor', 'read the history', 'select * from ocr_job_history'),
('a_monitor', 'read incidents at the source', 'select * from ocr_incidents'),
('a_monitor', 'read the token of the probe',
 'select circuit_probe_token from ocr_queue_state'),
('a_monitor', 'change a setting',
 $$select set_ocr_setting('require_lease_token', 'false')$$),
('a_monitor', 'reset', 'select reset_stuck_ocr_jobs()'),
('a_monitor', 'repair', 'select * from repair_database_consistency()'),
('a_monitor', 'pause', $$select pause_ocr_queue('mine')$$),
('a_monitor', 'write through a view',
 $$update ocr_recent_incidents set detail = 'nothing happened'$$),
('a_stranger', 'claim', $$select * from claim_ocr_jobs('s')$$),
('a_stranger', 'read statistics', 'select * from ocr_stats'),
('a_stranger', 'read documents', 'select * from documents');

-- every function that is not a worker's, with as many nulls as it takes; a strict one
-- is not even looked at for a null
insert into forbidden (what, statement)
select
    format('call %s()', p.proname),
    format(
        'select %I(%s)',
        p.proname,
        (
            select string_agg(
                format(
                    '%L::%s',
                    case when p.proisstrict then 'x' end,
                    t.type::regtype
                ),
                ', ' order by t.n
            )
            from unnest(p.proargtypes) with ordinality as t (type, n)
        )
    )
from pg_proc as p
where p.pronamespace = current_schema()::regnamespace
    and p.prorettype <> 'trigger'::regtype
    and not has_function_privilege('hostile_worker', p.oid, 'execute');

-- given: something to be read and changed
select pg_temp.add_document('one.pdf') as document \gset
select pg_temp.claim(:'document', 'honest') as token \gset
create temporary table before as
select
    pg_temp.snapshot() as data,
    pg_temp.rights() as rights;

select plan((select count(*)::integer from forbidden) + 5);

select cmp_ok(
    (select count(*) from forbidden as f where f.what like 'call %'), '>', 40::bigint,
    'the functions that are not a worker''s are found'
);

-- when, then
select is(
    pg_temp.attempt(f.login, f.statement),
    case
        -- refused before anybody asks for rights
        when f.what = 'write through a view' then '55000'
        when f.what = 'copy the documents out' then '0A000'
        else '42501'
    end,
    format('%s cannot %s', f.login, f.what)
)
from forbidden as f;

-- rights without an option to pass them on: PostgreSQL only warns
set local client_min_messages = error;
select pg_temp.attempt(
    'hostile_worker', 'grant execute on function claim_ocr_jobs to public'
);
select pg_temp.attempt(
    'hostile_worker', 'revoke execute on function claim_ocr_jobs from ocr_worker'
);
select is(
    (select b.rights from before as b), pg_temp.rights(),
    'after all of it everybody has the rights that they had'
);
select is(
    (select b.data from before as b), pg_temp.snapshot(), 'and every row is as it was'
);
select is(
    pg_temp.attempt('honest_worker', format(
        $$select update_ocr_safe(%L, 'one.pdf', 'one two', 90, 2, 10, %L)$$,
        :'document', :'token'
    )),
    'true',
    'the work that was in hand is finished'
);
select is(
    (select count(*)::integer from pg_class as c where c.relname = 'mine'), 0,
    'none of it left a table behind'
);

select * from finish();
rollback;
