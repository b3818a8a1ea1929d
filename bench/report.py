"""From the results to docs/benchmarks.md and its charts; it measures nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from bench import harness

DOCUMENT = harness.ROOT / "docs" / "benchmarks.md"
#: In this order; what has no result file has no section.
SECTIONS = {
    "throughput": "Throughput",
    "latency": "From enqueue to start",
    "growth": "Growth",
    "churn": "Under a transaction held open",
    "worker": "The reference worker",
    "guards": "What each guard costs",
}
SINGLE, BATCH = "one at a time", "batches of 100"
OURS = "guarded, batches of 100"
FEWEST = ", fewest indexes"
#: The worker count that charts show.
CHARTED = 4

Json = dict[str, Any]


# --- reading ------------------------------------------------------------------------


def load(folder: Path) -> dict[str, Json]:
    """The results in a folder by file name, as in ``throughput-wheel``."""
    order = list(SECTIONS)

    def rank(path: Path) -> tuple[int, str]:
        command = path.stem.partition("-")[0]
        return (order.index(command) if command in order else len(order), path.stem)

    return {
        path.stem: json.loads(path.read_text("utf-8"))
        for path in sorted(folder.glob("*.json"), key=rank)
    }


def baseline_of(name: str) -> str | None:
    """The hand-written way that does the same through the same client."""
    if name.endswith(FEWEST):
        return name.removesuffix(FEWEST)
    if name == "handwritten, one CTE per step":
        return f"handwritten, {SINGLE}"
    if not name.startswith("guarded"):
        return None
    name = re.sub(r", (foreign text \w+|as json)", "", name)
    return name.replace("guarded", "handwritten", 1)


def _rate(sample: Mapping[str, Any]) -> float:
    return float(sample["documents"] / sample["seconds"])


def _wal(sample: Mapping[str, Any]) -> float:
    return float(sample["wal_bytes"] / sample["documents"])


def _page_images(sample: Mapping[str, Any]) -> float:
    return float((sample["wal_fpi_bytes"] or 0) / sample["documents"])


def _cpu(sample: Mapping[str, Any]) -> float:
    return float(1e6 * sample["cpu_seconds"] / sample["documents"])


@dataclass(frozen=True)
class Workers:
    """What was measured with one number of workers."""

    workers: int
    systems: dict[str, Json]

    def samples(self, name: str) -> list[Json]:
        """The samples of a system; none if it did not run."""
        samples: list[Json] = self.systems.get(name, {}).get("samples", [])
        return samples

    def ran(self) -> list[Json]:
        """The systems with samples, in the order of the rounds."""
        return [system for system in self.systems.values() if system["samples"]]

    def ratio(
        self, ours: str, theirs: str | None, value: Any = _rate
    ) -> harness.Figure | None:
        """Ours by theirs, round by round; None unless both ran."""
        if theirs is None:
            return None
        pairs = harness.ratios(self.samples(ours), self.samples(theirs), value)
        return harness.figure(pairs)

    def fastest_peer(self) -> str | None:
        """The peer with the greatest median."""
        peers = [system for system in self.ran() if system["kind"] == "peer"]
        if not peers:
            return None
        best = max(peers, key=lambda peer: _median(map(_rate, peer["samples"])))
        return str(best["name"])


def _median(values: Iterable[float]) -> float:
    figure = harness.figure(values)
    assert figure is not None
    return figure.median


def throughput_of(result: Json) -> list[Workers]:
    """The measurements of ``bench throughput``, by number of workers."""
    return [
        Workers(
            entry["workers"], {system["name"]: system for system in entry["systems"]}
        )
        for entry in result["results"]
    ]


# --- targets ------------------------------------------------------------------------


@dataclass(frozen=True)
class Target:
    """What the project holds itself to, and what came out."""

    what: str
    limit: str
    measured: str
    met: bool


def _target(
    what: str, figures: Mapping[int, harness.Figure | None], sign: str, limit: float
) -> Target | None:
    """A target that is to hold with every number of workers."""
    found = {workers: figure for workers, figure in figures.items() if figure}
    if not found:
        return None

    def holds(figure: harness.Figure) -> bool:
        # Judged by what is printed: 0.899 is 0.90 to the reader.
        median = round(figure.median, 2)
        return median >= limit if sign == "≥" else median <= limit

    parts = [
        f"{figure.median:.2f}" if holds(figure) else f"**{figure.median:.2f}**"
        for figure in found.values()
    ]
    counts = ", ".join(map(str, found))
    return Target(
        f"{what} ({counts} worker{'s' if list(found) != [1] else ''})",
        f"{sign} {limit:g}",
        " / ".join(parts),
        all(holds(figure) for figure in found.values()),
    )


def throughput_targets(result: Json) -> Iterator[Target]:
    """The targets of throughput and of WAL, computed from the samples."""
    counts = throughput_of(result)
    server = f"PostgreSQL {result['environment']['server']['version'].split()[0]}"

    def over(ours: str, theirs: str, value: Any = _rate) -> dict[int, Any]:
        return {count.workers: count.ratio(ours, theirs, value) for count in counts}

    found: list[Target | None] = []
    for client in ("", "pgbench, "):
        through = "pgbench" if client else "psycopg"
        for how, limit in ((SINGLE, 1.3), (BATCH, 0.9)):
            ours, theirs = f"guarded, {client}{how}", f"handwritten, {client}{how}"
            found.append(
                _target(
                    f"{server}, {through}, {how}: documents/s by hand-written",
                    over(ours, theirs),
                    "≥",
                    limit,
                )
            )
    found.append(
        _target(
            f"{server}, {BATCH}: documents/s by the fastest peer",
            {
                count.workers: count.ratio(OURS, count.fastest_peer())
                for count in counts
            },
            "≥",
            1.1,
        )
    )
    for how in (SINGLE, BATCH):
        found.append(
            _target(
                f"{server}, {how}: WAL per document by hand-written",
                over(f"guarded, {how}", f"handwritten, {how}", _wal),
                "≤",
                1.4,
            )
        )
    return (target for target in found if target is not None)


def _milliseconds(share: str) -> Any:
    return lambda sample: float(sample[f"{share}_ms"])


def _best_peer(systems: Mapping[str, Json], share: str) -> str | None:
    peers = [s for s in systems.values() if s["kind"] == "peer" and s["samples"]]
    value = _milliseconds(share)
    best = min(peers, key=lambda s: _median(map(value, s["samples"])), default=None)
    return None if best is None else str(best["name"])


def latency_targets(result: Json) -> Iterator[Target]:
    """No worse than the best peer, for p50 and for p99."""
    options = result["options"]
    systems = {system["name"]: system for system in result["results"]}
    count = Workers(options["workers"], systems)
    for ours in (s for s in count.ran() if s["kind"] == "guarded"):
        for share in ("p50", "p99"):
            peer = _best_peer(systems, share)
            target = _target(
                f"enqueue to start at {options['rate']} jobs/s, {share}: "
                f"{ours['name']} by {peer}, the best peer",
                {count.workers: count.ratio(ours["name"], peer, _milliseconds(share))},
                "≤",
                1.0,
            )
            if target is not None:
                yield target


def sensitivity(results: Mapping[str, Json]) -> list[Sequence[Any]]:
    """Ours by the hand-written way, once with its own and once with fewest indexes."""
    rows: list[Sequence[Any]] = []
    for result in results.values():
        if result["command"] != "throughput":
            continue
        for count in throughput_of(result):
            for how in (SINGLE, BATCH):
                ours, theirs = f"guarded, {how}", f"handwritten, {how}"
                if count.ratio(ours, theirs + FEWEST) is None:
                    continue
                rows.append(
                    (
                        f"{_server(result)}, {how}, workers: {count.workers}",
                        *(
                            _ratio(count.ratio(ours, other, value))
                            for value in (_rate, _wal)
                            for other in (theirs, theirs + FEWEST)
                        ),
                    )
                )
    return rows


def targets(results: Mapping[str, Json]) -> list[Target]:
    """All targets: of throughput and latency from their samples, others as given."""
    found: list[Target] = []
    for result in results.values():
        if result["command"] == "throughput":
            found += throughput_targets(result)
            continue
        if result["command"] == "latency":
            found += latency_targets(result)
            continue
        found += [
            Target(row["what"], row["limit"], str(row["measured"]), bool(row["met"]))
            for row in result["results"].get("targets", [])
        ]
    return found


# --- writing ------------------------------------------------------------------------


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        if abs(value) >= 1000:
            return f"{value:,.0f}"
        return f"{value:#.3g}".removesuffix(".")
    return str(value).replace("|", "\\|")


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table in Markdown; the first column to the left, the others to the right."""
    lines = [
        "| " + " | ".join(columns) + " |",
        "|" + "|".join(["---", *["---:"] * (len(columns) - 1)]) + "|",
    ]
    lines += ["| " + " | ".join(map(_cell, row)) + " |" for row in rows]
    return "\n".join(lines)


