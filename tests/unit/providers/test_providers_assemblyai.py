"""AssemblyAI over its own protocol: what is asked, what is made of turns, and what its refusals mean."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.fakes.assemblyai_server import fake_assemblyai
from tests.unit.providers.benches import KEY, make
from voxtrad.providers.base import (
    BadKey,
    BadRequest,
    MalformedAnswer,
    QuotaExceeded,
    RateLimited,
    Transcript,
    TurnSignal,
    Unreachable,
)
from voxtrad.providers.stt.assemblyai import AssemblyAIOptions, Turn


def build(server, **options):
    return make("stt", "assemblyai", {"base_url": server.url, "api_key": KEY, "timeout": 20}, options)


async def test_it_ends_turns_and_finalize_is_no_reason():
    async with fake_assemblyai(key=KEY) as server:
        stt = build(server, keyterms=["Acme"], min_turn_silence="400ms", vad_threshold=0.5)
        assert stt.capabilities.end_of_turn and not stt.capabilities.punctuates
        assert stt.capabilities.turn_silence == 1.28
        assert build(server, max_turn_silence="2s").capabilities.turn_silence == 2.0
        stream = await stt.open(rate=8000, language="en-GB", hints=["order number", "a", "order number"])
        await stream.send(bytes(8000))
        await stream.finalize()
        events = stream.events()
        assert [await anext(events) for _ in range(6)] == [
            TurnSignal("started"),
            Transcript("g", final=False),
            Transcript("goodbye", final=False),
            Transcript("goodbye", final=False),
            TurnSignal("eager_end", "goodbye", 0.02),
            Transcript("goodbye", final=True),
        ]
        assert await anext(events) == TurnSignal("end", "goodbye", 0.9)
        await stream.aclose()
        await stt.aclose()
        await server.closed.wait()
        assert server.texts == [{"type": "Terminate"}]
        assert server.headers[0]["Authorization"] == KEY
        assert server.queries == [
            {
                "sample_rate": "8000",
                "encoding": "pcm_s16le",
                "speech_model": "universal-streaming-english",
                "format_turns": "false",
                "keyterms_prompt": json.dumps(["Acme", "order number"]),
                "min_turn_silence": "400",
                "vad_threshold": "0.5",
            }
        ]


async def test_voxtrads_detector_can_end_turns_and_formatted_text_is_waited_for():
    async with fake_assemblyai() as server:
        stt = build(server, ends_turns=False, format_turns=True)
        assert not stt.capabilities.end_of_turn and stt.capabilities.punctuates
        stream = await stt.open(rate=8000, language="de")
        await stream.send(bytes(8000))
        await stream.finalize()
        events = stream.events()
        seen = [await anext(events) for _ in range(3)]
        assert seen[-1] == Transcript("Goodbye.", final=True)
        assert not any(isinstance(event, TurnSignal) for event in seen)
        await stream.aclose()
        await stt.aclose()
        assert server.texts[0] == {"type": "ForceEndpoint"}
        assert server.queries[0]["speech_model"] == "universal-streaming-multilingual"


@given(pieces=st.lists(st.integers(1, 30000), min_size=1, max_size=8), rate=st.sampled_from([8000, 16000]))
@settings(deadline=None, max_examples=20)
def test_no_piece_of_audio_is_shorter_or_longer_than_the_api_takes(pieces, rate):
    from voxtrad.providers.stt.assemblyai import AssemblyAIOptions, AssemblyAIStream

    class Socket:
        def __init__(self):
            self.sent = []

        async def send_bytes(self, data):
            self.sent.append(data)

        async def send_json(self, message):
            pass

    async def run():
        socket = Socket()
        stream = AssemblyAIStream("assemblyai", socket, rate, "linear", AssemblyAIOptions(ends_turns=False))
        for size in pieces:
            await stream.send(bytes(2 * size))
        await stream.finalize()
        assert all(0.05 <= len(sent) / 2 / rate <= 1 for sent in socket.sent)
        assert sum(map(len, socket.sent)) >= 2 * sum(pieces)

    import asyncio

    asyncio.run(run())


@pytest.mark.parametrize(
    ("refusal", "error"),
    [
        ((1008, "Unauthorized Connection: Too many concurrent sessions"), RateLimited),
        ((1008, "Unauthorized Connection: insufficient account balance"), QuotaExceeded),
        ((1008, "Unauthorized Connection: Missing Authorization header"), BadKey),
        ((3006, "Invalid speech_model"), BadRequest),
        ((3008, "Session Expired: Maximum session duration exceeded"), Unreachable),
    ],
)
async def test_a_refusal_is_typed(refusal, error):
    async with fake_assemblyai(refusal=refusal) as server:
        stt = build(server)
        with pytest.raises(error) as raised:
            await stt.open(rate=8000, language="en")
        assert type(raised.value) is error and KEY not in str(raised.value.message)
        await stt.aclose()


async def test_a_turn_of_another_shape_is_malformed():
    async with fake_assemblyai(behaviour="odd shape") as server:
        stt = build(server)
        stream = await stt.open(rate=8000, language="en")
        await stream.send(bytes(1600))
        with pytest.raises(MalformedAnswer):
            [event async for event in stream.events()]
        await stream.aclose()
        await stt.aclose()


def told(text, *, end=False, utterance=""):
    return {
        "type": "Turn",
        "turn_is_formatted": False,
        "end_of_turn": end,
        "transcript": text,
        "end_of_turn_confidence": 0.5,
        "words": [{"text": word} for word in text.split()],
        "utterance": utterance,
    }


def test_an_eager_end_is_taken_back_when_more_is_said():
    turn = Turn(signals=True, formatted=False)
    turn.events(told("my order"), "a")
    assert turn.events(told("my order", utterance="my order"), "a")[-1] == TurnSignal("eager_end", "my order", 0.5)
    assert turn.events(told("my order is"), "a") == [
        TurnSignal("resumed", "my order is"),
        Transcript("my order is", final=False),
    ]
    assert turn.events(told("my order is late", end=True), "a")[-1] == TurnSignal("end", "my order is late", 0.5)


MESSAGES = st.dictionaries(
    st.sampled_from(["type", "transcript", "words", "end_of_turn", "utterance", "turn_is_formatted"]),
    st.sampled_from(["Turn", "SpeechStarted", "Begin", "x", "", True, False, None, 3, [], [{"text": "x"}], [1], {}]),
)


@given(st.lists(MESSAGES, max_size=10), st.booleans(), st.booleans())
@settings(deadline=None)
def test_any_message_gives_events_or_is_malformed(messages, signals, formatted):
    turn = Turn(signals=signals, formatted=formatted)
    for message in messages:
        try:
            events = turn.events(message, "assemblyai")
        except MalformedAnswer:
            continue
        assert signals or not any(isinstance(event, TurnSignal) for event in events)


@pytest.mark.parametrize(
    "options",
    [
        {"keyterms": ["x" * 51]},
        {"keyterms": ["term"] * 101},
        {"ends_turns": False, "end_of_turn_confidence": 0.5},
        {"min_turn_silence": "2s", "max_turn_silence": "1s"},
        {"vad_threshold": 1.5},
    ],
)
def test_what_would_be_refused_or_do_nothing_is_refused(options):
    with pytest.raises(ValidationError):
        AssemblyAIOptions.model_validate(options)
