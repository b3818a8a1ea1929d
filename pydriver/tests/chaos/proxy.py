"""A TCP proxy on loopback that delays, cuts, and swallows the answers to commits.

It stands between the workers and the server, and looks at what passes only as far as
it must to tell that the server has finished with a statement: an answer that ends in
ReadyForQuery outside a transaction was sent after the commit. Swallowing exactly that
one leaves a client that cannot know whether its result stands.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from collections import Counter
from dataclasses import dataclass, field

__all__ = ["Proxy", "Rates"]

_CHUNK = 65536
# ReadyForQuery, idle: the statement and its commit are done.
_DONE = b"Z\x00\x00\x00\x05I"


@dataclass(slots=True)
class Rates:
    """How often something happens to a chunk of bytes that passes, each 0 to 1."""

    delay: float = 0.0
    cut: float = 0.0
    lost_answer: float = 0.0
    longest_delay: float = 0.2
    """In seconds."""


@dataclass(slots=True, eq=False)
class _Link:
    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    #: The answers of the handshake are not those of statements.
    greeted: bool = False

    def close(self) -> None:
        for writer in (self.client, self.server):
            with contextlib.suppress(OSError, RuntimeError):
                writer.transport.abort()


@dataclass(slots=True)
class Proxy:
    """Listens on 127.0.0.1 and forwards to a Unix socket or a local port.

    ``upstream`` is the path of the socket or the number of the port. Runs in a thread
    of its own; ``rates`` may be changed while it runs.
    """

    upstream: str | int
    seed: int
    rates: Rates = field(default_factory=Rates)
    counts: Counter[str] = field(default_factory=Counter)
    port: int = 0
    _loop: asyncio.AbstractEventLoop | None = None
    _thread: threading.Thread | None = None
    _links: set[_Link] = field(default_factory=set)
    _random: random.Random = field(default_factory=random.Random)

    def __enter__(self) -> Proxy:
        self._random.seed(self.seed)
        listening = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._run, args=(self._loop, listening), daemon=True
        )
        self._thread.start()
        if not listening.wait(10):
            raise RuntimeError("the proxy does not listen")
        return self

    def __exit__(self, *_: object) -> None:
        if self._loop is not None and self._thread is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10)

    def quiet(self) -> None:
        """From now on everything passes."""
        self.rates = Rates()

    def cut_all(self) -> None:
        """Cut every connection there is at this moment."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._cut_all)

    def _cut_all(self) -> None:
        self.counts["cut"] += len(self._links)
        for link in list(self._links):
            link.close()

    def _run(self, loop: asyncio.AbstractEventLoop, listening: threading.Event) -> None:
        asyncio.set_event_loop(loop)
        server = loop.run_until_complete(
            asyncio.start_server(self._serve, "127.0.0.1", 0)
        )
        self.port = server.sockets[0].getsockname()[1]
        listening.set()
        loop.run_forever()
        server.close()
        for link in list(self._links):
            link.close()
        pending = asyncio.all_tasks(loop)
        for task in pending:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*pending, return_exceptions=True))
        loop.close()

    async def _serve(
        self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter
    ) -> None:
        try:
            if isinstance(self.upstream, int):
                from_server, to_server = await asyncio.open_connection(
                    "127.0.0.1", self.upstream
                )
            else:
                from_server, to_server = await asyncio.open_unix_connection(
                    self.upstream
                )
        except OSError:
            to_client.transport.abort()
            return
        link = _Link(to_client, to_server)
        self._links.add(link)
        self.counts["connection"] += 1
        try:
            await asyncio.gather(
                self._pass_on(link, from_client, to_server, from_client_side=True),
                self._pass_on(link, from_server, to_client, from_client_side=False),
            )
        finally:
            self._links.discard(link)
            link.close()

    async def _pass_on(
        self,
        link: _Link,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        from_client_side: bool,
    ) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(_CHUNK):
                if not from_client_side and chunk.endswith(_DONE):
                    if link.greeted and self._strikes(self.rates.lost_answer):
                        self.counts["lost answer"] += 1
                        break
                    link.greeted = True
                if self._strikes(self.rates.cut):
                    self.counts["cut"] += 1
                    break
                if self._strikes(self.rates.delay):
                    self.counts["delay"] += 1
                    await asyncio.sleep(
                        self._random.uniform(0, self.rates.longest_delay)
                    )
                writer.write(chunk)
                await writer.drain()
        link.close()

    def _strikes(self, rate: float) -> bool:
        return rate > 0 and self._random.random() < rate
