"""Recordings over HTTP: fetched by who may read, deleted with the call, and waited for when the server stops."""

from __future__ import annotations

import asyncio
import io
import wave
from pathlib import Path

from tests.unit.api.running_server import READER, TOKENS, running, write_config
from voxtrad.events.types import AgentSpeechEnded, CallAnalyzed, CallEnded, RecordingReady

ANALYSIS = """analysis: {llm: {provider: scripted, rules: [], otherwise: '{"summary": "A call."}'}}"""


def recordings(folder: Path) -> list[Path]:
    return list((folder / "var/recordings").glob("*"))


async def test_a_recording_is_fetched_and_deleted(tmp_path: Path) -> None:
    async with running(write_config(tmp_path, server=TOKENS, agent="record: true")) as house:
        async with house.call():
            await house.happened(AgentSpeechEnded)
            call_id = house.events[0].call_id
            path = f"/v1/calls/{call_id}/recording"
            running_still = await house.ask("GET", path)
            assert (running_still.status, running_still.type) == (404, "application/problem+json")
        (ready,) = [event for event in house.events if isinstance(event, RecordingReady)]
        assert ready.location == path
        assert (await house.ask("GET", path, token="")).status == 401
        async with house.http.get(house.url + path, headers={"Authorization": f"Bearer {READER}"}) as answer:
            assert (answer.status, answer.content_type) == (200, "audio/wav")
            assert answer.headers["Cache-Control"] == "no-store"
            body = await answer.read()
        with wave.open(io.BytesIO(body)) as reader:
            assert reader.getnchannels() == 2 and reader.getnframes() > 1000
        headers = {"Authorization": f"Bearer {READER}", "Range": "bytes=0-3"}
        async with house.http.get(house.url + path, headers=headers) as answer:
            assert (answer.status, await answer.read()) == (206, b"RIFF")
        await house.server.ledger.flush()
        record = (await house.ask("GET", f"/v1/calls/{call_id}")).json
        assert record["recording"]["location"] == path and record["analysis"] is None
        assert (await house.ask("DELETE", f"/v1/calls/{call_id}", token=READER)).status == 403
        assert len(recordings(tmp_path)) == 1
        assert (await house.ask("DELETE", f"/v1/calls/{call_id}")).status == 204
        assert (await house.ask("GET", path)).status == 404
    assert recordings(tmp_path) == []


async def test_a_call_that_is_being_wrapped_up_is_not_deleted_and_a_server_that_stops_waits_for_it(
    tmp_path: Path,
) -> None:
    async with running(write_config(tmp_path, agent=f"record: true\n    {ANALYSIS}")) as house:
        board = house.server.core.switchboard
        held, keep = asyncio.Event(), asyncio.Event()
        async with house.call() as leg:
            await house.happened(AgentSpeechEnded)
            (session,) = board.calls.values()
            session.reporter.transcript.append({"speaker": "caller", "text": "hello", "at": 1.0})
            assert leg.recording is not None
            save = leg.recording.save

            async def slowly(path: Path) -> float:
                held.set()
                await keep.wait()
                return await save(path)

            leg.recording.save = slowly  # type: ignore[method-assign]  # a slow disk
            call_id = session.plan.call_id
            await leg.end("the caller hung up")
            async with asyncio.timeout(20):
                await held.wait()
            assert any(isinstance(event, CallEnded) for event in house.events), "the end is told at once"
            assert not board.calls and list(board.wrapping_up) == [call_id]
            refused = await house.ask("DELETE", f"/v1/calls/{call_id}")
            assert (refused.status, refused.type) == (409, "application/problem+json")
            draining = asyncio.create_task(board.drain(20.0))
            await house.happened(CallAnalyzed)
            assert not draining.done()
            keep.set()
            async with asyncio.timeout(20):
                assert await draining
        assert len(recordings(tmp_path)) == 1
        await house.server.ledger.flush()
        record = (await house.ask("GET", f"/v1/calls/{call_id}")).json
        assert record["analysis"] == {"summary": "A call.", "fields": {}, "success": None, "reason": ""}
