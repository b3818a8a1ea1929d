-- Locks several documents without being able to deadlock (G12), also against a plain
-- DELETE or UPDATE that visits the same rows in whatever order its plan has: it never
-- waits while it holds some of them. All are taken at once or, where one is busy, none:
-- then the busy one is waited for with empty hands, and all is tried again.
-- The exception blocks are what lets go of row locks: rolling back to a savepoint
-- releases what was locked after it.

create or replace function lock_ocr_documents(
    p_document_ids ocr_id_types.document_ids%type
)
returns void
language plpgsql
volatile
set search_path from current
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set jit = off
as $function$
declare
    v_busy documents.id%type;
begin
    if cardinality(p_document_ids) <= 1 then
        perform from documents as d
        where d.id = any(p_document_ids)
        for no key update;
        return;
    end if;

    loop
        begin
            perform from documents as d
            where d.id = any(p_document_ids)
            order by d.id
            for no key update nowait;
            return;
        exception
            when lock_not_available then
                null;
        end;

        begin
            select b.id into v_busy
            from unnest(p_document_ids) as b (id)
            where not exists (
                select from (
                    select d.id from documents as d
                    where d.id = b.id
                    for no key update skip locked
                ) as f
            )
            and exists (select from documents as d where d.id = b.id)
            limit 1;
            -- looking has locked the free ones that it passed
            raise exception using errcode = 'OG000', message = 'let go';
        exception
            when sqlstate 'OG000' then
                null;
        end;

        begin
            perform from documents as d where d.id = v_busy for no key update;
            raise exception using errcode = 'OG000', message = 'let go';
        exception
            when sqlstate 'OG000' then
                null;
        end;
    end loop;
end;
$function$;

comment on function lock_ocr_documents is
'Internal. Locks the given documents for no key update until the transaction ends; ids
that do not exist are passed over. Waits for whoever holds one of them, but holds none
while it waits (G12). Raises 55P03 at lock_timeout, 40001 at REPEATABLE READ.';
