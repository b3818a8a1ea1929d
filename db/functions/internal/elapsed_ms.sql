-- A clock that was put back must not make a duration negative, which the columns
-- refuse.

create or replace function elapsed_ms(
    p_from timestamptz,
    p_to timestamptz
)
returns integer
language sql
immutable
parallel safe
return case
    -- least() and greatest() pass over nulls
    when p_from is not null and p_to is not null
        then least(
            greatest(extract(epoch from p_to - p_from) * 1000, 0), 2147483647
        )::integer
end;

comment on function elapsed_ms is
'Internal. Milliseconds from one time to another, between 0 and what an integer holds.';