def _range(figure: harness.Figure | None, form: str) -> str | None:
    if figure is None:
        return None
    return f"{format(figure.least, form)}–{format(figure.greatest, form)}"


def _ratio(figure: harness.Figure | None) -> str | None:
    if figure is None:
        return None
    return f"{figure.median:.2f} ({figure.least:.2f}–{figure.greatest:.2f})"


def _figures(samples: Sequence[Json]) -> tuple[str, str | None, str, str, str]:
    rate = harness.figure(map(_rate, samples))
    assert rate is not None
    has_images = any(sample["wal_fpi_bytes"] is not None for sample in samples)
    return (
        f"{rate.median:,.0f}",
        _range(rate, ",.0f"),
        f"{_median(map(_wal, samples)):,.0f}",
        f"{_median(map(_page_images, samples)):,.0f}" if has_images else "–",
        f"{_median(map(_cpu, samples)):,.0f}",
    )


def _throughput_tables(count: Workers) -> Iterator[str]:
    own, others = [], []
    for system in count.ran():
        name = system["name"]
        rate, span, wal, images, cpu = _figures(system["samples"])
        if system["kind"] == "peer":
            others.append(
                (
                    name,
                    rate,
                    span,
                    _ratio(count.ratio(f"guarded, {SINGLE}", name)),
                    _ratio(count.ratio(OURS, name)),
                    wal,
                    images,
                    cpu,
                )
            )
            continue
        against = baseline_of(name)
        own.append(
            (
                f"**{name}**" if system["kind"] == "guarded" else name,
                rate,
                span,
                _ratio(count.ratio(name, against)),
                wal,
                _ratio(count.ratio(name, against, _wal)),
                images,
                cpu,
            )
        )
    yield table(
        (
            "",
            "documents/s",
            "min–max",
            "by hand-written",
            "WAL bytes",
            "by hand-written",
            "of these page images",
            "server CPU µs",
        ),
        own,
    )
    if others:
        yield table(
            (
                "peer",
                "documents/s",
                "min–max",
                f"guarded, {SINGLE}, by it",
                f"{OURS}, by it",
                "WAL bytes",
                "of these page images",
                "server CPU µs",
            ),
            others,
        )


