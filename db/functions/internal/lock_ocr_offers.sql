-- Everything that offering these results may have to wait for, in the one order that
-- everybody takes (G12): the documents, then, where a foreign text is refused, the
-- texts, so that two writers of the same text see each other (G7).

create or replace function lock_ocr_offers(p_results ocr_result [])
returns void
language plpgsql
volatile
set search_path from current
set enable_seqscan = off
set jit = off
as $function$
begin
    perform lock_ocr_documents(
        array(
            select distinct r.document_id
            from unnest(p_results) as r
            where r.document_id is not null
        )
    );
    perform pg_advisory_xact_lock(h.hash)
    from (
        select distinct hash_ocr_text(r.ocr_text) as hash
        from unnest(p_results) as r
        inner join ocr_settings as s
            on s.id and s.foreign_text_policy = 'refuse'
        where is_text_compared(r.ocr_text, r.word_count, s.foreign_text_min_words)
        order by 1
    ) as h;
end;
$function$;

comment on function lock_ocr_offers is
'Internal. Locks the documents of the given results and, under the policy refuse, their
texts, until the transaction ends.';
