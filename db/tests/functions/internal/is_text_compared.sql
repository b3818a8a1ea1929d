begin;
select plan(5);

select is(
    is_text_compared(c.ocr_text, c.word_count, 3), c.expected, c.description
)
from (
    values
    ('one two three', 3, true, 'a text of the least number of words is compared'),
    ('one two', 2, false, 'a shorter one is not'),
    ('one two three', 1, true, 'a count that is too low hides no text (G7)'),
    ('', 0, false, 'an empty text is not compared'),
    (null, null, null, 'nor is none')
) as c (ocr_text, word_count, expected, description);

select * from finish();
rollback;
