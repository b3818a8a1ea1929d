-- What remains is the same for every run of the same line of code, and holds nothing of
-- what it was run with. Long statements are cut first; what is open at the cut goes.

create or replace function strip_literals(p_statement text)
returns text
language sql
immutable
strict
parallel safe
return left(
    btrim(
        regexp_replace(
            regexp_replace(
                regexp_replace(
                    regexp_replace(
                        left(p_statement, 10000),
                        -- a text, also an open one, and one with escapes
                        $re$\m[eE]'(\\.|''|[^'\\])*('|$)|'(''|[^'])*('|$)$re$,
                        '?', 'g'
                    ),
                    $re$(\$[a-zA-Z_0-9]*?\$).*?(\1|$)$re$, '?', 'g'
                ),
                $re$(?<![\w$])-?\d+(\.\d+)?([eE][-+]?\d+)?\M$re$, '?', 'g'
            ),
            '\s+', ' ', 'g'
        )
    ),
    500
);

comment on function strip_literals is
'Internal. The first 500 characters of a statement, without its literals and on one
line.';