def _throughput(name: str, result: Json) -> Iterator[str]:
    options = result["options"]
    yield (
        "A backlog of jobs is worked off by as many processes: each job is claimed, a "
        f"text of {options['words'] + 1} words (2.1 KB) with its numbers is stored in "
        "the job's row of `documents`, the job is finished. Commits are durable. "
        f"{options['rounds']} interleaved rounds, each run on a new database; WAL and "
        "CPU are per document. “By hand-written” is the median (least–greatest) of the "
        "ratios to the hand-written way with the same batch and the same client, each "
        "taken inside one round."
    )
    counts = throughput_of(result)
    for count in counts:
        workers = f"{count.workers} worker{'' if count.workers == 1 else 's'}"
        yield f"### {workers}, {_server(result)}"
        if count.workers == CHARTED and not options["quick"]:
            yield f"![Documents per second, {workers}](benchmarks/{name}.svg)"
        yield from _throughput_tables(count)
    yield f"### What each system does, {_server(result)}"
    yield from _configurations(
        {str(count.workers): list(count.systems.values()) for count in counts}, result
    )


def _latency(name: str, result: Json) -> Iterator[str]:
    options = result["options"]
    systems = {system["name"]: system for system in result["results"]}
    count = Workers(options["workers"], systems)
    ours = [system["name"] for system in count.ran() if system["kind"] == "guarded"]
    yield (
        f"A producer makes {options['rate']} jobs a second by a fixed timetable, for "
        f"{options['seconds']:g} seconds after a warm-up of {options['warm_up']:g}; "
        f"{options['workers']} workers are idle most of the time. The time runs from "
        "the moment at which a job was due to be made until its handler starts. "
        f"Medians (least–greatest) of {options['rounds']} interleaved rounds, in "
        "milliseconds."
    )
    yield f"### {options['workers']} workers, {_server(result)}"
    if not options.get("quick"):
        yield f"![Milliseconds from enqueue to start](benchmarks/{name}.svg)"
    rows = []
    for system in count.ran():
        spans = [
            harness.figure(map(_milliseconds(share), system["samples"]))
            for share in ("p50", "p99", "max")
        ]
        label = system["name"]
        rows.append(
            (
                f"**{label}**" if system["kind"] == "guarded" else label,
                *map(_ratio, spans),
                *(
                    _ratio(count.ratio(ours[0], label, _milliseconds(share)))
                    if ours and system["kind"] == "peer"
                    else None
                    for share in ("p50", "p99")
                ),
                _median(sample["enqueue_p50_ms"] for sample in system["samples"]),
                round(_median(sample["cpu_per_job"] for sample in system["samples"])),
            )
        )
    yield table(
        (
            "",
            "p50",
            "p99",
            "longest",
            "ours by it, p50",
            "ours by it, p99",
            "enqueuing call, p50",
            "server CPU µs a job",
        ),
        rows,
    )
    yield from _configurations({"": result["results"]}, result)


