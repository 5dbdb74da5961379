"""Deepgram through the real SDK: what is asked, and what is made of Nova's and Flux's messages."""

from __future__ import annotations

import asyncio
import sys

import pytest
from pydantic import ValidationError

from tests.fakes.deepgram_server import fake_deepgram
from tests.unit.providers.benches import KEY, make
from voxtrad.providers.base import BadKey, BadRequest, QuotaExceeded, RateLimited, Transcript, TurnSignal, Unreachable
from voxtrad.providers.extras import MissingExtra
from voxtrad.providers.stt.deepgram import DeepgramOptions


def build(server, **options):
    return make("stt", "deepgram", {"base_url": server.url, "api_key": KEY, "timeout": 20}, options)


async def test_nova_gives_partials_and_answers_finalize():
    async with fake_deepgram(key=KEY) as server:
        stt = build(server)
        assert stt.capabilities.punctuates and not stt.capabilities.end_of_turn
        stream = await stt.open(rate=8000, language="en-GB", hints=["order number", "a", "order number"])
        events = stream.events()
        await stream.send(bytes(8000))
        assert await anext(events) == Transcript("goodbye", final=False, confidence=0.98)
        await stream.finalize()
        assert await anext(events) == Transcript("goodbye", final=True, confidence=0.98)
        await stream.aclose()
        assert server.texts == [{"type": "Finalize"}, {"type": "CloseStream"}]
        [query] = server.queries
        assert [value for name, value in query if name == "keyterm"] == ["order number"]
        assert {
            "model": "nova-3",
            "language": "en-GB",
            "encoding": "linear16",
            "sample_rate": "8000",
            "interim_results": "true",
            "endpointing": "300",
        }.items() <= dict(query).items()


async def test_flux_ends_turns():
    async with fake_deepgram() as server:
        stt = build(server, model="flux-general-en", eot_threshold=0.8, eot_timeout="3s")
        assert stt.capabilities.end_of_turn
        stream = await stt.open(rate=8000, language="en", hints=["order number"])
        await stream.send(bytes(320))
        await stream.send(bytes(8000))
        await stream.finalize()
        events = stream.events()
        seen = [await anext(events) for _ in range(9)]
        assert seen == [
            TurnSignal("started", "g"),
            Transcript("g", final=False),
            Transcript("goodbye", final=False),
            TurnSignal("eager_end", "goodbye", 0.8),
            TurnSignal("resumed", "goodbye"),
            Transcript("goodbye", final=False),
            Transcript("goodbye", final=False),
            TurnSignal("eager_end", "goodbye", 0.8),
            Transcript("goodbye", final=True),
        ]
        assert await anext(events) == TurnSignal("end", "goodbye", 0.8)
        await stream.aclose()
        query = dict(server.queries[0])
        assert (query["eot_threshold"], query["eager_eot_threshold"], query["eot_timeout_ms"]) == ("0.8", "0.5", "3000")
        assert "language" not in query


async def test_flux_is_alive_while_nothing_is_said():
    async with fake_deepgram(threshold=1000) as server:
        stream = await build(server, model="flux-general-en").open(rate=8000, language="en")
        await stream.send(bytes(4000))
        assert await anext(stream.events()) == Transcript("", final=False)
        await stream.aclose()


@pytest.mark.parametrize(
    ("status", "error"),
    [(400, BadRequest), (401, BadKey), (402, QuotaExceeded), (403, BadKey), (429, RateLimited), (503, Unreachable)],
)
@pytest.mark.parametrize("model", ["nova-3", "flux-general-en"])
async def test_a_refused_handshake_is_typed_and_its_whole_trace_holds_no_key(status, error, model):
    async with fake_deepgram(status=status) as server:
        with pytest.raises(error) as raised:
            await build(server, model=model).open(rate=8000, language="en")
        shown = raised.getrepr(chain=True, showlocals=False)
        assert KEY not in f"{raised.value.message} {raised.value.hint} {raised.value.__cause__!r}"
        assert "Authorization" not in str(shown)


