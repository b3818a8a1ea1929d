"""Documents per second through the guarded cycle: claim a batch, offer its results.

Each worker is a process with a connection of its own; the server is a throw-away one on
the same machine, with durable commits. The figures depend on the machine: compare runs
of the same session only.

    python bench/cycle.py --workers 4 --batch 100 --documents 20000
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import time
from pathlib import Path

import psycopg

from ocr_guardrails.embedded import Server
from ocr_guardrails.migrate import migrate

SETTINGS = {"shared_buffers": "512MB", "max_wal_size": "4GB"}
WORDS = 300
CLAIM = (
    "select document_id, filename, file_hash, lease_token"
    " from claim_ocr_jobs(%s, %s::integer)"
)
WRITE = "select outcome from update_ocr_batch_safe(%s::json)"


def fill(dsn: str, documents: int) -> None:
    """As many pending documents, each with its hash and its job."""
    with psycopg.connect(dsn) as connection:
        connection.execute(
            "insert into documents (filename, file_hash, file_size)"
            " select 'scan.pdf', encode(sha256(convert_to(g::text, 'UTF8')), 'hex'), 1"
            " from generate_series(1, %s) as g",
            [documents],
        )
        connection.execute("select enqueue_pending_documents(1000000)")
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("vacuum analyze")


def work(dsn: str, name: str, batch: int, texts: list[str]) -> int:
    """Claim and write until nothing is left; how many were written."""
    written = 0
    with psycopg.connect(dsn, autocommit=True, prepare_threshold=0) as connection:
        while jobs := connection.execute(CLAIM, [name, batch]).fetchall():
            results = [
                {
                    "document_id": str(document),
                    "expected_filename": filename,
                    # no two texts alike, as with real pages
                    "ocr_text": f"{document} {random.choice(texts)}",
                    "confidence": 91.5,
                    "word_count": WORDS + 1,
                    "processing_time_ms": 1200,
                    "lease_token": str(token),
                    "source_hash": file_hash,
                    "engine": "bench 1",
                }
                for document, filename, file_hash, token in jobs
            ]
            answers = connection.execute(WRITE, [json.dumps(results)]).fetchall()
            if any(outcome != "written" for (outcome,) in answers):
                raise AssertionError(f"refused: {answers}")
            written += len(answers)
    return written


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--documents", type=int, default=20_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--bin-dir", type=Path, help="another server's programs")
    options = parser.parse_args()

    random.seed(1)
    syllables = ["".join(random.choices("abdegiklmnoprstu", k=3)) for _ in range(500)]
    texts = [
        " ".join("".join(random.choices(syllables, k=2)) for _ in range(WORDS))
        for _ in range(200)
    ]
    with Server.temporary(options.bin_dir, SETTINGS, fsync=True) as server:
        migrate(server.dsn())
        print(f"PostgreSQL {server.version}, {options.workers} workers, ", end="")
        print(f"batches of {options.batch}, {len(texts[0])} characters of text")
        for run in range(1, options.runs + 1):
            fill(server.dsn(), options.documents)
            with multiprocessing.Pool(options.workers) as pool:
                began = time.perf_counter()
                written = pool.starmap(
                    work,
                    [
                        (server.dsn(), f"worker-{number}", options.batch, texts)
                        for number in range(options.workers)
                    ],
                )
                seconds = time.perf_counter() - began
            if sum(written) != options.documents:
                raise AssertionError(f"{sum(written)} of {options.documents} written")
            print(f"run {run}: {options.documents / seconds:,.0f} documents/s")


if __name__ == "__main__":
    main()