def _server(result: Json) -> str:
    server = result["environment"]["server"]
    lz4 = "texts stored with lz4" if server["lz4"] else "built without lz4"
    return f"PostgreSQL {server['version'].split()[0]} ({lz4})"


def _generic(_name: str, result: Json) -> Iterator[str]:
    """Tables and charts of a command that says itself how they look."""
    content = result["results"]
    if text := content.get("text"):
        yield text
    for chart in content.get("charts", []):
        if not result["options"].get("quick"):
            yield f"![{chart['title']}](benchmarks/{chart['name']}.svg)"
    for part in content.get("tables", []):
        yield f"### {part['title']}"
        if note := part.get("note"):
            yield note
        yield table(part["columns"], part["rows"])


def _configurations(
    measured: Mapping[str, Sequence[Json]], result: Json
) -> Iterator[str]:
    """What each of these systems does; empty if there is none."""
    rows: dict[str, tuple[str, str, str]] = {}
    server = result["environment"]["server"]["version"].split()[0]
    for systems in measured.values():
        for system in systems:
            note = system["note"]
            if reason := system["unavailable"]:
                note += f" Left out on PostgreSQL {server}: {reason}."
            rows.setdefault(system["name"], (system["name"], system["version"], note))
    if rows:
        lines = ["| system | version | configuration |", "|---|---|---|"]
        lines += [
            f"| {_cell(name)} | {version or '–'} | {_cell(note)} |"
            for name, version, note in rows.values()
        ]
        yield "\n".join(lines)


