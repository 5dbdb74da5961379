"""The caller's frames: re-framed to 20 ms, with silence from the clock where none come."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxtrad.telephony.pacing import FRAME, Inbox, Metronome, Pulse, Watchdog

SIZE = 320


async def taken(inbox: Inbox) -> list[bytes]:
    inbox.close()
    return [frame async for frame in inbox.frames()]


@settings(deadline=None)
@given(st.lists(st.binary(max_size=1000), max_size=12))
def test_pieces_of_any_size_come_out_as_whole_frames_in_order(pieces: list[bytes]) -> None:
    async def run() -> None:
        inbox = Inbox(SIZE, 0.0)
        for piece in pieces:
            inbox.put(piece, 0.0)
        frames = await taken(inbox)
        assert all(len(frame) == SIZE for frame in frames)
        whole = b"".join(pieces)
        assert b"".join(frames) == whole[: len(whole) - len(whole) % SIZE]

    asyncio.run(run())


async def test_silence_stands_in_for_every_20_ms_that_brought_nothing() -> None:
    inbox = Inbox(SIZE, 10.0)
    for tick in range(1, 51):
        inbox.tick(10.0 + tick * 0.02)
    assert await taken(inbox) == [bytes(SIZE)] * 50


async def test_a_late_frame_is_waited_for() -> None:
    inbox = Inbox(SIZE, 0.0)
    sound = b"\x01" * SIZE
    for tick in range(1, 101):
        now = tick * 0.02
        inbox.tick(now)
        if tick % 2 == 0:  # two at a time, every 40 ms: jitter, not silence
            inbox.put(sound, now)
            inbox.put(sound, now)
    assert await taken(inbox) == [sound] * 100


async def test_silence_begins_after_60_ms_and_ends_with_the_next_frame() -> None:
    inbox = Inbox(SIZE, 0.0)
    sound = b"\x01" * SIZE
    inbox.put(sound, 0.02)
    inbox.tick(0.04)
    inbox.tick(0.06)
    assert len(inbox) == 1
    inbox.tick(0.08)
    assert len(inbox) == 4  # the 60 ms that are missing
    inbox.tick(0.10)
    inbox.put(sound, 0.11)
    inbox.tick(0.12)
    assert await taken(inbox) == [sound, *[bytes(SIZE)] * 4, sound]


async def test_what_nobody_takes_is_dropped_oldest_first_and_counted() -> None:
    inbox = Inbox(SIZE, 0.0)
    for number in range(300):
        inbox.put(bytes([number % 256]) * SIZE, 0.0)
    assert inbox.dropped == 50
    frames = await taken(inbox)
    assert len(frames) == 250 and frames[0][0] == 50


async def test_a_waiting_consumer_gets_frames_as_they_come_and_the_end() -> None:
    inbox = Inbox(SIZE, 0.0)
    got: list[bytes] = []

    async def consume() -> None:
        async for frame in inbox.frames():
            got.append(frame)

    consumer = asyncio.create_task(consume())
    await asyncio.sleep(0)
    inbox.put(b"\x07" * SIZE, 0.0)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(got) == 1
    inbox.close()
    await consumer


@pytest.mark.virtual_time
async def test_a_watchdog_makes_silence_in_time_and_does_not_look_at_every_frame() -> None:
    loop = asyncio.get_running_loop()
    inbox = Inbox(SIZE, loop.time())
    looks: list[float] = []
    tick = inbox.tick

    def look(now: float) -> bool:
        looks.append(now)
        return tick(now)

    inbox.tick = look  # type: ignore[method-assign, assignment]  # counts, and does what it did
    watchdog = Watchdog(inbox)
    for _ in range(100):
        await asyncio.sleep(FRAME)
        inbox.put(bytes(SIZE), loop.time())
    assert len(inbox) == 100
    assert len(looks) <= 50
    await asyncio.sleep(1.0)
    assert len(inbox) == 150
    watchdog.stop()
    await asyncio.sleep(1.0)
    assert len(inbox) == 150


async def test_the_metronome_beats_for_all_and_rests_for_none() -> None:
    metronome, beats = Metronome(), asyncio.Queue[tuple[str, float]]()
    loop = asyncio.get_running_loop()
    begin = loop.time()
    metronome.add("a", lambda now: beats.put_nowait(("a", now)))
    metronome.add("b", lambda now: beats.put_nowait(("b", now)))
    seen = [await beats.get() for _ in range(20)]
    assert [name for name, _ in seen] == ["a", "b"] * 10
    assert seen[-1][1] - begin >= 0.2 - 0.005  # never early: ten beats of 20 ms
    metronome.remove("a")
    metronome.remove("a")
    while beats.qsize():
        beats.get_nowait()
    assert {(await beats.get())[0] for _ in range(3)} == {"b"}
    metronome.remove("b")
    assert metronome.resting


async def test_a_pulse_wakes_all_who_wait_and_forgets_the_cancelled() -> None:
    pulse = Pulse()
    waiting = [asyncio.create_task(pulse.wait()) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[1].cancel()
    await asyncio.sleep(0)
    pulse.fire()
    await asyncio.gather(waiting[0], waiting[2])
    assert waiting[1].cancelled()
    pulse.fire()
