"""The queue between the loop and the writer: bounded, in order, what is dropped is dropped speech first."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.ledger.support import SECRET, WHO, ended, said, started
from voxtrad.events.types import AgentSpeechStarted, Decision, Event
from voxtrad.ledger.backlog import Backlog, Room
from voxtrad.ledger.ledger import open_ledger
from voxtrad.ledger.store import Settings
from voxtrad.outbound.delivery import Endpoint


def speech() -> Event:
    return AgentSpeechStarted(**WHO)


def everything(backlog: Backlog[str]) -> list[Event | str]:
    return backlog.take(10_000, 0.0)


def test_in_order_with_jobs_among_the_events() -> None:
    backlog: Backlog[str] = Backlog(Room())
    first, last = started(), ended()
    backlog.put_event(first)
    backlog.put_job("job")
    backlog.put_event(last)
    assert backlog.take(2, 0.0) == [first, "job"]
    assert everything(backlog) == [last]
    assert backlog.events == 0


def test_where_there_is_no_room_the_oldest_speech_goes_first() -> None:
    backlog: Backlog[str] = Backlog(Room(events=4))
    words, first, second = said("hello"), speech(), Decision(**WHO, at=1.0, what="x", reason="")
    for event in (first, words, second, words, words, ended()):
        backlog.put_event(event)
    assert [type(event).__name__ for event in everything(backlog)] == ["UserTranscript"] * 3 + ["CallEnded"]
    assert backlog.dropped == 2


def test_with_no_speech_left_what_comes_is_refused() -> None:
    backlog: Backlog[str] = Backlog(Room(events=2))
    kept = [started(), said("a")]
    for event in (*kept, said("b"), speech()):
        backlog.put_event(event)
    assert everything(backlog) == kept
    assert backlog.dropped == 2


def test_the_bytes_are_bounded_too() -> None:
    backlog: Backlog[str] = Backlog(Room(bytes=10_000))
    backlog.put_event(said("x" * 9_000))
    backlog.put_event(said("y" * 9_000))
    backlog.put_event(said("z"))
    assert [event.text[0] for event in everything(backlog)] == ["x", "z"]  # type: ignore[union-attr]  # transcripts
    assert backlog.dropped == 1


def test_what_is_given_back_comes_first_again() -> None:
    backlog: Backlog[str] = Backlog(Room())
    events = [started(), speech(), ended()]
    for event in events:
        backlog.put_event(event)
    batch = backlog.take(2, 0.0)
    backlog.put_job("later")
    backlog.give_back(batch)
    assert backlog.events == 3
    assert everything(backlog) == [*events, "later"]


def test_after_closing_nothing_comes_in_and_the_rest_comes_out() -> None:
    backlog: Backlog[str] = Backlog(Room())
    backlog.put_event(started())
    backlog.close()
    assert not backlog.put_job("late")
    backlog.put_event(ended())
    assert not backlog.finished
    assert len(everything(backlog)) == 1
    assert backlog.finished
    assert backlog.dropped == 1


def test_taking_waits_for_another_thread() -> None:
    backlog: Backlog[str] = Backlog(Room())
    taken: list[Event | str] = []
    taker = threading.Thread(target=lambda: taken.extend(backlog.take(1, 60.0)))
    taker.start()
    backlog.put_job("job")
    taker.join(60)
    assert taken == ["job"]


@given(st.lists(st.sampled_from(["words", "speech", "job", "take", "give back"]), max_size=80), st.integers(1, 6))
@settings(deadline=None)
def test_whatever_happens_the_order_stays_and_only_speech_is_missing_while_there_is_some(
    steps: list[str], room: int
) -> None:
    backlog: Backlog[str] = Backlog(Room(events=room))
    came: list[Event | str] = []
    out: list[Event | str] = []
    batch: list[Event | str] = []
    for number, step in enumerate(steps):
        match step:
            case "job":
                job = f"job {number}"
                came.append(job)
                backlog.put_job(job)
            case "take":
                out += batch
                batch = backlog.take(2, 0.0)
            case "give back":
                backlog.give_back(batch)
                batch = []
            case _:
                event = said(f"{number}") if step == "words" else speech()
                came.append(event)
                backlog.put_event(event)
    out += batch + everything(backlog)
    places = [next(i for i, item in enumerate(came) if item is other) for other in out]
    assert places == sorted(set(places))
    assert len(out) + backlog.dropped == len(came)
    assert backlog.events == 0
    assert [item for item in out if isinstance(item, str)] == [item for item in came if isinstance(item, str)]


async def test_a_writer_at_rest_is_woken_for_each_event_with_nothing_else_to_do(tmp_path: Path) -> None:
    endpoint = Endpoint("crm", "http://127.0.0.1:1/", (SECRET,), ("*",))
    async with open_ledger(tmp_path, Settings((endpoint,))) as ledger:
        written = asyncio.Event()
        ledger.on_due(lambda names: written.set())
        for event in (started(), said("hello"), said("there")):
            await asyncio.sleep(0.2)  # now it is at rest, and by itself for some seconds
            written.clear()
            ledger.record(event)
            async with asyncio.timeout(2):
                await written.wait()
