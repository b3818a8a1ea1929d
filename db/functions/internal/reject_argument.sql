-- One shape for every refusal of an argument, so that callers read the same sentence
-- everywhere: which argument, what is accepted, what it was.

create or replace function reject_argument(
    p_argument text,
    p_expected text,
    p_value text
)
returns void
language plpgsql
volatile
set search_path from current
as $function$
begin
    raise exception using
        errcode = 'invalid_parameter_value',
        message = format(
            '%s must be %s, not %s',
            p_argument,
            p_expected,
            coalesce(left(p_value, 200), 'null')
        ),
        hint = 'Nothing was changed. Correct the argument and call again.';
end;
$function$;

comment on function reject_argument is
'Internal. Raises 22023 with the argument''s name, the accepted range and the value.';
