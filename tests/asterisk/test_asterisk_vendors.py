"""A whole call through a real Asterisk with Deepgram, OpenAI and ElevenLabs, as their protocols are: local servers."""

from __future__ import annotations

import json
import wave
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from office import Company, configuration, working
from pbx import Pbx, PbxAri
from sipcaller import RATE, sip_caller

from tests.fakes.deepgram_server import fake_deepgram
from tests.fakes.elevenlabs_server import PER_CHARACTER, fake_elevenlabs
from tests.fakes.openai_server import Text, Tools, fake_openai
from voxtrad.audio.g711 import decode_ulaw, encode_ulaw
from voxtrad.events.types import AgentResponse, CallEnded, ToolCompleted, UserTranscript

pytestmark = pytest.mark.asterisk

SPEECH = Path(__file__).parents[1] / "unit" / "providers" / "speech" / "where-is-my-order-number-1234.wav"
KEY = "secret-key-0123456789"
LOUD = 500
ANSWER = ["Your order 1234 is", " on its way."]
AGENT = """
    greeting: "Hi, how can I help?"
    stt: {provider: deepgram, endpointing: null}
    llm: openai
    tts: {provider: elevenlabs, encoding: ENCODING}
    vad: energy
    turn: {min_silence: 0.4s}
    interrupt: {enabled: false}
    filler: []
    tools: [lookup_order]
"""


@pytest.fixture
async def company() -> AsyncIterator[Company]:
    async with Company().open() as company:
        yield company


def loud_bytes() -> int:
    """How much of what the caller says is speech: in 16-bit samples at 8000 a second."""
    with wave.open(str(SPEECH)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2").astype(int)
    frames = samples[: samples.size // 160 * 160].reshape(-1, 160)
    return int((np.abs(frames).max(axis=1) >= LOUD).sum()) * 320


def loud_seconds(heard: NDArray[np.int16]) -> float:
    return np.count_nonzero(np.abs(heard.astype(int)) >= LOUD // 2) / RATE


def as_heard(sample: int) -> int:
    """What a telephone that speaks u-law makes of a sample."""
    return int.from_bytes(decode_ulaw(encode_ulaw(sample.to_bytes(2, "little", signed=True))), "little", signed=True)


AHEAD = as_heard(0x0201)
"""The stand-in's sound in linear PCM, as it makes it for what is spoken ahead of calls."""
IN_CALL = int.from_bytes(decode_ulaw(b"\x10"), "little", signed=True)
"""Its sound in u-law."""


def utterance_of(sent: NDArray[np.int16]) -> bytes:
    """What the caller said, from its first loud sample to its last, as it went out."""
    loud = np.flatnonzero(np.abs(sent.astype(int)) >= LOUD)
    return encode_ulaw(sent[loud[0] : loud[-1] + 1].astype("<i2").tobytes())


def intact(said: bytes, arrived: bytes) -> float:
    """How much of what was said has arrived as it was, in frames: a busy machine may be late with one of them, and what
    is coded anew has next to none."""
    frames = [said[at : at + 160] for at in range(0, len(said) - 159, 160)]
    return sum(frame in arrived for frame in frames) / len(frames)


@pytest.mark.parametrize(
    ("transport", "encoding"), [("websocket", "auto"), ("websocket", "pcm"), ("audiosocket", "ulaw"), ("rtp", "auto")]
)
async def test_three_vendors_in_one_call(
    pbx: Pbx, ari: PbxAri, company: Company, tmp_path: Path, transport: str, encoding: str
) -> None:
    company.statuses["1234"] = "on its way"
    question = "where is my order number 1234"
    wanted = Tools([("call_1", "lookup_order", [json.dumps({"order_id": "1234"})])])
    async with AsyncExitStack() as stack:
        ears = await stack.enter_async_context(
            fake_deepgram(key=KEY, text=question, enough=loud_bytes() // 2, threshold=LOUD)
        )
        mind = await stack.enter_async_context(fake_openai(wanted, Text(ANSWER), key=KEY))
        mouth = await stack.enter_async_context(fake_elevenlabs(key=KEY))
        agent = AGENT.replace("ENCODING", encoding)
        path = configuration(pbx, company, tmp_path, agent, transport=transport)
        servers = {"deepgram": ears.url, "openai": mind.url, "elevenlabs": mouth.url}
        providers = {name: {"base_url": url, "api_key": KEY} for name, url in servers.items()}
        path.write_text(f"{path.read_text()}providers: {json.dumps(providers)}\n")
        async with working(path) as office:
            async with sip_caller(pbx) as caller:
                await caller.dial("1000")
                await office.next(AgentResponse, 1)
                await caller.say(SPEECH)
                asked = await office.next(UserTranscript)
                assert asked.text == question, office.story()
                answered = await office.next(AgentResponse, 2)
                assert answered.text == "".join(ANSWER), office.story()
                assert (await office.next(ToolCompleted)).outcome == "ok", office.story()
                # The stand-in speaks a twentieth of a second for each character: all of both sentences is to be heard.
                said = len("Hi, how can I help?") + len("".join(ANSWER))
                await caller.hears(lambda heard: loud_seconds(heard) > 0.95 * said * PER_CHARACTER)
                await caller.hang_up()
                assert loud_seconds(caller.heard()) < 1.1 * said * PER_CHARACTER, office.story()
                heard, sent = caller.heard(), caller.said()
            ended = await office.next(CallEnded)
            assert ended.outcome == "caller_hangup", office.story()
            await ari.nothing_left()
        # Nothing was opened in a turn: one stream to hear, one socket to speak (and one for what is spoken ahead of
        # calls at this rate), one connection to think by.
        spoken = [query for query in mouth.queries if query["output_format"].endswith("_8000")]
        assert len(ears.queries) == 1 and len(spoken) == 2
        if encoding == "auto":  # G.711 all the way: what was made there is heard here, and the other way round
            assert [query["output_format"] for query in spoken] == ["pcm_8000", "ulaw_8000"]
            assert {int(sample) for sample in heard if abs(int(sample)) >= LOUD // 2} == {AHEAD, IN_CALL}
            assert dict(ears.queries[0])["encoding"] == "mulaw"
            assert intact(utterance_of(sent), bytes(ears.raw)) > 0.8
        assert len(mind.requests) == 2 and len(mind.connections) == 1
