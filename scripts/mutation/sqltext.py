"""As much of SQL's and PL/pgSQL's structure as is needed to find the guards in it.

Not a parser: tokens, nested by parentheses, CASE and BEGIN, with their places in the
text. What is inside a comment, a string or a ``$do$`` block is left alone; function
bodies between ``$function$`` are read like the rest.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""
      (?P<skip> \s+ | --[^\n]* | /\*.*?\*/ | \$function\$ )
    | (?P<string>
          [eE]'(?:[^'\\]|''|\\.)*' | '(?:[^']|'')*'
        | \$(?P<tag>\w*)\$.*?\$(?P=tag)\$
      )
    | (?P<word> [A-Za-z_]\w* | "(?:[^"]|"")+" )
    | (?P<other> \d[\w.]* | := | [-+*/<>=~!@\#%^&|]+ | :: | . )
    """,
    re.VERBOSE | re.DOTALL,
)
_CLOSING = {"(": ")", "[": "]"}


@dataclass(frozen=True, slots=True)
class Token:
    """One token; ``word`` is its text in lower case where it can be a keyword."""

    start: int
    end: int
    text: str
    word: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """What stands between a pair: "(", "[", "case" or "begin"; the pair included."""

    kind: str
    opening: Token
    closing: Token
    inner: tuple[Node, ...]

    @property
    def start(self) -> int:
        return self.opening.start

    @property
    def end(self) -> int:
        return self.closing.end


Node = Token | Group


class StructureError(Exception):
    """The text is not nested the way this module understands it."""


def tokens(text: str) -> list[Token]:
    """The tokens of a text without space and comments."""
    found: list[Token] = []
    for match in _TOKEN.finditer(text):
        if match["skip"] is not None:
            continue
        word = ""
        # what follows a dot is a column, whatever its name
        if match["word"] is not None and not (found and found[-1].text == "."):
            word = match.group().lower()
        found.append(Token(match.start(), match.end(), match.group(), word))
    return found


def nested(text: str) -> tuple[Node, ...]:
    """The tokens of a text, nested."""
    stream = tokens(text)
    nodes, position = _level(stream, 0, None)
    if position != len(stream):
        raise StructureError(f"no opening for {stream[position]}")
    return nodes


def _level(
    stream: Sequence[Token], position: int, opened_by: Token | None
) -> tuple[tuple[Node, ...], int]:
    """The nodes from ``position`` to the token that closes this level."""
    nodes: list[Node] = []
    opening = opened_by.text.lower() if opened_by else ""
    while position < len(stream):
        token = stream[position]
        following = stream[position + 1].word if position + 1 < len(stream) else ""
        if token.text == _CLOSING.get(opening):
            return tuple(nodes), position
        if token.word == "end" and following in ("if", "loop"):
            nodes += stream[position : position + 2]
            position += 2
            continue
        if token.word == "end" and opening in ("case", "begin"):
            return tuple(nodes), position
        if token.text in _CLOSING or token.word in ("case", "begin"):
            inner, position = _level(stream, position + 1, token)
            if position >= len(stream):
                raise StructureError(f"no end for {token}")
            closing = stream[position]
            ends_statement = token.word == "case" and (
                position + 1 < len(stream) and stream[position + 1].word == "case"
            )
            if ends_statement:
                position += 1
                closing = stream[position]
            nodes.append(Group(token.text.lower(), token, closing, inner))
        else:
            nodes.append(token)
        position += 1
    return tuple(nodes), position


def word(nodes: Sequence[Node], index: int) -> str:
    """The keyword at an index, "" for anything else and outside."""
    if 0 <= index < len(nodes):
        node = nodes[index]
        if isinstance(node, Token):
            return node.word or (node.text if not node.text.isalnum() else "")
    return ""


def levels(nodes: Sequence[Node], kind: str = "") -> Iterator[tuple[str, list[Node]]]:
    """Every level with the kind of group that it is inside of, outer ones first."""
    yield kind, list(nodes)
    for node in nodes:
        if isinstance(node, Group):
            yield from levels(node.inner, node.kind)
