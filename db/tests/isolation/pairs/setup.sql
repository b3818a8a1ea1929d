-- What the generated specs of this folder share; loaded once into the database of each.
-- There is one document, doc(). The worker late claimed it first, so that late() is its
-- lease or one that has ended, by the state that a permutation is given.

-- a retry is not due before the permutation ends, whatever random() says
update ocr_settings set backoff_base = '1 day', backoff_cap = '30 days';

create table leases (worker text, document_id uuid, token uuid);

create function doc() returns uuid
language sql immutable
return lpad('1', 32, '0')::uuid;

create function late() returns uuid
language sql stable
return coalesce(
    (select l.token from leases as l where l.worker = 'late'),
    repeat('f', 32)::uuid
);

-- a claim whose lease is remembered; rolled back with it
create function claim(p_worker text) returns bigint
language sql volatile
as $function$
    with claimed as (
        insert into leases
        select p_worker, c.document_id, c.lease_token
        from claim_ocr_jobs(p_worker) as c
        returning document_id
    )
    select count(*) from claimed;
$function$;

create function result(p_text text, p_token uuid) returns json
language sql stable
return json_build_array(
    json_build_object(
        'document_id', doc(), 'expected_filename', '1.pdf', 'ocr_text', p_text,
        'confidence', 90, 'word_count', 3, 'processing_time_ms', 10,
        'lease_token', p_token
    )
);

create function files() returns json
language sql stable
return json_build_array(
    json_build_object(
        'filename', '1.pdf', 'file_hash', repeat('1', 64), 'file_size', 10
    )
);

-- The state of the one document: new (no job yet), pending (the attempt of late was
-- reset), processing (late holds it and has been silent for an hour), expired (and its
-- lease has run out, and a sweep is due), taken (the attempt of late was reset, the
-- worker new holds it), completed (by late), failed (dead), aside (completed by late,
-- and requeued).
create procedure given(p_state text)
language plpgsql
as $procedure$
begin
    perform setval(
        'ocr_expiry_sweep_clock',
        (extract(epoch from clock_timestamp() + interval '30 minutes') * 1000)::bigint
    );
    insert into documents (id, filename, file_hash, updated_at)
    values (doc(), '1.pdf', repeat('1', 64), now() - interval '2 hours');
    if p_state = 'new' then
        return;
    end if;
    perform enqueue_ocr_job(doc());
    perform claim('late');
    if p_state in ('completed', 'aside') then
        perform update_ocr_safe(doc(), '1.pdf', 'late at first', 90, 3, 10, late());
    elsif p_state = 'failed' then
        perform fail_ocr_job(doc(), late(), 'torn page', 'permanent');
    else
        update ocr_queue
        set
            started_at = now() - interval '1 hour',
            heartbeat_at = now() - interval '1 hour';
    end if;
    if p_state in ('pending', 'taken') then
        perform reset_stuck_ocr_jobs(30);
    end if;
    if p_state = 'aside' then
        perform requeue_document(doc(), 'read again');
    elsif p_state = 'taken' then
        perform claim('new');
        update ocr_queue
        set
            started_at = now() - interval '1 hour',
            heartbeat_at = now() - interval '1 hour';
    elsif p_state = 'expired' then
        update ocr_queue set lease_expires_at = now() - interval '1 second';
        perform setval('ocr_expiry_sweep_clock', 1);
    end if;
end
$procedure$;

-- One row for each thing that must never be. A lease is of leases, which every claim
-- of these specs writes.
create view violation as
select 'two live jobs' as violation
from ocr_queue as q
where q.status in ('pending', 'processing')
group by q.document_id
having count(*) > 1
union all
select 'a job without a document'
from ocr_queue as q
where not exists (select from documents as d where d.id = q.document_id)
union all
select 'processing, but not document, job and lease together'
from documents as d
left join ocr_queue as q
    on q.document_id = d.id and q.status = 'processing'
left join leases as l
    on l.document_id = d.id and l.token = d.ocr_lease_token and l.worker = q.worker_id
