"""Reloads and calls: a live call keeps what it started with, the next has the change, and a hundred disturb nobody."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from premises import Premises, asks, listens

from tests.asterisk.tones import ToneVoice, tones_of
from voxtrad.ledger.queries import CallFilter, list_calls
from voxtrad.ledger.schema import FILE_NAME
from voxtrad.providers.base import ProviderError, SpeechChunk
from voxtrad.telephony.simulated import SimulatedLeg


@pytest.fixture
def premises(tmp_path: Path) -> Premises:
    premises = Premises(tmp_path)
    premises.write(greeting="123", answer="4", edition="first")
    return premises


async def test_a_live_call_keeps_its_agent_and_the_next_has_the_new_one(premises: Premises) -> None:
    async with premises.open():

        async def script(leg: SimulatedLeg) -> None:
            await listens(leg)
            await premises.reload(greeting="567", answer="8", edition="second")
            assert premises.voices.open == ["first", "second"]
            await leg.say(tones_of("99"))
            await listens(leg)

        assert (await premises.call(script)).digits == "1234"
        assert premises.voices.open == ["second"]
        assert (await premises.call(asks("99"))).digits == "5678"


async def test_a_shorter_retention_is_in_effect_with_the_reload(premises: Premises) -> None:
    async with premises.open():
        ledger = premises.server.ledger

        async def kept() -> int:
            await ledger.flush()
            return len((await ledger.read(lambda db: list_calls(db, CallFilter()))).items)

        await premises.call(listens)
        await premises.reload(greeting="5")
        assert await kept() == 1
        text = premises.path.read_text(encoding="utf-8").replace("watch: false", "watch: false, retention: 0")
        premises.path.write_text(text, encoding="utf-8")
        assert (await premises.server.reloader.reload("the test")).ok
        assert await kept() == 0


async def test_a_voice_that_stalls_does_not_hold_a_reload_up(
    premises: Premises, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of it is in effect at once, what may be kept of a call too; and the next reload may name another voice."""
    async with premises.open():

        async def stalls(self: ToneVoice, text: str) -> AsyncIterator[SpeechChunk]:
            await asyncio.Event().wait()
            yield SpeechChunk(b"")

        working = ToneVoice.synthesize
        monkeypatch.setattr(ToneVoice, "synthesize", stalls)
        async with asyncio.timeout(10):
            premises.write(greeting="777", edition="second")
            with premises.path.open("a", encoding="utf-8") as file:
                file.write("    privacy: none\n")
            assert (await premises.server.reloader.reload("the test")).ok
        monkeypatch.setattr(ToneVoice, "synthesize", working)
        assert (await premises.call(listens)).digits == "777"
        ledger = premises.server.ledger
        await ledger.flush()
        (call,) = (await ledger.read(lambda db: list_calls(db, CallFilter()))).items
        assert call["privacy"] == "none"
        async with asyncio.timeout(10):
            await premises.reload(greeting="888", edition="third")
        assert premises.voices.open == ["third"]


async def test_a_disk_that_takes_nothing_does_not_hold_a_reload_up(premises: Premises) -> None:
    async with premises.open():
        await premises.server.ledger.flush()
        with contextlib.closing(sqlite3.connect(premises.path.parent / "data" / FILE_NAME)) as other:
            other.execute("BEGIN IMMEDIATE")  # nobody else can write
            async with asyncio.timeout(10):
                await premises.reload(greeting="777")
            assert (await premises.call(listens)).digits == "777"


async def test_the_providers_of_an_agent_nobody_talks_to_are_closed_at_once(premises: Premises) -> None:
    async with premises.open():
        await premises.reload(greeting="5", edition="second")
        await premises.reload(greeting="6", edition="third")
        assert premises.voices.open == ["third"]
        premises.path.write_text("agents: {", encoding="utf-8")
        assert not (await premises.server.reloader.reload("the test")).ok
        assert premises.voices.open == ["third"]
        assert (await premises.call(listens)).digits == "6"


async def test_a_configuration_that_cannot_be_put_to_work_leaves_nothing_open(premises: Premises) -> None:
    """The last of its providers cannot be built; those before it are closed, and the old ones serve on."""
    async with premises.open():
        types = premises.types
        works = types["vad"]["energy"]

        def broken(name: str, connection: object, options: object) -> object:
            raise ProviderError("no licence", provider=name)

        types["vad"]["energy"] = replace(works, build=broken)  # type: ignore[type-var]  # a ProviderType
        premises.write(greeting="5", edition="second")
        result = await premises.server.reloader.reload("the test")
        assert (result.ok, result.errors) == (False, ("energy (VAD): no licence",))
        assert premises.voices.open == ["first"]
        types["vad"]["energy"] = works
        assert (await premises.call(asks("9"))).digits == "1234"


async def test_a_fault_within_a_reload_ends_nothing(premises: Premises) -> None:
    async with premises.open():
        types = premises.types
        works = types["vad"]["energy"]
        types["vad"].clear()
        types["vad"]["energy"] = object()
        result = await premises.server.reloader.reload("the test")
        assert not result.ok
        types["vad"]["energy"] = works
        assert (await premises.call(listens)).digits == "123"
        await premises.reload(greeting="5")


async def test_a_hundred_reloads_disturb_no_call(premises: Premises) -> None:
    """Ten calls talk while the configuration is replaced under them; each hears its own agent to the end."""
    async with premises.open():
        over = asyncio.Event()

        async def reload() -> int:
            count = 0
            while count < 100 or not over.is_set():
                count += 1
                digit = str(count % 10)
                await premises.reload(greeting=digit * 3, answer=digit * 4, edition=str(count))
            return count

        async def calls() -> None:
            async def one() -> None:
                for _ in range(3):
                    heard = (await premises.call(asks("99", times=2))).digits
                    assert (len(heard) == 11 and len(set(heard)) == 1) or heard == "12344", heard

            async with asyncio.TaskGroup() as callers:
                for _ in range(10):
                    callers.create_task(one())

        async with asyncio.TaskGroup() as group:
            reloading = group.create_task(reload())
            await group.create_task(calls())
            over.set()
        assert reloading.result() >= 100
        assert len(premises.voices.open) == 1
        names = [type(event).__name__ for event in premises.events]
        assert names.count("CallStarted") == names.count("CallEnded") == 30
        assert "CallFailed" not in names and "ErrorOccurred" not in names
