-- Read only while the marks are in use.

create or replace function read_claim_marks()
returns timestamptz []
language plpgsql
stable
set search_path from current
as $function$
begin
    return array(
        select coalesce(to_timestamp(u.mark / 1e6), '-infinity')
        from unnest(array[
            (select nullif(m.last_value, 0) from ocr_claim_mark_0 as m),
            (select nullif(m.last_value, 0) from ocr_claim_mark_1 as m),
            (select nullif(m.last_value, 0) from ocr_claim_mark_2 as m),
            (select nullif(m.last_value, 0) from ocr_claim_mark_3 as m),
            (select nullif(m.last_value, 0) from ocr_claim_mark_4 as m),
            (select nullif(m.last_value, 0) from ocr_claim_mark_5 as m),
            (select nullif(m.last_value, 0) from ocr_claim_mark_6 as m),
            (select nullif(m.last_value, 0) from ocr_claim_mark_7 as m),
            (select nullif(m.last_value, 0) from ocr_claim_mark_8 as m),
            (select nullif(m.last_value, 0) from ocr_claim_mark_9 as m),
            (select nullif(m.last_value, 0) from ocr_claim_mark_10 as m)
        ]) with ordinality as u (mark, n)
        order by u.n
    );
end;
$function$;

comment on function read_claim_marks is
'Internal. For each priority from 0 to 10 the time before which no pending job was due
when a claim last looked; -infinity where none was looked for.';
