"""The same two ways through pgbench: a client that costs next to nothing.

The texts stand in a table of the server, so that no client has to send them, and become
one of a kind by the document's id before them. Both ways put them together alike.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import psycopg

from bench.harness import Server, Workload
from bench.systems import guarded, handwritten

TEXTS = 200

HANDWRITTEN_ONE = r"""
\set text random(1, 200)
begin;
update ocr_queue
set status = 'processing', attempts = attempts + 1, started_at = now(),
    worker_id = 'pgbench'
where id = (
    select id from ocr_queue
    where status = 'pending'
    order by priority desc, created_at
    limit 1
    for update skip locked
)
returning id as job, document_id as document \gset
update documents set ocr_status = 'processing', updated_at = now()
where id = :document
returning filename as filename \gset
commit;
begin;
update documents
set ocr_text = (
        select :document::text || ' ' || t.body from bench_texts as t where t.n = :text
    ),
    ocr_confidence = 91.5, ocr_word_count = 301, ocr_processing_time_ms = 1200,
    ocr_status = 'completed', ocr_completed_at = now(), updated_at = now()
where id = :document;
delete from ocr_queue where id = :job;
commit;
"""

# What both ways in batches have in common: the texts of the claimed documents.
_TEXTS = """(
    select array_agg(u.id || ' ' || t.body order by u.k)
    from unnest(:documents::uuid[]) with ordinality as u (id, k)
    inner join bench_texts as t on t.n = u.k
)"""

HANDWRITTEN_MANY = rf"""
begin;
with
job as (
    update ocr_queue
    set status = 'processing', attempts = attempts + 1, started_at = now(),
        worker_id = 'pgbench'
    where id = any (array(
        select id from ocr_queue
        where status = 'pending'
        order by priority desc, created_at
        limit :batch
        for update skip locked
    ))
    returning id, document_id
)
select count(*) as claimed, coalesce(array_agg(id), '{{}}') as jobs,
    coalesce(array_agg(document_id), '{{}}') as documents
from job \gset
update documents set ocr_status = 'processing', updated_at = now()
where id = any (:documents::uuid[]);
commit;
\if :claimed > 0
begin;
update documents as d
set ocr_text = r.ocr_text, ocr_confidence = 91.5, ocr_word_count = 301,
    ocr_processing_time_ms = 1200, ocr_status = 'completed',
    ocr_completed_at = now(), updated_at = now()
from unnest(:documents::uuid[], {_TEXTS}) as r (id, ocr_text)
where d.id = r.id;
delete from ocr_queue where id = any (:jobs::uuid[]);
commit;
\endif
"""

GUARDED_ONE = r"""
\set text random(1, 200)
select document_id as document, filename as filename, file_hash as hash,
    lease_token as token
from claim_ocr_jobs('pgbench') \gset
select update_ocr_safe(
    :document, :filename,
    (select :document::text || ' ' || t.body from bench_texts as t where t.n = :text),
    91.5, 301, 1200, :token, :hash, 'bench 1'
) as written \gset
"""

# The claim of both forms of a batch.
_CLAIM_MANY = r"""
select count(*) as claimed, coalesce(array_agg(document_id), '{}') as documents,
    coalesce(array_agg(filename), '{}') as filenames,
    coalesce(array_agg(file_hash), '{}') as hashes,
    coalesce(array_agg(lease_token), '{}') as tokens
from claim_ocr_jobs('pgbench', :batch) \gset
"""

GUARDED_MANY = rf"""{_CLAIM_MANY}
\if :claimed > 0
select count(*) filter (where o.outcome = 'written') as written
from update_ocr_arrays_safe(
    :documents, :filenames, {_TEXTS},
    array_fill(91.5::double precision, array[:claimed::integer]),
    array_fill(301, array[:claimed::integer]),
    array_fill(1200, array[:claimed::integer]),
    :tokens, :hashes, array_fill('bench 1'::text, array[:claimed::integer])
) as o \gset
\endif
"""

# The argument is put together as a text and read by the server, as that of any client:
# json_agg() would charge the server for the client's work. Nothing in it needs
# escaping.
GUARDED_JSON = rf"""{_CLAIM_MANY}
\if :claimed > 0
select count(*) filter (where o.outcome = 'written') as written
from update_ocr_batch_safe((
    select concat('[', string_agg(concat(
        '{{"document_id": "', r.id, '", "expected_filename": "', r.filename,
        '", "lease_token": "', r.token, '", "source_hash": "', r.hash,
        '", "confidence": 91.5, "word_count": 301, "processing_time_ms": 1200,',
        ' "engine": "bench 1", "ocr_text": "', r.id, ' ', t.body, '"}}'
    ), ',' order by r.k), ']')
    from unnest(
        :documents::uuid[], :filenames::text[], :hashes::text[], :tokens::uuid[]
    ) with ordinality as r (id, filename, hash, token, k)
    inner join bench_texts as t on t.n = r.k
)::json) as o \gset
\endif
"""


def add_texts(dsn: str, workload: Workload) -> None:
    """A table of texts that pgbench's scripts choose from, stored as they are."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(
            "create table bench_texts (n integer primary key, body text not null)"
        )
        connection.execute("alter table bench_texts alter body set storage plain")
        with connection.cursor() as cursor:
            cursor.executemany(
                "insert into bench_texts values (%s, %s)",
                [(n, workload.text(n).partition(" ")[2]) for n in range(1, TEXTS + 1)],
            )
        connection.execute("vacuum analyze bench_texts")


