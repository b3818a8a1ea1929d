"""The fault run: documents, workers, losers, faults; then a drain, then the checks."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from psycopg.conninfo import make_conninfo

from ocr_guardrails import Guardrails
from tests.chaos.checks import (
    Check,
    Offers,
    check_database,
    check_server_log,
    read_offers,
)
from tests.chaos.cluster import DATABASE, Cluster, Fleet, errors_in_log, until
from tests.chaos.faults import DRAWN, Faults, make_plan
from tests.chaos.pgbouncer import PgBouncer
from tests.chaos.proxy import Proxy, Rates
from tests.chaos.texts import file_path
from tests.chaos.worker_process import Spec

__all__ = ["Options", "Outcome", "run"]

_MB = 1024 * 1024
_LEASE = 2.0
_WORKERS = 16
_HOUR = 3600.0
#: In the database's own log: a fault that is to fire has to be seen there.
_FIRED = {
    "statement_timeout fired": "57014 canceling statement due to statement timeout",
    "lock_timeout fired": "55P03 canceling statement due to lock timeout",
    "a statement met the full disk": "53100 ",
}


@dataclass(frozen=True, slots=True)
class Options:
    """``root``: the folder of the SQL, None for the package's own."""

    seed: int
    quick: bool = False
    bin_dir: Path | None = None
    root: Path | None = None
    pooled: bool = False

    @property
    def documents(self) -> int:
        return 1000 if self.quick else 10000

    @property
    def seconds(self) -> float:
        """How long the faults go on."""
        return 30.0 if self.quick else 180.0


@dataclass(slots=True)
class Outcome:
    """What happened, and what did not hold."""

    options: Options
    server: str
    seconds: float = 0.0
    faults: dict[str, int] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    offers: Offers = field(default_factory=lambda: Offers([], Counter()))
    documents: dict[str, int] = field(default_factory=dict)
    errors: Counter[str] = field(default_factory=Counter)
    #: Processes that were started, and how those ended that were not killed.
    processes: dict[str, int] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        return not any(check.violations for check in self.checks)


def run(options: Options, say: Callable[[str], None]) -> Outcome:
    """Make a server, let everything happen to it, and look at what is left."""
    began = time.monotonic()
    dice = random.Random(options.seed)
    with contextlib.ExitStack() as stack:
        cluster = stack.enter_context(
            Cluster.running(options.bin_dir, options.root, disk_size=768 * _MB)
        )
        upstream: str | int = cluster.socket
        if options.pooled:
            upstream = stack.enter_context(PgBouncer(cluster.server.dsn())).port
        proxy = stack.enter_context(Proxy(upstream, dice.randrange(2**32)))
        fleet = Fleet(cluster.logs)
        stack.callback(fleet.stop, 1, kill=True)
        faults = Faults(cluster, fleet, proxy, _LEASE)
        outcome = Outcome(options, f"PostgreSQL {cluster.server.version}")
        say(f"{outcome.server}: {options.documents} documents, {_WORKERS} workers")
        dsn = make_conninfo(
            host="127.0.0.1",
            port=proxy.port,
            user="postgres",
            dbname=DATABASE,
            sslmode="disable",
            gssencmode="disable",
            connect_timeout=10,
        )
        _strike(options, cluster, fleet, faults, dsn, dice, say)
        problems = _drain(cluster, fleet, dsn, dice, say)
        outcome.seconds = time.monotonic() - began
        _look(cluster, fleet, faults, outcome, problems)
        return outcome


def _specs(
    options: Options, cluster: Cluster, dsn: str, dice: random.Random
) -> list[Spec]:
    specs = []
    for number in range(_WORKERS):
        is_loser = number % 2 == 1
        specs.append(
            Spec(
                name=f"{'loser' if is_loser else 'worker'}-{number}",
                dsn=dsn,
                log=str(cluster.logs),
                seed=dice.randrange(2**31),
                is_loser=is_loser,
                lease=_LEASE,
                batch_size=2 if is_loser else 1 + number // 2 % 4,
                # Two are an hour late, two an hour early.
                clock_offset={2: -_HOUR, 3: -_HOUR, 4: _HOUR, 5: _HOUR}.get(number, 0),
                # Startup options do not pass a pooler.
                timeouts=not options.pooled and number % 4 < 2,
                pause=0.05,
            )
        )
    return specs


