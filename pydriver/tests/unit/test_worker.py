"""What the worker's threads share: the bell that wakes them, the results they leave."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from ocr_guardrails import worker
from ocr_guardrails.models import Job
from ocr_guardrails.worker import Recognition, _Bell, _Finished, _Live, _Offers

NEVER = 3600.0
DEADLINE = 60.0


def finished(number: int, text: str = "text") -> _Finished:
    job = Job(
        job_id=number,
        document_id=number,
        filename="a.png",
        file_path=None,
        file_hash=None,
        file_size=None,
        mime_type=None,
        priority=5,
        attempt=1,
        max_attempts=3,
        lease_token=UUID(int=number),
        lease_expires_at=datetime.now(UTC),
        lease=timedelta(minutes=5),
    )
    return _Finished(_Live(job), "w", Recognition(text, 90.0, 1, 1, "", "null 1", 1))


def numbers(taken: list[_Finished]) -> list[object]:
    return [each.live.job.document_id for each in taken]


class Waiters:
    """Threads that wait for a bell, and say that they woke up."""

    def __init__(self, bell: _Bell, count: int) -> None:
        self.woken: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._wait, args=(bell, number), daemon=True)
            for number in range(count)
        ]
        for thread in self._threads:
            thread.start()
        while len(bell._condition._waiters) < count:  # type: ignore[attr-defined]
            time.sleep(0.001)

    def _wait(self, bell: _Bell, number: int) -> None:
        bell.wait()
        self.woken.put(number)

    def join(self) -> None:
        for thread in self._threads:
            thread.join(DEADLINE)
            assert not thread.is_alive()


@contextmanager
def waiting(bell: _Bell, count: int) -> Iterator[Waiters]:
    waiters = Waiters(bell, count)
    yield waiters
    bell.close()
    waiters.join()


def test_a_ring_wakes_one_and_the_others_sleep_on() -> None:
    bell = _Bell(NEVER)
    bell.answer()
    with waiting(bell, 4) as waiters:
        bell.ring()
        waiters.woken.get(timeout=DEADLINE)
        bell.ring()
        waiters.woken.get(timeout=DEADLINE)
        # two rings, two threads: whatever else wakes now would have been ready before
        with pytest.raises(queue.Empty):
            waiters.woken.get(timeout=0.05)


def test_a_ring_that_nobody_waits_for_is_kept() -> None:
    bell = _Bell(NEVER)
    bell.answer()
    bell.ring()
    bell.wait()
    # and is answered by that: the next one waits
    with waiting(bell, 1) as waiters, pytest.raises(queue.Empty):
        waiters.woken.get(timeout=0.05)


def test_a_ring_that_is_passed_on_wakes_one_and_is_not_kept() -> None:
    bell = _Bell(NEVER)
    bell.answer()
    bell.pass_on()
    with waiting(bell, 2) as waiters:
        with pytest.raises(queue.Empty):
            waiters.woken.get(timeout=0.05)
        bell.pass_on()
        waiters.woken.get(timeout=DEADLINE)
        with pytest.raises(queue.Empty):
            waiters.woken.get(timeout=0.05)


def test_a_claim_answers_the_rings_before_it() -> None:
    bell = _Bell(NEVER)
    bell.ring()
    bell.answer()
    with waiting(bell, 1) as waiters, pytest.raises(queue.Empty):
        waiters.woken.get(timeout=0.05)


def test_one_of_many_polls_for_all() -> None:
    bell = _Bell(NEVER)
    bell.answer()
    bell._poll_at = time.monotonic() + 0.05
    with waiting(bell, 4) as waiters:
        waiters.woken.get(timeout=DEADLINE)
        with pytest.raises(queue.Empty):
            waiters.woken.get(timeout=0.1)


def test_a_closed_bell_lets_nobody_wait() -> None:
    bell = _Bell(NEVER)
    bell.answer()
    with waiting(bell, 3):
        pass
    bell.answer()
    bell.wait()


def test_what_waits_is_taken_together_in_order() -> None:
    offers = _Offers()
    for number in range(3):
        assert offers.put(finished(number))
    assert numbers(offers.take()) == [0, 1, 2]


def test_an_offer_has_a_limit_of_results(monkeypatch: pytest.MonkeyPatch) -> None:
    offers = _Offers()
    for number in range(5):
        offers.put(finished(number))
    monkeypatch.setattr(worker, "_OFFERED_RESULTS", 2)
    assert [numbers(offers.take()) for _ in range(3)] == [[0, 1], [2, 3], [4]]


def test_an_offer_has_a_limit_of_characters_but_takes_a_longer_text_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    offers = _Offers()
    for number, length in enumerate([10, 90, 200, 10]):
        offers.put(finished(number, "a" * length))
    monkeypatch.setattr(worker, "_OFFERED_CHARACTERS", 100)
    assert [numbers(offers.take()) for _ in range(3)] == [[0, 1], [2], [3]]


@pytest.mark.parametrize(
    ("limit", "value"), [("_OFFERED_RESULTS", 2), ("_OFFERED_CHARACTERS", 8)]
)
def test_who_reads_faster_than_is_written_waits(
    monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    monkeypatch.setattr(worker, limit, value)
    offers = _Offers()
    offers.put(finished(0))
    offers.put(finished(1))
    third = threading.Thread(target=offers.put, args=(finished(2),), daemon=True)
    third.start()
    third.join(0.05)
    assert third.is_alive()
    assert numbers(offers.take()) == [0, 1]
    third.join(DEADLINE)
    assert numbers(offers.take()) == [2]


def test_it_is_idle_when_the_last_offer_was_answered() -> None:
    offers = _Offers()
    assert offers.wait_until_idle(0)
    offers.put(finished(0))
    assert not offers.wait_until_idle(0)
    offers.take()
    # on its way
    assert not offers.wait_until_idle(0)
    writer = threading.Thread(target=offers.take, daemon=True)
    writer.start()
    assert offers.wait_until_idle(DEADLINE)
    offers.close()
    writer.join(DEADLINE)


def test_a_closed_one_takes_nothing_and_offers_nothing() -> None:
    offers = _Offers()
    offers.put(finished(0))
    offers.close()
    assert not offers.put(finished(1))
    assert offers.take() == []


def test_closing_lets_go_who_waits_for_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "_OFFERED_RESULTS", 1)
    offers = _Offers()
    offers.put(finished(0))
    answers: queue.SimpleQueue[bool] = queue.SimpleQueue()
    waiter = threading.Thread(
        target=lambda: answers.put(offers.put(finished(1))), daemon=True
    )
    waiter.start()
    offers.close()
    assert answers.get(timeout=DEADLINE) is False