def run(dsn: str, program: str | Path, script: str, batch: int, workers: int) -> float:
    """Work off the backlog with pgbench; its own seconds, connecting left out."""
    seconds = 0.0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "script.sql"
        path.write_text(script.replace(":batch", str(batch)))
        # A claim may find less than a batch while others hold what is left.
        for _ in range(20):
            with psycopg.connect(dsn) as connection:
                row = connection.execute("select count(*) from ocr_queue").fetchone()
            left = row[0] if row else 0
            if left == 0:
                return seconds
            clients = max(1, min(workers, left // batch))
            turns = max(1, left // (clients * batch))
            seconds += _pgbench(dsn, program, path, clients, turns)
    raise AssertionError(f"{left} jobs stay, however often pgbench is called")


def _pgbench(
    dsn: str, program: str | Path, script: Path, clients: int, turns: int
) -> float:
    done = subprocess.run(
        [
            str(program),
            "--no-vacuum",
            "--protocol=prepared",
            f"--file={script}",
            f"--client={clients}",
            f"--jobs={min(clients, len(os.sched_getaffinity(0)))}",
            f"--transactions={turns}",
            dsn,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    rate = re.search(r"tps = ([\d.]+) \(without initial", done.stdout)
    count = re.search(r"actually processed: (\d+)", done.stdout)
    if done.returncode != 0 or rate is None or count is None:
        raise RuntimeError(f"pgbench: {done.stderr.strip() or done.stdout}")
    return int(count.group(1)) / float(rate.group(1))


@dataclass
class Pgbench:
    """Through pgbench. ``policy`` None is the hand-written way.

    ``json`` offers a batch as json, which any language can send, and not as arrays.
    """

    batch: int
    policy: str | None = None
    json: bool = False
    program: Path | None = None

    version = ""

    @property
    def kind(self) -> str:
        """What it is compared as."""
        return "baseline" if self.policy is None else "guarded"

    @property
    def name(self) -> str:
        """Its name in every table."""
        parts = [
            "handwritten" if self.policy is None else "guarded",
            "pgbench",
            "one at a time" if self.batch == 1 else f"batches of {self.batch}",
        ]
        if self.policy not in (None, "record"):
            parts.append(f"foreign text {self.policy}")
        if self.json:
            parts.append("as json")
        return ", ".join(parts)

    @property
    def note(self) -> str:
        """How it works, in a sentence."""
        return (
            "pgbench --protocol=prepared; the server puts the arguments together, "
            "from a table of texts."
        )

    def unavailable(self, server: Server) -> str | None:
        """Neither Debian's client package nor a source build lacks it, others may."""
        for program in (server.command("pgbench"), Path("/usr/bin/pgbench")):
            if program.exists():
                self.program = program
                return None
        return "pgbench is not installed"

    def install(self, dsn: str) -> None:
        """The tables or the package, and the texts."""
        if self.policy is None:
            handwritten.install(dsn, None)
        else:
            guarded.install(dsn, self.policy, None)
        add_texts(dsn, Workload())

    def fill(self, dsn: str, documents: int) -> None:
        """Make a backlog."""
        fill = handwritten.fill if self.policy is None else guarded.fill
        fill(dsn, documents)

    def drain(self, dsn: str, workers: int, workload: Workload) -> float:
        """Work it off; the seconds it took."""
        if self.policy is None:
            script = HANDWRITTEN_ONE if self.batch == 1 else HANDWRITTEN_MANY
        else:
            many = GUARDED_JSON if self.json else GUARDED_MANY
            script = GUARDED_ONE if self.batch == 1 else many
        return run(dsn, self.program or "pgbench", script, self.batch, workers)

    def verify(self, dsn: str, documents: int) -> None:
        """Raise unless all of it is done."""
        verify = handwritten.verify if self.policy is None else guarded.verify
        verify(dsn, documents)
