"""The mutants: every guard of the SQL, taken out one at a time.

They are read off the files, so a new function gets its own. A guard is whatever decides
or protects: a branch, a part of a condition, a lock, a check, a constraint, a trigger,
a column that an UPDATE sets.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .sqltext import Group, Node, Token, levels, nested, word

FOLDERS = ("functions", "triggers")
SCHEMA = "migrations/0001_schema.sql"
#: Longer code is named by its beginning and a hash.
LONGEST_CODE = 100

_JOINS = {"inner", "left", "right", "full", "cross"}
#: Where one expression ends and something else begins.
_BOUNDARIES = {
    *(",", ";", ":=", "as", "begin", "by", "declare", "default", "delete", "do"),
    *("else", "elsif", "end", "exception", "execute", "filter", "for", "from", "group"),
    *("having", "if", "insert", "into", "join", "limit", "loop", "offset", "on"),
    *("order", "perform", "query", "raise", "return", "returning", "select", "set"),
    *("then", "union", "update", "using", "values", "when", "where", "while", "with"),
}
_DML = ("insert", "update", "delete", "with", "execute", "lock")
_NO_HANDLER = "sqlstate 'XX999'"


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change of one file. ``kind``, ``code`` and ``number`` name it, not its line.

    ``sql`` is what has to be executed in an installed database to have the change.
    """

    file: str
    kind: str
    code: str
    replacement: str
    line: int
    sql: str = field(repr=False)
    number: int = 1

    @property
    def name(self) -> str:
        number = f" #{self.number}" if self.number > 1 else ""
        return f"{self.file}:{self.line} {self.kind} {self.code!r}{number}"


@dataclass(frozen=True, slots=True)
class _Change:
    kind: str
    start: int
    end: int
    replacement: str


def mutants(root: Path) -> list[Mutant]:
    """All mutants of the SQL below ``root``, in the order of files and lines."""
    found: list[Mutant] = []
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*.sql")):
            name = path.relative_to(root).as_posix()
            found += _of_file(name, path.read_text(encoding="utf-8"))
    found += _of_schema(SCHEMA, (root / SCHEMA).read_text(encoding="utf-8"))
    return found


def _of_file(name: str, text: str) -> list[Mutant]:
    """Mutants of a file of functions and triggers: the whole file with one change."""
    changes = sorted(
        {change for change in _changes(text) if _differs(text, change)},
        key=lambda change: (change.start, change.end, change.kind),
    )
    found = [
        _mutant(
            name,
            text,
            change,
            text[: change.start] + change.replacement + text[change.end :],
        )
        for change in changes
    ]
    for match in re.finditer(
        r"^create (?:or replace )?trigger (\w+)\s.*?\son (\w+)", text, re.M | re.S
    ):
        found.append(
            Mutant(
                name,
                "trigger",
                match[1],
                "dropped",
                text.count("\n", 0, match.start()) + 1,
                f"drop trigger {match[1]} on {match[2]}",
            )
        )
    return _numbered(found)


def _differs(text: str, change: _Change) -> bool:
    return text[change.start : change.end].strip() != change.replacement.strip()


def _mutant(name: str, text: str, change: _Change, sql: str) -> Mutant:
    code = " ".join(text[change.start : change.end].split())
    if len(code) > LONGEST_CODE:
        digest = hashlib.sha256(code.encode()).hexdigest()[:8]
        code = f"{code[: LONGEST_CODE - 20]} ... {digest}"
    line = text.count("\n", 0, change.start) + 1
    return Mutant(name, change.kind, code, change.replacement, line, sql)


def _numbered(found: Sequence[Mutant]) -> list[Mutant]:
    """With a number where a file has the same code several times."""
    counts: Counter[tuple[str, str]] = Counter()
    numbered: list[Mutant] = []
    for one in found:
        counts[one.kind, one.code] += 1
        numbered.append(
            Mutant(
                one.file,
                one.kind,
                one.code,
                one.replacement,
                one.line,
                one.sql,
                counts[one.kind, one.code],
            )
        )
    return numbered


def _changes(text: str) -> Iterator[_Change]:
    top = nested(text)
    for kind, nodes in levels(top):
        yield from _parts(nodes)
        yield from _branches(kind, nodes)
        yield from _row_locks(nodes)
        yield from _advisory_locks(nodes)
        yield from _conflicts(nodes)
        yield from _assignments(nodes)
        if kind == "begin" or (kind == "case" and any(_is(n, ";") for n in nodes)):
            yield from _statements(nodes)
    yield from _swaps(text, top)


def _is(node: Node, text: str) -> bool:
    return isinstance(node, Token) and text in (node.word, node.text)


def _is_boundary(nodes: Sequence[Node], index: int) -> bool:
    this = word(nodes, index)
    if this == "or" and word(nodes, index + 1) == "replace":
        return True
    if this in _JOINS:
        return "join" in (word(nodes, index + 1), word(nodes, index + 2))
    if this == "from":
        # is [not] distinct from
        return not (
            word(nodes, index - 1) == "distinct"
            and word(nodes, index - 2) in ("is", "not")
        )
    return this in _BOUNDARIES


