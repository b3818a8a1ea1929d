"""The tools of the chaos run do what its figures say that they did."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from tests.chaos.proxy import Proxy, Rates
from tests.chaos.texts import Seal, seal, unseal

_IDLE = b"Z\x00\x00\x00\x05I"


@pytest.fixture
def upstream() -> Iterator[int]:
    """A server that answers every message as one that has just committed it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer(connection: socket.socket) -> None:
            with connection:
                while message := connection.recv(1000):
                    connection.sendall(message + _IDLE)

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=answer, args=(connection,), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        yield int(listener.getsockname()[1])


def _ask(connection: socket.socket, message: bytes) -> bytes:
    connection.sendall(message)
    try:
        return connection.recv(1000)
    except ConnectionResetError:
        return b""


def test_a_quiet_proxy_passes_everything_on(upstream: int) -> None:
    with (
        Proxy(upstream, seed=1) as proxy,
        socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as client,
    ):
        for _ in range(3):
            assert _ask(client, b"hello") == b"hello" + _IDLE
        assert proxy.counts["lost answer"] == proxy.counts["cut"] == 0


def test_a_lost_answer_is_that_of_a_statement_and_not_the_greeting(
    upstream: int,
) -> None:
    with (
        Proxy(upstream, seed=1, rates=Rates(lost_answer=1.0)) as proxy,
        socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as client,
    ):
        assert _ask(client, b"startup") == b"startup" + _IDLE
        assert _ask(client, b"commit") == b""
        assert proxy.counts["lost answer"] == 1


def test_all_connections_are_cut_at_once(upstream: int) -> None:
    with (
        Proxy(upstream, seed=1) as proxy,
        socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as client,
    ):
        assert _ask(client, b"hello") == b"hello" + _IDLE
        proxy.cut_all()
        assert _ask(client, b"anyone there") == b""
        assert proxy.counts["cut"] == 1


def test_a_text_says_where_it_belongs() -> None:
    text = seal("chaos/000017", "a-token", "an-offer")
    assert unseal(text) == Seal("chaos/000017", "a-token", "an-offer")
    assert unseal("something else") is None