@pytest.mark.parametrize(
    ("behaviour", "error"), [("close 1011", Unreachable), ("close 1008", BadRequest), ("error", Unreachable)]
)
@pytest.mark.parametrize("model", ["nova-3", "flux-general-en"])
async def test_a_stream_that_the_server_ends_is_typed(behaviour, error, model):
    async with fake_deepgram(behaviour=behaviour) as server:
        stream = await build(server, model=model).open(rate=8000, language="en")
        await stream.send(bytes(320))
        with pytest.raises(error):
            async for _ in stream.events():
                pass
        await stream.send(bytes(320))
        await stream.finalize()
        await stream.aclose()


@pytest.mark.parametrize("model", ["nova-3", "flux-general-en"])
async def test_a_stream_without_audio_is_kept_open(model, monkeypatch):
    monkeypatch.setattr("voxtrad.providers.stt.deepgram._KEEP_ALIVE", 0.05)
    async with fake_deepgram() as server:
        stream = await build(server, model=model).open(rate=8000, language="en")
        reading = asyncio.ensure_future(anext(stream.events()))
        if model == "nova-3":
            await asyncio.wait_for(server.controlled.wait(), 5)
            assert server.texts[0] == {"type": "KeepAlive"}
            reading.cancel()
        else:
            assert await asyncio.wait_for(reading, 5) == TurnSignal("started", "g")
            assert server.audio >= 1600
        await stream.aclose()
        await asyncio.wait_for(server.closed.wait(), 5)


async def test_closing_tells_the_server_and_leaves_no_task():
    async with fake_deepgram() as server:
        before = asyncio.all_tasks()
        stream = await build(server).open(rate=8000, language="en")
        await stream.aclose()
        await asyncio.wait_for(server.closed.wait(), 5)
        assert not [task for task in asyncio.all_tasks() - before if task.get_name().startswith("stt-")]


def test_options_are_checked():
    with pytest.raises(ValidationError, match="greater than or equal to"):
        DeepgramOptions.model_validate({"eot_timeout": "100ms"})
    with pytest.raises(ValidationError):
        make("stt", "deepgram", {}, {})


def test_a_missing_package_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "deepgram", None)
    with pytest.raises(MissingExtra) as raised:
        make("stt", "deepgram", {"api_key": KEY}, {})
    assert raised.value.hint == "pip install 'voxtrad[deepgram]'"


FLUX = {"model": "flux-general-en"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({**FLUX, "smart_format": True}, "smart_format does not go with the model flux-general-en"),
        ({**FLUX, "endpointing": None}, "endpointing does not go"),
        ({"eot_threshold": 0.7}, "eot_threshold does not go with the model nova-3"),
        ({"model": "nova-2", "keyterms": ["Acme"]}, "keyterms do not go with the model nova-2"),
        ({**FLUX, "language": "de"}, "English only"),
        ({**FLUX, "eot_threshold": 0.6, "eager_eot_threshold": 0.7}, "must not be above"),
        ({**FLUX, "eot_threshold": 0.4}, "greater than or equal to 0.5"),
        ({**FLUX, "eager_eot_threshold": 0.95}, "less than or equal to 0.9"),
        ({"keyterms": ["term"] * 101}, "at most 100"),
    ],
)
def test_options_that_would_do_nothing_or_be_refused_are_refused(options, said):
    with pytest.raises(ValidationError, match=said):
        DeepgramOptions.model_validate(options)


async def test_what_flux_knows_of_the_others_is_asked_for_where_it_is_set():
    async with fake_deepgram() as server:
        stt = build(server, **FLUX, numerals=True, profanity_filter=True)
        await (await stt.open(rate=8000, language="en")).aclose()
        plain = build(server, **FLUX)
        await (await plain.open(rate=8000, language="en")).aclose()
        asked, not_asked = (dict(query) for query in server.queries)
        assert (asked["numerals"], asked["profanity_filter"]) == ("true", "true")
        assert not {"numerals", "profanity_filter"} & set(not_asked)