def _segment(nodes: Sequence[Node], begin: int) -> list[Node]:
    """The nodes from ``begin`` to the next boundary."""
    end = begin
    while end < len(nodes) and not _is_boundary(nodes, end):
        end += 1
    return list(nodes[begin:end])


def _split(segment: Sequence[Node], operator: str) -> list[list[Node]]:
    """The operands of AND or OR; the AND of a BETWEEN is none."""
    operands: list[list[Node]] = [[]]
    is_between = False
    for node in segment:
        if _is(node, "between"):
            is_between = True
        if _is(node, operator) and not (operator == "and" and is_between):
            operands.append([])
            continue
        if _is(node, "and"):
            is_between = False
        operands[-1].append(node)
    return [operand for operand in operands if operand]


def _parts(nodes: Sequence[Node]) -> Iterator[_Change]:
    """Each operand of each AND and OR, replaced by what makes it drop out."""
    index = 0
    is_handler = False
    while index < len(nodes):
        if word(nodes, index) == "exception" and word(nodes, index - 1) != "raise":
            is_handler = True
        if _is_boundary(nodes, index):
            index += 1
            continue
        segment = _segment(nodes, index)
        handler = is_handler and word(nodes, index - 1) == "when"
        alternatives = _split(segment, "or")
        if len(alternatives) > 1:
            for operand in alternatives:
                yield _replace("disjunct", operand, _NO_HANDLER if handler else "false")
        for operand in alternatives:
            conjuncts = _split(operand, "and")
            if len(conjuncts) > 1:
                for conjunct in conjuncts:
                    yield _replace("conjunct", conjunct, "true")
        index += len(segment)


def _replace(kind: str, nodes: Sequence[Node], replacement: str) -> _Change:
    return _Change(kind, nodes[0].start, nodes[-1].end, replacement)


def _branches(kind: str, nodes: Sequence[Node]) -> Iterator[_Change]:
    """Each whole condition: a filter that lets all through, a branch never taken."""
    joins = 0
    is_handler = False
    is_searched = word(nodes, 0) == "when"
    for index in range(len(nodes)):
        this = word(nodes, index)
        if this == "join":
            joins += 1
        elif this in ("from", ";"):
            joins = 0
        elif this == "exception" and word(nodes, index - 1) != "raise":
            is_handler = True
        segment = _segment(nodes, index + 1)
        if not segment:
            continue
        is_join = this == "on" and joins > 0 and word(nodes, index + 1) != "conflict"
        if this in ("where", "having") or is_join:
            # the conjuncts of an AND are taken out one by one
            if len(_split(segment, "and")) == 1 or len(_split(segment, "or")) > 1:
                yield _replace("on" if is_join else this, segment, "true")
        elif this in ("if", "elsif", "while") and word(nodes, index - 1) != "end":
            yield _replace(this, segment, "false")
        elif this == "when":
            if kind == "case" and is_searched:
                yield _replace("when", segment, "false")
            elif kind == "case":
                yield _replace("when", segment, "null")
            elif is_handler:
                yield _replace("handler", segment, _NO_HANDLER)
            elif word(nodes, index - 1) in ("continue", "exit"):
                yield _replace("when", segment, "false")
            else:
                yield _replace("when", segment, "(true)")


def _row_locks(nodes: Sequence[Node]) -> Iterator[_Change]:
    for index in range(len(nodes)):
        if word(nodes, index) != "for":
            continue
        end = index + 1
        while word(nodes, end) in ("no", "key"):
            end += 1
        if word(nodes, end) not in ("update", "share"):
            continue
        if word(nodes, end + 1) == "of":
            end += 2
        wait: list[Node] = []
        if word(nodes, end + 1) == "skip":
            wait = list(nodes[end + 1 : end + 3])
        elif word(nodes, end + 1) == "nowait":
            wait = [nodes[end + 1]]
        yield _replace("row lock", [*nodes[index : end + 1], *wait], "")
        if wait:
            yield _replace("no wait", wait, "")


def _advisory_locks(nodes: Sequence[Node]) -> Iterator[_Change]:
    for index in range(len(nodes) - 1):
        if re.fullmatch(r"pg_(try_)?advisory_xact_lock", word(nodes, index)):
            call = [nodes[index], nodes[index + 1]]
            yield _replace("advisory lock", call, "(true)")


def _conflicts(nodes: Sequence[Node]) -> Iterator[_Change]:
    for index in range(len(nodes)):
        if word(nodes, index) == "on" and word(nodes, index + 1) == "conflict":
            end = index
            while end < len(nodes) and word(nodes, end) not in ("returning", ";"):
                end += 1
            yield _replace("on conflict", nodes[index:end], "")


