-- The length by itself: a bounded repetition makes the regular expression several times
-- as expensive. The CHECKs of the tables say the same, since they are there before the
-- functions.

create or replace function are_sha256_digits(p_hash text)
returns boolean
language sql
immutable
parallel safe
return octet_length(p_hash) = 64 and p_hash ~ '^[0-9a-f]+$';

comment on function are_sha256_digits is
'Internal. Whether a text is a SHA-256 in 64 lower-case hexadecimal digits; null for
null.';
