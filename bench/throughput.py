"""Documents per second through claim, result and completion, side by side."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path

import click

from bench import harness
from bench.systems import (
    awa,
    graphile_worker,
    pg_boss,
    pgmq,
    pgq,
    pgqueuer,
    procrastinate,
)
from bench.systems.guarded import Guarded
from bench.systems.handwritten import Handwritten
from bench.systems.pgbench import Pgbench

#: Documents of a run at scale 1, by how many a claim takes. The faster a way is, the
#: more it gets, so that each run takes about as long, and enough that the first
#: planning of a session's statements, 25 to 40 ms, is a small part of it.
BACKLOG = {1: 3200, 10: 6400, 100: 16000}
#: The same for a peer, most of which store one result at a time.
PEER_BACKLOG = 2400
PEER_BACKLOGS = {"procrastinate": 800}


def own_systems(*, quick: bool, lz4: bool) -> list[harness.System]:
    """The hand-written ways and ours, each beside the one that it is compared with."""
    systems: list[harness.System] = [
        Handwritten(1),
        Handwritten(None),
        Handwritten(1, fewest_indexes=True),
        Guarded(1),
        Handwritten(100),
        Handwritten(100, fewest_indexes=True),
        Guarded(100),
        Pgbench(1),
        Pgbench(1, "record"),
        Pgbench(100),
        Pgbench(100, "record"),
    ]
    if quick:
        return systems
    systems += [
        Handwritten(10),
        Guarded(10),
        Pgbench(10),
        Pgbench(10, "record"),
        Guarded(1, "off"),
        Guarded(100, "off"),
        Guarded(100, "refuse"),
        Pgbench(100, "off"),
        Pgbench(100, "record", json=True),
    ]
    if lz4:
        systems += [Handwritten(100, "pglz"), Guarded(100, compression="pglz")]
    return systems


def peers(*, quick: bool) -> list[harness.System]:
    """What one would install instead, each in its documented fast configuration."""
    systems: list[harness.System] = [
        pgmq.Pgmq(),
        pgq.PgQ(),
        awa.Awa(),
        graphile_worker.GraphileWorker(),
        pg_boss.PgBoss(),
        pgqueuer.PgQueuer(),
        procrastinate.Procrastinate(),
    ]
    if not quick:
        systems += [pgmq.Pgmq(1), pg_boss.PgBoss(together=False)]
    return systems


def backlog(system: harness.System, scale: float) -> int:
    """How many documents a run of this system has; a multiple of 800.

    So that one, four and eight workers can share them evenly in batches of 100.
    """
    if system.kind == "peer":
        documents = PEER_BACKLOGS.get(system.name, PEER_BACKLOG)
        documents = BACKLOG.get(getattr(system, "batch", 0), documents)
    else:
        documents = BACKLOG[getattr(system, "batch", 1) or 1]
    return max(1, round(documents * scale / 800)) * 800


@click.command()
@harness.common_options
@click.option(
    "--workers", type=int, multiple=True, help="Default: 1, 4 and 8; quick: 4."
)
@click.option("--rounds", type=int, help="Default: 5; quick: 2.")
@click.option("--scale", type=float, help="Of the backlogs; default: 2, quick: 0.5.")
@click.option("--documents", type=int, help="The backlog of every system instead.")
@click.option(
    "--only", multiple=True, metavar="TEXT", help="Systems whose name begins so."
)
def command(
    quick: bool,
    output: Path | None,
    bin_dir: Path | None,
    workers: tuple[int, ...],
    rounds: int | None,
    scale: float | None,
    documents: int | None,
    only: tuple[str, ...],
) -> None:
    """Work off backlogs: claim, store a text of 2.1 KB, finish the job."""
    workers = workers or ((4,) if quick else (1, 4, 8))
    rounds = rounds or (2 if quick else 5)
    scale = scale or (0.5 if quick else 2.0)
    began = time.monotonic()
    with harness.running_server(bin_dir) as server:
        environment = harness.environment(server)
        lz4 = bool(environment["server"]["lz4"])
        systems = own_systems(quick=quick, lz4=lz4) + peers(quick=quick)
        if only:
            systems = [system for system in systems if system.name.startswith(only)]
        results = []
        with harness.Installed(server, systems, say=harness.say) as installed:
            for count in workers:
                measured = installed.rounds(
                    rounds,
                    count,
                    lambda system: documents or backlog(system, scale),
                )
                results.append(
                    {
                        "workers": count,
                        "systems": [asdict(system) for system in measured],
                    }
                )
    harness.say(f"{time.monotonic() - began:.0f} seconds")
    harness.write_json(
        output,
        harness.result(
            "throughput",
            {
                "quick": quick,
                "workers": list(workers),
                "rounds": rounds,
                "scale": scale,
                "documents": documents,
                "words": harness.Workload().words,
            },
            environment,
            results,
        ),
    )