def _environments(results: Mapping[str, Json]) -> Iterator[str]:
    yield "## Where it was measured"
    rows = []
    for name, result in results.items():
        place = result["environment"]
        machine, server, client = place["machine"], place["server"], place["client"]
        rows.append(
            (
                name + (" (quick)" if result["options"].get("quick") else ""),
                place["date"],
                place["commit"],
                f"{machine['cpu']}, {machine['cores']} cores, "
                f"{machine['memory_gb']} GB, {machine['system']}",
                f"{machine['flush_ms']:.2f}",
                server["version"],
                f"Python {client['python']}, psycopg {client['psycopg']}",
            )
        )
    columns = (
        "result",
        "date",
        "commit",
        "machine",
        "8 KB flushed, ms",
        "PostgreSQL",
        "client",
    )
    yield table(columns, rows)
    yield (
        "Server and clients share the machine and talk through a Unix socket. Settings "
        "of the server beside its defaults, and those that matter most:"
    )
    settings: dict[str, str] = {}
    for result in results.values():
        settings.update(result["environment"]["server"]["settings"])
    yield (
        "```\n" + "\n".join(f"{k} = {v}" for k, v in sorted(settings.items())) + "\n```"
    )


def markdown(results: Mapping[str, Json]) -> str:
    """The whole document."""
    parts = [
        "# Benchmarks",
        "Written by `python -m bench report` from the files in `bench/results`; what "
        "each system does and what is fair about it is in "
        "[bench/README.md](../bench/README.md). Figures of one machine say little "
        "about another: what is meant to hold elsewhere is a ratio, taken between runs "
        "that followed each other.",
        "To repeat all of it (it sets up what it needs):\n\n```sh\nmake bench        "
        "# the quick form, a few minutes, into .bench/\nmake bench-full   # hours; "
        "writes bench/results and this file\n```",
    ]
    if any(result["options"].get("quick") for result in results.values()):
        parts.append(
            "Results marked as quick, at the end, come from smaller backlogs and few "
            "rounds: they show a direction, no more."
        )
    goals = targets(results)
    if goals:
        missed = sum(not goal.met for goal in goals)
        parts.append("## Targets")
        parts.append(
            f"{len(goals) - missed} of {len(goals)} are met; a figure in bold misses."
        )
        parts.append(
            table(
                ("target", "limit", "measured", "met"),
                [(g.what, g.limit, g.measured, g.met) for g in goals],
            )
        )
    if rows := sensitivity(results):
        parts.append("### What the indexes of the baseline do to it")
        parts.append(
            "The targets take the hand-written `documents` with all of its indexes. "
            "Each of them makes the unsafe way dearer and our ratio better without any "
            "change of ours: here beside the same with its primary key and the index "
            "of what is pending alone."
        )
        parts.append(
            table(
                (
                    "guarded by hand-written",
                    "documents/s",
                    "documents/s, fewest indexes",
                    "WAL",
                    "WAL, fewest indexes",
                ),
                rows,
            )
        )
    headings = set()
    for name, result in results.items():
        command = result["command"]
        if command not in SECTIONS:
            continue
        if command not in headings:
            parts.append(f"## {SECTIONS[command]}")
            headings.add(command)
        sections = {"throughput": _throughput, "latency": _latency}
        parts += sections.get(command, _generic)(name, result)
    parts += _environments(results)
    return "\n\n".join(parts) + "\n"


# --- charts -------------------------------------------------------------------------

COLOURS = {"baseline": "#8a8f98", "guarded": "#0b6e4f", "peer": "#c58b2a"}
KINDS = {
    "baseline": "hand-written, unsafe",
    "guarded": "guarded",
    "peer": "other queues",
}


