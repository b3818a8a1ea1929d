#!/usr/bin/env bash
# An OCR worker: claims jobs, reads their files, offers the results. All it needs is bash
# and psql 15 or newer.
#
#   worker.sh [COMMAND [ARGUMENT…]]
#
# COMMAND reads a page as ../tesseract.sh does. The database is that of DATABASE_URL, or
# of PGHOST and the other PG* variables. SIGTERM gives back what is not finished.
set -euo pipefail

batch=4
lease_seconds=${LEASE_SECONDS:-600}
poll_seconds=${POLL_SECONDS:-5}
# Nothing extends a lease while a page is read, so that the reading has to end before.
page_seconds=$((lease_seconds / 2))

[ "$#" -gt 0 ] || set -- "$(dirname "$0")/../tesseract.sh"
command=("$@")
worker="psql-$(hostname)-$$"
export PGAPPNAME=$worker # so that an incident says who made the offer
export PGCLIENTENCODING=UTF8

work=$(mktemp -d)
export TEXT_FILE=$work/text
trap 'rm -rf "$work"' EXIT

stopping=no
child=
stop() {
    stopping=yes
    [ -z "$child" ] || kill "$child" 2>/dev/null || true
}
trap stop TERM INT

# call SQL [NAME=VALUE…]: runs SQL, in which :'NAME' stands for the value as a literal;
# the answer's fields are in $work/answer, each ended by a NUL, errors in $work/errors.
#
# When the connection is lost psql ends with 2, and the same call is made again. It may
# have been lost after the COMMIT. Repeating is safe: under the same lease token a result
# that stands already is answered with true, and every other call changes nothing a
# second time. What a repeated claim does not know of goes back to the queue when its
# lease expires.
call() {
    local sql=$1 pair code variables=()
    shift
    for pair in "$@"; do variables+=(-v "$pair"); done
    while :; do
        code=0
        psql -X -q -A -t -0 -z -v ON_ERROR_STOP=1 ${variables[@]+"${variables[@]}"} \
            ${DATABASE_URL:+"$DATABASE_URL"} <<<"$sql" \
            >"$work/answer" 2>"$work/errors" || code=$?
        [ "$code" -ne 0 ] || return 0
        cat "$work/errors" >&2
        [ "$code" -eq 2 ] && [ "$stopping" = no ] || return "$code"
        sleep "0.$((RANDOM % 10))"
    done
}

answer() { tr '\0' '\n' <"$work/answer"; }

# fail ID TOKEN FILENAME ERROR [CLASS]. A lease that is not ours any more is answered
# with stale_lease, and nothing happens.
fail() {
    call "select fail_ocr_job(:'id', :'token', :'error', :'class');" \
        id="$1" token="$2" error="${4:-unknown}" class="${5:-document}"
    printf '%s: %s: %s\n' "$3" "$(answer)" "$4"
}

release() {
    call "select release_ocr_job(:'id', :'token');" id="$1" token="$2"
    printf '%s: released\n' "$3"
}

# What a program had to say, as far as every message may hold it.
said() { LC_ALL=C tr -cd '\11\12\40-\176' <"$work/errors" | tail -c 1000; }

# read_page ID TOKEN FILENAME PATH: one claimed job, whose lease has just been extended.
read_page() {
    local id=$1 token=$2 filename=$3 path=$4 hash started milliseconds confidence words
    local code=0
    # The bytes that are hashed are those that are read, whatever becomes of the file.
    if ! cat <"$path" >"$work/page" 2>"$work/errors"; then
        fail "$id" "$token" "$filename" "$path cannot be read"
        return
    fi
    hash=$(sha256sum <"$work/page")
    started=$(date +%s%3N)
    timeout "$page_seconds" "${command[@]}" \
        <"$work/page" >"$work/output" 2>"$work/errors" &
    child=$!
    wait "$child" || code=$?
    # A signal ends the waiting, but not at once what is waited for.
    while kill -0 "$child" 2>/dev/null; do wait "$child" && code=0 || code=$?; done
    child=
    milliseconds=$(($(date +%s%3N) - started))
    if [ "$code" -ne 0 ]; then
        if [ "$stopping" = yes ]; then
            release "$id" "$token" "$filename"
        elif [ "$code" -eq 126 ] || [ "$code" -eq 127 ]; then
            fail "$id" "$token" "$filename" "$(said)" infrastructure
        else
            fail "$id" "$token" "$filename" "exit code $code: $(said)"
        fi
        return
    fi
    confidence=$(head -n 1 "$work/output")
    tail -n +2 "$work/output" >"$TEXT_FILE"
    words=$(awk '{ words += NF } END { print words + 0 }' "$TEXT_FILE")
    # The text comes from a file, since an argument would be too short for it. Backquotes
    # take one line break off its end; the literal is quoted by psql, whatever it holds.
    if ! call "
            \\getenv text_file TEXT_FILE
            \\set text \`cat :'text_file'\`
            select update_ocr_safe(
                :'id', :'filename', :'text', :'confidence', :'words', :'milliseconds',
                :'token', :'hash', :'engine'
            );" \
        id="$id" filename="$filename" confidence="$confidence" words="$words" \
        milliseconds="$milliseconds" token="$token" hash="${hash%% *}" \
        engine="$(basename "${command[0]}")"; then
        fail "$id" "$token" "$filename" "$(said)"
    elif [ "$(answer)" = t ]; then
        printf '%s: written\n' "$filename"
    else
        fail "$id" "$token" "$filename" 'refused: ocr_incidents says why'
    fi
}

# psql hears of a notification only after a statement, so this worker polls.
while [ "$stopping" = no ]; do
    if ! call "select document_id, lease_token, filename, file_path
            from claim_ocr_jobs(:'worker', :'batch', :'lease');" \
        worker="$worker" batch="$batch" lease="$lease_seconds seconds"; then
        [ "$stopping" = no ] || break
        exit 1
    fi
    mapfile -d '' -t jobs <"$work/answer"
    if [ "${#jobs[@]}" -eq 0 ]; then
        sleep "$poll_seconds" &
        child=$!
        wait "$child" || true
        child=
    fi
    for ((n = 0; n < ${#jobs[@]}; n += 4)); do
        if [ "$stopping" = yes ]; then
            release "${jobs[@]:n:3}"
            continue
        fi
        # The leases of all that is left, so that none expires before its turn. A
        # document that is missing from the answer is not ours any more.
        ids= tokens=
        for ((m = n; m < ${#jobs[@]}; m += 4)); do
            ids+=,${jobs[m]} tokens+=,${jobs[m + 1]}
        done
        call "select document_id
                from extend_ocr_leases(:'ids', :'tokens', :'lease');" \
            ids="{${ids#,}}" tokens="{${tokens#,}}" lease="$lease_seconds seconds"
        if answer | grep -qxF -- "${jobs[n]}"; then
            read_page "${jobs[@]:n:4}"
        else
            printf '%s: the lease was lost\n' "${jobs[n + 2]}"
        fi
    done
done
