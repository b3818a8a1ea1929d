-- The objects depend on each other in ways that nobody has written down: each round
-- drops what nothing hangs on any more. What the application hung on them is not ours
-- to drop and stops the rollback.
do $do$
declare
    v_object record;
    v_dropped boolean;
    v_is_locked boolean := false;
    v_message text;
    v_detail text;
begin
    loop
        v_dropped := false;
        for v_object in
            select o.kind, o.identity
            from ocr_schema_objects as o
            -- triggers last: from there on the tables are locked
            order by
                o.kind = 'trigger',
                array_position(array['view', 'materialized view'], o.kind)
        loop
            -- Whoever is in a trigger at this moment holds what goes next: it is waited
            -- for now, once, and not with half of the locks in hand.
            if v_object.kind = 'trigger' and not v_is_locked then
                lock table documents, ocr_queue in access exclusive mode;
                v_is_locked := true;
            end if;
            begin
                execute format(
                    'drop %s if exists %s', v_object.kind, v_object.identity
                );
                delete from ocr_schema_objects as o
                where o.kind = v_object.kind and o.identity = v_object.identity;
                v_dropped := true;
            exception
                when dependent_objects_still_exist then
                    get stacked diagnostics
                        v_message = message_text,
                        v_detail = pg_exception_detail;
            end;
        end loop;
        exit when not exists (select from ocr_schema_objects);
        if not v_dropped then
            raise exception using
                errcode = 'dependent_objects_still_exist',
                message = v_message,
                detail = v_detail,
                hint = 'Drop what depends on it, then roll back again.';
        end if;
    end loop;
    delete from ocr_schema_files;
end
$do$;

drop table ocr_schema_objects;