def charts(results: Mapping[str, Json], folder: Path) -> list[Path]:
    """Draw every chart; needs matplotlib."""
    paths = []
    for name, result in results.items():
        if result["options"].get("quick"):
            continue
        if result["command"] == "latency":
            systems = [system for system in result["results"] if system["samples"]]
            bars = _bars(systems, _milliseconds("p50"))[::-1]
            path = folder / f"{name}.svg"
            title = f"{result['options']['rate']} jobs/s, {_server(result)}"
            _draw(path, title, "p50 from enqueue to start, milliseconds", bars)
            paths.append(path)
            continue
        if result["command"] != "throughput":
            for chart in result["results"].get("charts", []):
                path = folder / f"{chart['name']}.svg"
                _draw(path, chart["title"], chart["unit"], chart["bars"])
                paths.append(path)
            continue
        for count in throughput_of(result):
            if count.workers != CHARTED:
                continue
            bars = _bars(count.ran(), _rate)
            path = folder / f"{name}.svg"
            title = f"{CHARTED} workers, {_server(result)}"
            _draw(path, title, "documents per second", bars)
            paths.append(path)
    return paths


def _bars(systems: Sequence[Json], value: Any) -> list[Json]:
    """A bar for each system, the greatest median first."""
    bars = []
    for system in systems:
        figure = harness.figure(map(value, system["samples"]))
        assert figure is not None
        bars.append({"label": system["name"], "kind": system["kind"], **asdict(figure)})
    return sorted(bars, key=lambda bar: -float(bar["median"]))


def _draw(path: Path, title: str, unit: str, bars: Sequence[Json]) -> None:
    """Horizontal bars from the top, the range as a whisker, the median beside it."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot
    from matplotlib.patches import Patch

    # The same data make the same file.
    mpl.rcParams["svg.hashsalt"] = "ocr-guardrails"
    mpl.rcParams["font.size"] = 9
    figure, axes = pyplot.subplots(figsize=(8.6, 1.1 + 0.27 * len(bars)))
    places = range(len(bars))
    greatest = max((bar["greatest"] for bar in bars), default=1)
    axes.barh(
        list(places),
        [bar["median"] for bar in bars],
        height=0.7,
        color=[COLOURS.get(bar.get("kind", ""), "#5b6b8c") for bar in bars],
    )
    axes.errorbar(
        [bar["median"] for bar in bars],
        list(places),
        xerr=[
            [bar["median"] - bar["least"] for bar in bars],
            [bar["greatest"] - bar["median"] for bar in bars],
        ],
        fmt="none",
        ecolor="#222222",
        elinewidth=1,
        capsize=2.5,
    )
    for place, bar in enumerate(bars):
        axes.text(
            bar["greatest"] + greatest * 0.012,
            place,
            _cell(float(bar["median"])),
            va="center",
            fontsize=8,
        )
    axes.set_yticks(list(places), [bar["label"] for bar in bars])
    axes.set_ylim(len(bars) - 0.4, -0.6)
    axes.set_xlim(0, greatest * 1.12)
    axes.xaxis.set_major_formatter(
        lambda value, _: f"{value:,.0f}" if greatest >= 10 else f"{value:g}"
    )
    axes.set_xlabel(f"{unit}; median, least and greatest")
    axes.set_title(title, loc="left", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    shown = [kind for kind in KINDS if any(bar.get("kind") == kind for bar in bars)]
    if len(shown) > 1:
        axes.legend(
            handles=[Patch(color=COLOURS[kind], label=KINDS[kind]) for kind in shown],
            loc="best",
            frameon=False,
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(
        path, bbox_inches="tight", facecolor="white", metadata={"Date": None}
    )
    pyplot.close(figure)


@click.command()
@click.option(
    "--results",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=harness.RESULTS,
    help="The folder with the JSON files.",
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=DOCUMENT,
    help="The Markdown file; charts go into a folder beside it.",
)
@click.option("--charts/--no-charts", "with_charts", default=True)
def command(results: Path, output: Path, with_charts: bool) -> None:
    """Write docs/benchmarks.md and its charts from bench/results."""
    loaded = load(results)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(markdown(loaded), "utf-8")
    harness.say(f"wrote {output}")
    if with_charts:
        for path in charts(loaded, output.with_suffix("")):
            harness.say(f"wrote {path}")
