#!/bin/sh
# Reads one page with tesseract: the image on standard input; on standard output the
# confidence in percent on a line of its own, then the text. The examples take any other
# command that does the same.
set -eu

words=$(tesseract stdin stdout tsv)
printf '%s\n' "$words" | awk -F '\t' '
    $1 == 5 && $12 ~ /[^ ]/ {
        paragraph = $2 "." $3 "." $4
        line = paragraph "." $5
        if (text != "")
            text = text (line == last_line ? " " : \
                paragraph == last_paragraph ? "\n" : "\n\n")
        text = text $12
        weight += length($12)
        confidence += $11 * length($12)
        last_line = line
        last_paragraph = paragraph
    }
    END { printf "%.1f\n%s\n", weight ? confidence / weight : 0, text }
'
