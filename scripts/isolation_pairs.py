"""Write the specs of every pair of calls, or run all there are.

The specs are made from the table in scripts/pairs/calls.py. Those of the most important
pairs stand in db/tests/isolation/pairs, with expected output, and are run by the
isolation suite; scripts/pairs/outcomes.py says by which rules all of them are judged.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from harness import ROOT, processes
from harness.isolation import EXPECTED, run_spec
from harness.servers import INSTALLED, SetupError, running, system_version
from pairs.outcomes import Judge, Run, parse
from pairs.specs import committed_specs, proof_specs

FOLDER = ROOT / "db" / "tests" / "isolation" / "pairs"


def write() -> None:
    """Write the specs, and remove those that the table does not give any more."""
    texts = {f"{spec.name}.spec": spec.text() for spec in committed_specs()}
    for path in FOLDER.glob("*.spec"):
        if path.name not in texts:
            path.unlink()
            (EXPECTED / f"{path.stem}.out").unlink(missing_ok=True)
    for name, text in texts.items():
        (FOLDER / name).write_text(text)
    print(
        f"{len(texts)} specs in {FOLDER.relative_to(ROOT)}; their expected output: "
        "make test-isolation ONLY=/pairs/ ARGS=--update-expected"
    )


def prove(bin_dir: Path | None, only: str) -> list[str]:
    """Run every pair in every state on a server of its own; what is wrong with them."""
    started = time.monotonic()
    runs: list[Run] = []
    wanted = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copy(FOLDER / "setup.sql", folder)
        with running(bin_dir, folder) as server:
            server.make_template(folder)
            for spec in proof_specs():
                if only not in spec.name:
                    continue
                path = folder / f"{spec.name}.spec"
                path.write_text(spec.text())
                ended = run_spec(server, path)
                if ended.code != 0:
                    return [f"{spec.name} on {server.label}: {ended.output[-2000:]}"]
                wanted += len(spec.permutations)
                runs += parse(ended.output)
            judge = Judge(runs)
            found = [f"{server.label}: {one}" for one in judge.complaints()]
            if len(runs) != wanted or not wanted:
                found.append(
                    f"{server.label}: {len(runs)} permutations were run, not {wanted}"
                )
            print(
                f"    {server.label:<18} {wanted} races and runs in order, "
                f"{len(found)} against the rules, {time.monotonic() - started:.0f} s",
                flush=True,
            )
            return found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--prove",
        action="store_true",
        help="write nothing; run every pair in every state on both servers",
    )
    parser.add_argument(
        "--only", default="", help="with --prove: only specs whose name has this in it"
    )
    options = parser.parse_args()
    if not options.prove:
        write()
        return 0
    version = system_version()
    servers = [None] if version is None else [None, INSTALLED / str(version) / "bin"]
    print("==> Racing every pair of calls", flush=True)
    with ThreadPoolExecutor(len(servers)) as threads:
        pending = [threads.submit(prove, bin_dir, options.only) for bin_dir in servers]
        try:
            found = [one for future in pending for one in future.result()]
        except SetupError as error:
            print(error, file=sys.stderr)
            return 2
        except BaseException:
            processes.stop_all()
            raise
    print("\n".join(found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
