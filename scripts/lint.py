"""Run every linter. Quiet where all is well; else its findings, and exit code 1.

Nothing here needs a network or a database once the extra ``lint`` is installed.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pglast import ast, parse_plpgsql, parse_sql
from pglast.parser import ParseError

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
COLUMNS = 88
# pg_dump's words, not ours.
GENERATED = ROOT / "db" / "schema.sql"
PYTHON = ("pydriver", "scripts", "bench", "db")

#: What pgspot is told to leave out, and why.
PGSPOT_IGNORED = {
    # Functions and views are loaded anew with every version. PostgreSQL lets nobody but
    # the owner replace one; a superuser installs into a schema in which others may not
    # create.
    "PS002": "create or replace function",
    "PS015": "create or replace view",
    # What a materialized view holds is kept when the same version is loaded again.
    "PS007": "create materialized view if not exists",
    "PS014": "create index if not exists",
}
#: Its file says why it does without.
PGSPOT_WITHOUT_SEARCH_PATH = "is_finishing_left_to_trigger(p_table oid)"


@dataclass(frozen=True, slots=True)
class ForPgspot:
    """The install script in the words that pgspot knows."""

    #: All that pgspot can read.
    script: str
    #: Functions whose body pgspot's parser does not understand, for their heads alone.
    heads_only: str


def for_pgspot(text: str) -> ForPgspot:
    """Rewrite what pgspot would stop at.

    The package goes into a schema of the installer's choice, the first in the
    search_path of the loading transaction, which pgspot cannot know to be safe:
    db/tests/conventions.sql holds the pinned paths against the catalog instead. Here
    pg_catalog stands for that schema, and pgspot looks for everything else.

    Functions whose body is SQL and not a string are left out: what they name was bound
    when they were created. So are the tables in which yoyo keeps its books: yoyo makes
    them in its own way.
    """
    # psql's own commands, and what COPY has in a script.
    text = re.sub(r"^\\.*$", "", text, flags=re.MULTILINE)
    source = text.encode()
    path = "set search_path = pg_catalog, pg_temp"
    scripts = {True: [f"{path};\n"], False: [f"{path};\n"]}
    for statement in parse_sql(text):
        start = statement.stmt_location
        length = statement.stmt_len or len(source) - start
        body = source[start : start + length].decode().strip()
        body = body.replace("set search_path from current", path)
        is_function = isinstance(statement.stmt, ast.CreateFunctionStmt)
        if is_function and statement.stmt.sql_body:
            continue
        if getattr(statement.stmt, "name", None) == "search_path":
            continue
        if re.match(r"create table if not exists _?yoyo_", body):
            continue
        scripts[not is_function or _is_plain(body)].append(f"{body};\n")
    return ForPgspot("".join(scripts[True]), "".join(scripts[False]))


def _is_plain(function: str) -> bool:
    """Whether the parser gets along without knowing the types of the catalog."""
    if "language plpgsql" not in function:
        return True
    try:
        parse_plpgsql(function)
    except ParseError:
        return False
    return True


def run(*command: str | Path, cwd: Path = ROOT) -> tuple[int, str]:
    """The exit code and the output of a program of the virtual environment."""
    program = BIN / str(command[0])
    if not program.exists():
        return 127, f"{program} is not installed: make lint sets it up"
    ended = subprocess.run(
        [str(program), *map(str, command[1:])],
        cwd=cwd,
        env={**os.environ, "NO_COLOR": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return ended.returncode, ended.stdout


def ruff() -> tuple[int, str]:
    return run("ruff", "check", "--quiet", *PYTHON)


def ruff_format() -> tuple[int, str]:
    return run("ruff", "format", "--check", "--diff", "--quiet", *PYTHON)


def mypy() -> tuple[int, str]:
    return run("mypy", "--no-error-summary")


def sqlfluff() -> tuple[int, str]:
    """Lint a copy of db/ in which ``table.column%type`` is one word of equal length.

    sqlfluff takes it for a remainder in an argument and gives up on it after RETURNS.
    Nor does it know the commands of psql, with which tests end a statement (`\\gset`).
    Lines and columns stay what they are.
    """
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        shutil.copy(ROOT / ".sqlfluff", copy)
        shutil.copytree(
            ROOT / "db", copy / "db", ignore=shutil.ignore_patterns(GENERATED.name)
        )
        for path in copy.rglob("*.sql"):
            text = path.read_text("utf-8")
            words = re.sub(r"\b([a-z_]+)\.([a-z_]+)%type\b", r"\1_\2_type", text)
            words = re.sub(r"[ \t]*(\n?)\\g(set|exec)?\b[^\n]*", r";\1", words)
            path.write_text(words, "utf-8")
        return run(
            *(
                "sqlfluff",
                "lint",
                "--nocolor",
                "--disable-progress-bar",
                "--processes",
                "0",
                "db",
            ),
            cwd=copy,
        )


def columns() -> tuple[int, str]:
    """The width of every line of SQL: sqlfluff sees none inside a function's body.

    A test's table of cases has a case a line, however long.
    """
    wide = [
        f"{path.relative_to(ROOT)}:{number}: {len(line)} columns"
        for path in sorted((ROOT / "db").rglob("*.*sql"))
        if path != GENERATED
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if line != line.rstrip()
        or "\t" in line
        or (
            len(line) > COLUMNS
            and not ("tests" in path.parts and line.lstrip()[:1] == "(")
        )
    ]
    if not wide:
        return 0, ""
    rule = f"At most {COLUMNS} columns, no tab, no blank at the end:"
    return 1, "\n".join([rule, *wide])


def squawk() -> tuple[int, str]:
    # A rollback drops things: that is what it is for.
    migrations = [
        path
        for path in sorted((ROOT / "db" / "migrations").glob("*.sql"))
        if not path.name.endswith(".rollback.sql")
    ]
    if not migrations:
        return 1, "There is no migration in db/migrations."
    return run("squawk", "--reporter", "gcc", *migrations)


def pgspot() -> tuple[int, str]:
    code, text = run("ocr-guardrails", "sql")
    if code != 0:
        return code, f"ocr-guardrails sql, exit code {code}:\n{text}"
    prepared = for_pgspot(text)
    ignore = [part for key in PGSPOT_IGNORED for part in ("--ignore", key)]
    ignore += ["--proc-without-search-path", PGSPOT_WITHOUT_SEARCH_PATH]
    outputs = []
    with tempfile.TemporaryDirectory() as folder:
        for name, content, *options in (
            ("install.sql", prepared.script),
            ("heads.sql", prepared.heads_only, "--no-plpgsql"),
        ):
            script = Path(folder) / name
            script.write_text(content)
            ended, output = run("pgspot", *ignore, *options, script)
            # It answers 0 as well when it has broken off on the way.
            clean = ended == 0 and "Errors: 0 Warnings: 0 Unknown: 0" in output
            code = max(code, 0 if clean else 1)
            outputs.append(output)
    return code, "".join(outputs)


LINTERS: dict[str, Callable[[], tuple[int, str]]] = {
    "ruff check": ruff,
    "ruff format": ruff_format,
    "mypy": mypy,
    "columns": columns,
    "sqlfluff": sqlfluff,
    "squawk": squawk,
    "pgspot": pgspot,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("only", nargs="*", help=", ".join(LINTERS))
    only = parser.parse_args().only
    unclean = []
    print("==> Linting", flush=True)
    for name, linter in LINTERS.items():
        if only and name not in only and name.split()[0] not in only:
            continue
        started = time.monotonic()
        code, output = linter()
        verdict = "ok" if code == 0 else f"exit code {code}"
        print(
            f"    {name:<12} {verdict}, {time.monotonic() - started:.1f} s", flush=True
        )
        if code != 0:
            unclean.append(name)
            print(output.rstrip() + "\n", flush=True)
    if unclean:
        print(f"Not clean: {', '.join(unclean)}", flush=True)
    return 1 if unclean else 0


if __name__ == "__main__":
    sys.exit(main())