def _assignments(nodes: Sequence[Node]) -> Iterator[_Change]:
    """Each column that an UPDATE sets, left as it was."""
    alias = ""
    for index in range(len(nodes)):
        if word(nodes, index) in ("update", "into") and word(nodes, index - 1) not in (
            "key",
            "do",
        ):
            alias = word(nodes, index + 1)
            if word(nodes, index + 2) == "as":
                alias = word(nodes, index + 3)
        if word(nodes, index) != "set" or not alias:
            continue
        item = index + 1
        while item < len(nodes):
            end = item
            while end < len(nodes) and word(nodes, end) not in (
                *(",", ";", "from", "where", "returning"),
            ):
                end += 1
            if item == end:
                break
            column = nodes[item]
            if isinstance(column, Token):
                yield _replace(
                    "set", nodes[item:end], f"{column.text} = {alias}.{column.text}"
                )
            if word(nodes, end) != ",":
                break
            item = end + 1


def _statements(nodes: Sequence[Node]) -> Iterator[_Change]:
    """Each statement that does or refuses something, left out.

    Not a RETURN at the end: there the function would do without, or could not.
    """
    begin = 0
    for index in range(len(nodes)):
        this = word(nodes, index)
        if this in ("then", "else", "loop", "exception") and (
            this != "exception" or word(nodes, index - 1) != "raise"
        ):
            begin = index + 1
        elif this == ";":
            if statement := list(nodes[begin : index + 1]):
                first = word(statement, 0)
                kind = ""
                if first in ("perform", "raise", "continue"):
                    kind = first
                elif first in _DML:
                    kind = "statement"
                elif any(_is(node, ":=") for node in statement[:4]):
                    kind = "assignment"
                elif first == "return" and index + 1 < len(nodes):
                    kind = "return"
                if kind:
                    yield _replace(kind, statement, "null;")
            begin = index + 1


def _swaps(text: str, top: Sequence[Node]) -> Iterator[_Change]:
    """Neighbours in a decision table, the other way round: its order is a rule too."""
    for index, node in enumerate(top):
        if not isinstance(node, Group) or node.kind != "case":
            continue
        if word(top, index - 1) != "return":
            continue
        begins = [part.start for part in node.inner if _is(part, "when")]
        thens = [part.end for part in node.inner if _is(part, "then")]
        ends = [part.start for part in node.inner if _is(part, "else")]
        begins.append(ends[0] if ends else node.closing.start)
        for first in range(len(thens) - 1):
            a, b, c = begins[first : first + 3]
            if text[thens[first] : b].strip() != text[thens[first + 1] : c].strip():
                yield _Change("swap", a, c, text[b:c] + text[a:b])


def _of_schema(name: str, text: str) -> list[Mutant]:
    """Mutants of the tables: a constraint dropped, or replaced by a weaker one."""
    found: list[Mutant] = []
    top = nested(text)
    for index in range(len(top)):
        if word(top, index) != "create":
            continue
        if word(top, index + 1) == "unique" and word(top, index + 2) == "index":
            index_name = word(top, index + 3)
            change = _replace("unique index", [top[index + 3]], "dropped")
            found.append(_mutant(name, text, change, f"drop index {index_name}"))
        columns = top[index + 3] if index + 3 < len(top) else None
        if word(top, index + 1) == "table" and isinstance(columns, Group):
            found += _of_table(name, text, word(top, index + 2), columns.inner)
    return _numbered(found)


def _of_table(
    name: str, text: str, table: str, nodes: Sequence[Node]
) -> Iterator[Mutant]:
    items: list[list[Node]] = [[]]
    for node in nodes:
        if _is(node, ","):
            items.append([])
        else:
            items[-1].append(node)
    keys = {
        token.text
        for item in items
        if word(item, 2) == "primary"
        for token in (item[4].inner if isinstance(item[4], Group) else ())
        if isinstance(token, Token)
    }
    for item in items:
        if word(item, 0) != "constraint":
            for index in range(len(item) - 1):
                column = word(item, 0)
                if (
                    word(item, index) == "not"
                    and word(item, index + 1) == "null"
                    and column not in keys
                ):
                    sql = f"alter table {table} alter column {column} drop not null"
                    line = text.count("\n", 0, item[0].start) + 1
                    code = f"{table}.{column}"
                    yield Mutant(name, "not null", code, "may be null", line, sql)
            continue
        constraint = word(item, 1)
        dropped = f"alter table {table} drop constraint {constraint}"
        yield _mutant(
            name,
            text,
            _replace("constraint", item[1:2], "dropped"),
            f"{dropped} cascade",
        )
        body_start, body_end = item[2].start, item[-1].end
        if word(item, 2) != "check":
            continue
        for kind, inner in levels(item[3:]):
            for change in (*_parts(inner), *_branches(kind, inner)):
                definition = (
                    text[body_start : change.start]
                    + change.replacement
                    + text[change.end : body_end]
                )
                yield _mutant(
                    name,
                    text,
                    change,
                    f"{dropped}, add constraint {constraint} {definition}",
                )
