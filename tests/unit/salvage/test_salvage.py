"""Recordings that an earlier run left at the PBX: kept where the call's record wants them, deleted where not."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.ledger.support import ended, started
from voxtrad.events.types import Event, RecordingReady
from voxtrad.ledger.ledger import open_ledger
from voxtrad.ledger.recordings import FOLDER, OWNER, owner_of
from voxtrad.ledger.store import Settings
from voxtrad.leg import LegError
from voxtrad.salvage import fetch_recordings
from voxtrad.telephony.recordings import write_tracks


@dataclass
class AtThePbx:
    """A recording that waits."""

    broken: bool = False
    done: list[str] = field(default_factory=list)

    async def pause(self) -> None:
        raise AssertionError("it is over")

    resume = pause

    async def stop(self) -> None:
        self.done.append("stop")

    async def save(self, path: Path) -> float:
        if self.broken:
            raise LegError("it cannot be read")
        self.done.append("save")
        return await asyncio.to_thread(write_tracks, bytes(1600), bytes(1600), 8000, path)

    async def discard(self) -> None:
        self.done.append("discard")


async def test_each_recording_gets_what_its_call_allows(tmp_path: Path) -> None:
    found = {name: AtThePbx() for name in ("c_broken", "c_fetched", "c_gone", "c_kept", "c_live", "c_secret", "doctor")}
    found["c_broken"].broken = True
    told: list[Event] = []
    async with open_ledger(tmp_path, Settings(privacy={"spy": "none"})) as ledger:
        for call_id in ("c_broken", "c_fetched", "c_kept", "c_live"):
            ledger.record(started(call_id))
        ledger.record(started("c_secret", agent="spy"))
        ledger.record(ended("c_kept"))
        ledger.record(RecordingReady(call_id="c_fetched", agent="support", location="/", seconds=1.0))
        await ledger.flush()
        await fetch_recordings(found, ledger, tmp_path, told.append, busy=lambda call_id: call_id == "c_live")
        assert await ledger.recording("c_kept") == tmp_path / FOLDER / "c_kept.wav"
    assert {name: recording.done for name, recording in found.items()} == {
        "c_broken": ["stop"],
        "c_fetched": ["stop", "discard"],
        "c_gone": ["stop", "discard"],
        "c_kept": ["stop", "save", "discard"],
        "c_live": [],
        "c_secret": ["stop", "discard"],
        "doctor": ["stop", "discard"],
    }
    (ready,) = told
    assert isinstance(ready, RecordingReady)
    assert (ready.call_id, ready.agent, ready.seconds) == ("c_kept", "support", 0.1)
    assert [path.name for path in (tmp_path / FOLDER).iterdir()] == ["c_kept.wav"]


def test_an_owner_keeps_its_name(tmp_path: Path) -> None:
    data_dir = tmp_path / "var"
    name = owner_of(data_dir)
    assert len(name) == 16 and name.isalnum() and owner_of(data_dir) == name
    assert (data_dir / OWNER).stat().st_mode & 0o777 == 0o600
    assert owner_of(tmp_path / "another") != name
    (data_dir / OWNER).write_text("../../nonsense\n")
    assert owner_of(data_dir) not in (name, "../../nonsense") and owner_of(data_dir).isalnum()


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"0123456789abcdef0"])
def test_an_owners_file_that_is_broken_is_made_anew(content: bytes, tmp_path: Path) -> None:
    (tmp_path / OWNER).write_bytes(content)
    name = owner_of(tmp_path)
    assert len(name) == 16 and owner_of(tmp_path) == name


def test_without_a_place_for_it_there_is_no_name(tmp_path: Path) -> None:
    (tmp_path / "var").touch()
    assert owner_of(tmp_path / "var") == ""
