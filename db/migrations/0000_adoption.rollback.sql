do $do$
declare
    v_step record;
begin
    for v_step in
        select a.undo
        from ocr_adoption as a
        where a.undo is not null
        order by a.id desc
    loop
        execute v_step.undo;
    end loop;
end
$do$;

drop table ocr_adoption;
