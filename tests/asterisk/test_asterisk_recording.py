"""Recordings by a real Asterisk: both sides in step, silence where nothing may be kept, and none of it left there."""

from __future__ import annotations

import asyncio
import stat
import wave
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pbx import Pbx, PbxAri
from serving import Legs, serving, settings_for
from sipcaller import sip_caller
from tones import digits_in, tones_of

from voxtrad.audio.frames import Framer
from voxtrad.audio.wav import WavWriter
from voxtrad.leg import LegError, MediaPort

pytestmark = pytest.mark.asterisk


def tracks(path: Path) -> tuple[NDArray[np.int16], NDArray[np.int16], int]:
    """The caller's side, the agent's, and the rate."""
    with wave.open(str(path)) as reader:
        assert reader.getnchannels() == 2
        both = np.frombuffer(reader.readframes(reader.getnframes()), dtype="<i2").reshape(-1, 2)
        return both[:, 0], both[:, 1], reader.getframerate()


def spoken(digits: str, folder: Path) -> Path:
    path = folder / f"{digits}.wav"
    with WavWriter(path, 8000) as writer:
        writer.write(tones_of(digits))
    return path


async def play(port: MediaPort, digits: str) -> None:
    framer = Framer(port.rate)
    await port.play(framer.push(tones_of(digits, port.rate)) + framer.flush())
    await port.drained()


def kept(pbx: Pbx) -> list[str]:
    return [path.name for path in (pbx.folder / "spool/recording").iterdir()]


@pytest.mark.parametrize("transport", ["websocket", "audiosocket"])
async def test_both_sides_in_step_through_a_pause_and_on_hold(
    pbx: Pbx, ari: PbxAri, tmp_path: Path, transport: str
) -> None:
    legs, out = Legs(), tmp_path / "recordings/c_1.wav"
    async with serving(settings_for(pbx, transport=transport), legs) as telephony, sip_caller(pbx) as caller:
        dialling = asyncio.create_task(caller.dial("1000"))
        leg = await legs.next()
        port = await leg.open_media()
        recording = await leg.record("c_1")
        await leg.answer()
        await dialling
        await play(port, "12")
        await caller.say(spoken("34", caller.folder))
        await caller.hears_silence()
        await recording.pause()
        await play(port, "5")
        await caller.say(spoken("6", caller.folder))
        await caller.hears_silence(0.5)
        await recording.resume()
        await leg.hold("music")
        await caller.hears_sound(caller.heard().size)
        await leg.hold("silence")
        port = await leg.open_media()
        await play(port, "7")
        await caller.say(spoken("8", caller.folder))
        await caller.hears_silence()
        await caller.hang_up()
        await recording.stop()
        seconds = await recording.save(out)
        assert kept(pbx)
        await recording.discard()
        legs.let_go(leg)
        await telephony.wait_idle()
    left, right, rate = tracks(out)
    assert rate == 8000 and left.size == right.size == pytest.approx(seconds * rate)
    assert digits_in(left) == "348"
    assert digits_in(right)[:2] == "12" and digits_in(right)[-1] == "7" and "5" not in digits_in(right)[:2]
    asked, answered = np.flatnonzero(_loud(right)), np.flatnonzero(_loud(left))
    assert asked[0] < answered[0] < asked[-1] < answered[-1], "each spoke in turn"
    assert digits_in(right[: answered[0]]) == "12"
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert [path.name for path in out.parent.iterdir()] == ["c_1.wav"]
    assert kept(pbx) == []
    await ari.nothing_left()


def _loud(track: NDArray[np.int16]) -> NDArray[np.bool_]:
    return np.abs(track.astype(np.int32)) > 800


async def test_a_wideband_call_is_recorded_wide_and_may_be_thrown_away(pbx: Pbx, ari: PbxAri, tmp_path: Path) -> None:
    legs = Legs()
    async with serving(settings_for(pbx, format="slin16"), legs) as telephony:
        for name in ("c_2", "c_3"):
            channel = await ari.call("1000")
            leg = await legs.next()
            port = await leg.open_media()
            recording = await leg.record(name)
            await leg.answer()
            await play(port, "9")
            await recording.stop()
            await play(port, "1")
            if name == "c_2":
                await recording.save(tmp_path / "c_2.wav")
            assert kept(pbx)
            await recording.discard()
            await ari.delete(f"channels/{channel}")
            legs.let_go(leg)
        await telephony.wait_idle()
    _, right, rate = tracks(tmp_path / "c_2.wav")
    assert rate == 16000 and digits_in(right, rate) == "9"
    assert kept(pbx) == []
    await ari.nothing_left()


async def test_a_pbx_that_does_not_record(own_pbx: Pbx) -> None:
    (own_pbx.folder / "spool/recording").rmdir()
    (own_pbx.folder / "spool/recording").write_text("in the way")
    legs = Legs()
    async with serving(settings_for(own_pbx), legs) as telephony, own_pbx.ari() as ari:
        await ari.call("1000")
        leg = await legs.next()
        port = await leg.open_media()
        await leg.answer()
        with pytest.raises(LegError) as refused:
            await leg.record("c_4")
        assert "recording" in (refused.value.hint or "")
        await play(port, "1")  # the call goes on
        assert not [name for name in await ari.channels() if "Snoop" in name]
        await ari.hang_up_all()
        legs.let_go(leg)
        await telephony.wait_idle()
        await ari.nothing_left()


async def test_what_an_earlier_run_has_recorded_is_found(pbx: Pbx, ari: PbxAri, tmp_path: Path) -> None:
    legs = Legs()
    async with serving(settings_for(pbx, recorder="house7"), legs) as telephony:
        await ari.call("1000")
        leg = await legs.next()
        port = await leg.open_media()
        await leg.record("c_5")
        await leg.answer()
        await play(port, "42")
        await ari.hang_up_all()
        legs.let_go(leg)
        await telephony.wait_idle()
    async with serving(settings_for(pbx, recorder="house8"), Legs()) as telephony:
        assert await telephony.recordings() == {}
    async with serving(settings_for(pbx, recorder="house7"), Legs()) as telephony:
        found = await telephony.recordings()
        assert list(found) == ["c_5"]
        await found["c_5"].save(tmp_path / "c_5.wav")
        await found["c_5"].discard()
        assert await telephony.recordings() == {}
    _, right, rate = tracks(tmp_path / "c_5.wav")
    assert digits_in(right, rate) == "42"
    assert kept(pbx) == []


async def test_a_pbx_that_dies_in_the_call_gives_the_recording_when_it_is_back(own_pbx: Pbx, tmp_path: Path) -> None:
    legs = Legs()
    async with serving(settings_for(own_pbx), legs) as telephony, own_pbx.ari() as ari:
        await ari.call("1000")
        leg = await legs.next()
        port = await leg.open_media()
        recording = await leg.record("c_6")
        await leg.answer()
        await play(port, "31")
        await play(port, "5" * 8)  # what Asterisk has not written yet is lost with it
        await asyncio.to_thread(own_pbx.stop, kill=True)
        await recording.stop()
        saving = asyncio.create_task(recording.save(tmp_path / "c_6.wav"))
        await asyncio.to_thread(own_pbx.start)
        async with asyncio.timeout(60):
            await saving
            await recording.discard()
        legs.let_go(leg)
        await telephony.wait_idle()
        await telephony.wait_ready()
    _, right, rate = tracks(tmp_path / "c_6.wav")
    assert digits_in(right, rate).startswith("31")
    assert kept(own_pbx) == []
