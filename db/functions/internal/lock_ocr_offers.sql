-- Everything that offering these results may have to wait for, in the one order that
-- everybody takes (G12): the documents, then, where a foreign text is refused, the
-- texts, so that two writers of the same text see each other (G7).

create or replace function lock_ocr_offers(p_results ocr_result [])
returns void
language plpgsql
volatile
set search_path from current
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set jit = off
as $function$
declare
    v_policy text;
    v_min_words integer;
begin
    perform lock_ocr_documents(
        array(
            select distinct r.document_id
            from unnest(p_results) as r
            where r.document_id is not null
        )
    );

    select s.foreign_text_policy, s.foreign_text_min_words
    into strict v_policy, v_min_words
    from ocr_settings as s
    where s.id;
    if v_policy = 'refuse' then
        perform pg_advisory_xact_lock(h.hash)
        from (
            select distinct hash_ocr_text(r.ocr_text) as hash
            from unnest(p_results) as r
            where is_text_compared(r.ocr_text, r.word_count, v_min_words)
            order by 1
        ) as h;
    end if;
end;
$function$;

comment on function lock_ocr_offers is
'Internal. Locks the documents of the given results and, under the policy refuse, their
texts, until the transaction ends.';
