"""Run every test on every server: pgTAP, the races, and pytest.

The servers are throw-away clusters: PostgreSQL 18 from the wheel, and the oldest
supported one that this system has installed. They run side by side. The last line of
the output is ``N passed, M failed, K skipped``; the exit code is 0 if M is 0, else 1,
and 2 where the tests could not begin.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType

from harness import ROOT, isolation, pgtap, processes, pytests
from harness.results import SuiteResult, failures, line, table, totals
from harness.servers import (
    INSTALLED,
    OLDEST_SUPPORTED,
    SetupError,
    TestServer,
    running,
    system_version,
)

SUITES = ("pgtap", "isolation", "python")
LOGS = ROOT / ".test-logs"
Suite = Callable[[TestServer, Path], SuiteResult]

_printing = threading.Lock()


def say(text: str) -> None:
    """Print from any thread, at once."""
    with _printing:
        print(text, flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--suite", action="append", choices=SUITES, help="only this one; repeatable"
    )
    parser.add_argument(
        "--server",
        action="append",
        choices=("embedded", "system"),
        help="only this one; repeatable",
    )
    parser.add_argument("--only", help="only the tests under this path, or so named")
    parser.add_argument(
        "--update-expected",
        action="store_true",
        help="write db/tests/isolation/expected from what the specs print",
    )
    parser.add_argument(
        "--serial", action="store_true", help="one server after the other"
    )
    return parser.parse_args()


def chosen_suites(options: argparse.Namespace) -> dict[str, Suite]:
    """The suites to run, bound to the tests that were asked for."""
    only: str | None = options.only
    names: list[str] = options.suite or list(SUITES)
    suites: dict[str, Suite] = {}
    if options.update_expected:
        names = ["isolation"]
    # A filter names tests of one suite, mostly; the others have then nothing to say.
    # Without a filter an empty suite is run, and fails.
    if "pgtap" in names and ((files := pgtap.files(only)) or only is None):
        suites["pgtap"] = lambda server, logs: pgtap.run_pgtap(server, files, logs)
    if "isolation" in names and ((specs := isolation.specs(only)) or only is None):
        suites["isolation"] = lambda server, logs: isolation.run_isolation(
            server, specs, logs, update=options.update_expected
        )
    if "python" in names:
        selected = pytests.selection(only, alone=names == ["python"])
        if selected is not None:
            both = options.server is None
            suites["python"] = lambda server, logs: pytests.run_python(
                server, selected, logs, again=both and not server.from_wheel
            )
    if not suites:
        raise SetupError(f"No test matches {only!r}.")
    return suites


def chosen_servers(options: argparse.Namespace) -> dict[str, Path | None]:
    """The folders of the servers' programs by name, None for the wheel's."""
    names: list[str] = options.server or ["embedded", "system"]
    if options.update_expected:
        # Both servers print the same, so one of them is enough to write it.
        names = names[:1]
    servers: dict[str, Path | None] = {}
    if "embedded" in names:
        servers["embedded"] = None
    if "system" in names:
        version = system_version()
        if version is None:
            raise SetupError(
                f"PostgreSQL {OLDEST_SUPPORTED} or newer is not installed under "
                f"{INSTALLED}: make system"
            )
        servers["system"] = INSTALLED / str(version) / "bin"
    return servers


def run_on(
    name: str, bin_dir: Path | None, suites: dict[str, Suite]
) -> list[SuiteResult]:
    """Start one server and run the suites on it, one after the other."""
    logs = LOGS / name
    logs.mkdir(parents=True)
    results: list[SuiteResult] = []
    started = time.monotonic()
    label = name
    try:
        with running(bin_dir, logs) as server:
            label = server.label
            server.make_template(logs)
            say(f"    {label:<18} started and migrated")
            for suite in suites:
                results.append(_guarded(suites[suite], suite, server, logs / suite))
                say(line(results[-1]))
            if crashes := server.crashes():
                result = SuiteResult("server", label, logs)
                result.fail("a process of the server died", crashes)
                results.append(result)
    except (Exception, SystemExit) as error:
        text = str(error) if isinstance(error, SetupError) else traceback.format_exc()
        result = SuiteResult("set-up", label, logs, seconds=time.monotonic() - started)
        result.fail("the tests could not be run", text)
        results.append(result)
        say(line(result))
    return results


def _guarded(suite: Suite, name: str, server: TestServer, logs: Path) -> SuiteResult:
    """A suite that breaks off, as when the server is gone, is a failed suite."""
    started = time.monotonic()
    try:
        return suite(server, logs)
    except Exception:
        result = SuiteResult(name, server.label, logs)
        result.fail("the suite broke off", traceback.format_exc())
        result.seconds = time.monotonic() - started
        return result


def main() -> int:
    options = arguments()
    started = time.monotonic()
    try:
        suites = chosen_suites(options)
        servers = chosen_servers(options)
    except SetupError as error:
        print(error, file=sys.stderr)
        return 2
    shutil.rmtree(LOGS, ignore_errors=True)
    say(f"==> Testing: {', '.join(suites)} (logs in {LOGS.relative_to(ROOT)})")
    with ThreadPoolExecutor(1 if options.serial else len(servers)) as threads:
        pending = [
            threads.submit(run_on, name, bin_dir, suites)
            for name, bin_dir in servers.items()
        ]
        try:
            results = [result for future in pending for result in future.result()]
        except BaseException:
            # The servers are stopped and removed by their threads, which this wakes.
            processes.stop_all()
            raise
    if any(result.failed for result in results):
        print(f"\n{failures(results)}")
    print(f"\n{table(results)}")
    print(f"\nin {time.monotonic() - started:.0f} s; logs in {LOGS}")
    print(totals(results), flush=True)
    return 1 if any(result.failed for result in results) else 0


def _interrupt(signum: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt(signal.Signals(signum).name)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        code = main()
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        code = 130
    sys.exit(code)