where
    (d.ocr_status = 'processing') <> (q.id is not null)
    or (d.ocr_status = 'processing') <> (d.ocr_lease_token is not null)
    or (d.ocr_status = 'processing' and l.token is null)
union all
select 'completed without a text, or a text without being completed'
from documents as d
where (d.ocr_status = 'completed') <> (d.ocr_text is not null)
union all
select 'a live job of a completed or failed document'
from documents as d
inner join ocr_queue as q
    on q.document_id = d.id and q.status in ('pending', 'processing')
where d.ocr_status in ('completed', 'failed')
union all
select 'no job, but neither completed, failed, nor new'
from documents as d
where
    d.ocr_status in ('pending', 'processing')
    and not exists (
        select from ocr_queue as q
        where q.document_id = d.id and q.status in ('pending', 'processing')
    )
    and exists (
        select from ocr_job_history as h
        where h.document_id = d.id
    )
union all
select 'a text that was not written under a lease of whoever offered it'
from documents as d
where
    d.ocr_status = 'completed'
    and not exists (
        select from leases as l
        inner join ocr_job_history as h
            on h.lease_token = l.token and h.outcome = 'written'
        where
            l.token = d.ocr_result_token
            and l.document_id = d.id
            and starts_with(d.ocr_text, l.worker || ' ')
    )
union all
-- deleting a document ends its lease without a history row
select format('%s leases ended or live at once: %s', count(*), l.worker)
from leases as l
inner join documents as d on d.id = l.document_id
left join lateral (
    select h.lease_token
    from ocr_job_history as h
    where h.lease_token = l.token
    union all
    select d.ocr_lease_token
    where d.ocr_lease_token = l.token
) as e on true
group by l.worker, l.token
having count(e.lease_token) <> 1
union all
select 'an attempt that ended twice'
from ocr_job_history as h
where h.lease_token is not null
group by h.lease_token
having count(*) > 1
union all
select 'an attempt that nobody made'
from ocr_job_history as h
where not exists (select from leases as l where l.token = h.lease_token)
and (h.outcome <> 'cancelled' or h.worker_id is not null);

-- Everything that a call can change, in one row; the times only as far as they are
-- decided.
create view state as
select
    coalesce(
        (
            select
                d.ocr_status
                || case when d.mime_type is not null then ', touched' else '' end
                || case
                    when d.file_hash <> repeat('1', 64) then ', replaced' else ''
                end
            from documents as d
            where d.id = doc()
        ),
        'deleted'
    )
    || case
        when (select count(*) from documents as d where d.id <> doc()) > 0
            then ', another ingested'
        else ''
    end as document,
    (
        select d.ocr_text from documents as d
        where d.id = doc()
    ) as text,
    (
        select
            string_agg(
                concat_ws(
                    ' ', q.status, q.worker_id, q.attempts,
                    case when q.priority <> 5 then 'first' end,
                    case when q.heartbeat_at > now() - interval '10 minutes'
                        then 'alive'
                    end,
                    case when q.lease_expires_at < now() then 'expired' end,
                    case when q.run_after > now() + interval '1 second'
                        then 'later'
                    end,
                    q.progress_current::text || '/' || q.progress_total
                ),
                ', ' order by q.created_at, q.id
            )
        from ocr_queue as q
        where q.document_id = doc()
    ) as job,
    (
        select
            string_agg(
                concat_ws(' ', h.outcome, h.worker_id), ', ' order by h.finished_at
            )
        from ocr_job_history as h
    ) as history,
    (
        select string_agg(i.reason, ', ' order by i.id) from ocr_incidents as i
    ) as incidents,
    concat_ws(
        ', ',
        (
            select count(*) || ' set aside' from ocr_previous_results
            having count(*) > 0
        ),
        (select 'checked' from ocr_file_checks)
    ) as kept,
    (select string_agg(v.violation, ', ') from violation as v) as violations;

-- planned once, not at every look
create function look() returns setof state
language plpgsql stable
as $function$
begin
    return query
    select s.* from state as s;
end
$function$;