def _strike(
    options: Options,
    cluster: Cluster,
    fleet: Fleet,
    faults: Faults,
    dsn: str,
    dice: random.Random,
    say: Callable[[str], None],
) -> None:
    plan = make_plan(dice.randrange(2**32), options.seconds, quick=options.quick)
    cluster.ingest(range(100))
    fleet.start(_specs(options, cluster, dsn, dice))
    producer = threading.Thread(
        target=_produce, args=(options, cluster, faults), daemon=True
    )
    producer.start()
    faults.proxy.rates = Rates(delay=0.01, cut=0.0005, lost_answer=0.004)
    began = time.monotonic()
    for number, strike in enumerate(plan, 1):
        time.sleep(max(0.0, strike.at - (time.monotonic() - began)))
        faults.strike(strike)
        if number % 50 == 0:
            say(f"{number} of {len(plan)} faults have struck")
    time.sleep(max(0.0, options.seconds - (time.monotonic() - began)))
    faults.join(120)
    producer.join(120)
    faults.proxy.quiet()
    # On a slow machine the losers may be behind; they get the time.
    until(lambda: _are_losers_even(cluster), 60, 1)
    if producer.is_alive():
        raise RuntimeError("the documents could not be added")


def _produce(options: Options, cluster: Cluster, faults: Faults) -> None:
    """Add the documents a few at a time, so that there is work under every fault."""
    step = max(1, options.documents // 100)
    began = time.monotonic()
    for number in range(100, options.documents, step):
        at = number / options.documents * options.seconds * 0.9
        time.sleep(max(0.0, at - (time.monotonic() - began)))
        cluster.ingest(range(number, min(number + step, options.documents)))


def _are_losers_even(cluster: Cluster) -> bool:
    offers = read_offers(cluster.logs)
    return offers.hopeless > offers.honest


def _drain(
    cluster: Cluster,
    fleet: Fleet,
    dsn: str,
    dice: random.Random,
    say: Callable[[str], None],
) -> list[str]:
    """Let healthy workers finish what is left; answers what went wrong with that."""
    say("the faults are over; healthy workers drain the queue")
    problems = []
    if not fleet.stop(30):
        problems.append("a worker did not end within 30 seconds of SIGTERM")
    with cluster.operator() as connection:
        Guardrails(connection).resume_ocr_queue()
        # What is dead stays dead, with its reason, but documents of plain SQL that have
        # no job get one.
        Guardrails(connection).enqueue_pending_documents()
    healthy = Fleet(cluster.logs)
    healthy.start(
        [
            Spec(
                name=f"healthy-{number}",
                dsn=dsn,
                log=str(cluster.logs),
                seed=dice.randrange(2**31),
                lease=10,
                work=0.001,
                batch_size=10,
                drain=True,
            )
            for number in range(4)
        ],
        restart=False,
    )
    if not healthy.join(120):
        problems.append("the queue is not drained after 120 seconds")
    fleet.unexpected += healthy.unexpected
    problems += [f"a healthy worker ended: {end}" for end in healthy.ends]
    return problems


def _look(
    cluster: Cluster,
    fleet: Fleet,
    faults: Faults,
    outcome: Outcome,
    problems: list[str],
) -> None:
    options = outcome.options
    lines = cluster.log_lines()
    outcome.errors = errors_in_log(lines)
    outcome.offers = read_offers(cluster.logs)
    outcome.skipped = dict(faults.skipped)
    outcome.processes = {"started": fleet.starts, "killed": fleet.kills} | dict(
        fleet.ends.most_common(8)
    )
    counts = dict.fromkeys(DRAWN, 0) | dict(faults.counts)
    counts |= {
        "proxy: connections cut": faults.proxy.counts["cut"],
        "proxy: answers to commits lost": faults.proxy.counts["lost answer"],
        "proxy: delays": faults.proxy.counts["delay"],
        "clocks an hour off": 4,
    }
    for name, prefix in _FIRED.items():
        counts[name] = sum(
            n for error, n in outcome.errors.items() if error.startswith(prefix)
        )
    if options.pooled:
        reason = "startup options do not pass a pooler"
        for name in ("statement_timeout fired", "lock_timeout fired"):
            outcome.skipped[name] = reason
    if "fill the disk" in outcome.skipped:
        outcome.skipped["a statement met the full disk"] = "the disk was not filled"
    outcome.faults = {n: c for n, c in counts.items() if n not in outcome.skipped}
    with cluster.operator() as connection:
        outcome.documents = dict(
            connection.execute(
                "select ocr_status, count(*) from documents group by 1 order by 1"
            ).fetchall()
        )
        outcome.documents["deleted"] = options.documents - sum(
            outcome.documents.values()
        )
        outcome.checks = check_database(
            connection,
            outcome.offers,
            [file_path(number) for number in range(options.documents)],
            faults.deleted,
        )
    outcome.checks += check_server_log(lines)
    ended = Check("workers that ended as no worker may, or did not")
    for said in [*fleet.unexpected, *problems]:
        ended.add(said)
    # A run in which nothing happened proves nothing.
    quiet = Check("faults that never struck")
    for name, count in outcome.faults.items():
        if not count:
            quiet.add(name)
    few = Check("too few offers that ought to lose (half of all)")
    offers = outcome.offers
    if offers.hopeless < offers.honest or not all(
        offers.counts[kind] for kind in ("late", "swap", "plain", "honest: written")
    ):
        few.add(dict(offers.counts))
    outcome.checks += [ended, quiet, few]
