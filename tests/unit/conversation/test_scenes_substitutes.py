"""Scenes in which one of two providers dies: the other takes over before the caller has heard nothing for 4 seconds.

The stage proves that for each scene; fillers must not be what saves it, so all are played with and without.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from stage import FOREVER, Answer, Caller, Model, Played, Recogniser, Synthesis, later, play

from voxtrad.conversation.call import Call
from voxtrad.conversation.listener import PRE_ROLL
from voxtrad.events.types import StageMeasured
from voxtrad.providers.base import Unreachable
from voxtrad.providers.fallback.llm import FallbackLLM
from voxtrad.providers.fallback.stt import FallbackSTT
from voxtrad.providers.fallback.tts import FallbackTTS

pytestmark = [
    pytest.mark.virtual_time,
    pytest.mark.parametrize("filler", [[], ["One moment."]], ids=["no fillers", "fillers"]),
]

GONE = Unreachable("the vendor is gone", provider="vendor")
TEXT = "Your order was sent on Monday. It should have been there by now, I think."


class Voices(FallbackTTS):
    """As the stage looks at one."""

    def __init__(self, *voices: Synthesis) -> None:
        super().__init__(voices)
        self._all = voices

    @property
    def open_voices(self) -> int:
        return sum(voice.open_voices for voice in self._all)


async def asks_once(caller: Caller) -> None:
    await caller.says("where is my order")
    await caller.answered(3.5)


async def trails_off(caller: Caller) -> None:
    """The agent waits 3 s for the rest of it."""
    await caller.says("I want to know where my order is and")
    await caller.answered(3.5)


def check(played: Played, answer: str = TEXT) -> None:
    assert played.ended.outcome == "caller_hangup", played.ended
    assert played.said() == [answer]


@pytest.mark.parametrize("delay", [0.2, 0.8])
@pytest.mark.parametrize(
    "dies",
    [[GONE], [FOREVER], [3.9, "Late."], ["It was", FOREVER], ["It was", 2.0, GONE]],
    ids=["fails", "hangs", "is late", "stalls after words", "breaks after words"],
)
async def test_model_dies(dies: Sequence[Answer], delay: float, filler: list[str]) -> None:
    model = FallbackLLM([Model([dies], delay=delay, name="a"), Model([[TEXT]], delay=delay, name="b")])
    played = await play(asks_once, config={"filler": filler}, model=model)  # type: ignore[arg-type]  # made of two
    heard = " ".join(played.said())
    assert played.ended.outcome == "caller_hangup"
    assert heard.endswith(TEXT), heard
    await model.aclose()


async def test_model_stalls_after_a_sentence(filler: list[str]) -> None:
    first = Model([["Your order was sent on Monday. It", FOREVER]], name="a")
    model = FallbackLLM([first, Model([["should be there."]], name="b")])
    played = await play(asks_once, config={"filler": filler}, model=model)  # type: ignore[arg-type]  # made of two
    check(played, "Your order was sent on Monday. It should be there.")
    await model.aclose()


@pytest.mark.parametrize("second", [0.0, 1.0])
@pytest.mark.parametrize("sentence", ["Your order", "It should"])
@pytest.mark.parametrize("how", ["fails", "stalls"])
@pytest.mark.parametrize("thinking", [0.2, 1.5])
async def test_voice_dies(how: str, sentence: str, second: float, thinking: float, filler: list[str]) -> None:
    voice = Voices(Synthesis(**{how: {sentence: second}}), Synthesis())  # type: ignore[arg-type]  # one of its own
    model = Model([[TEXT]], delay=thinking)
    played = await play(asks_once, config={"filler": filler}, model=model, voice=voice)  # type: ignore[arg-type]
    assert played.ended.outcome == "caller_hangup"
    (said,) = played.said()
    if not second:
        assert said == TEXT
    await voice.aclose()


async def test_what_another_voice_said_is_not_kept_as_the_firsts(filler: list[str]) -> None:
    first, second = Synthesis(fails={"Again": 0.0}), Synthesis()

    async def twice(call: Call) -> None:
        await call.answer()
        for _ in range(2):
            await call.say("Again and again.")
            await call.say("Now and then.")

    async def listens(caller: Caller) -> None:
        await caller.answered(6.0)

    voice = Voices(first, second)
    await play(listens, config={"filler": filler}, voice=voice, dialogue=twice)  # type: ignore[arg-type]  # one of its own
    assert second.spoken == ["Again and again.", "Now and then."] * 2
    await voice.aclose()


@pytest.mark.parametrize("at", [0.1, 0.5, 1.0, 1.4])
@pytest.mark.parametrize("delay", [0.3, 0.8])
async def test_recogniser_dies(at: float, delay: float, filler: list[str]) -> None:
    """The other one hears the utterance from its beginning."""
    first, second = Recogniser(delay=delay, final_delay=1.0), Recogniser(delay=delay, final_delay=1.0)
    second.saying = "where is my order"

    async def scene(caller: Caller) -> None:
        caller.stt = first
        await caller.waits(0.3)
        later(at, first.tell, GONE)
        await caller.says("where is my order")
        await caller.answered(3.5)

    stt = FallbackSTT([first, second])
    played = await play(scene, config={"filler": filler}, stt=stt, model=Model([[TEXT]]))  # type: ignore[arg-type]
    check(played)
    assert len(second.heard) >= PRE_ROLL * 320
    await stt.aclose()


@pytest.mark.parametrize("dead", ["stt", "llm", "tts", ""])
async def test_figures_name_who_answered(dead: str, filler: list[str]) -> None:
    first = Recogniser(name="stt 1")
    second = Recogniser(name="stt 2")
    second.saying = "where is my order"
    stt = FallbackSTT([first, second])
    answers: list[Answer] = [GONE] if dead == "llm" else [TEXT]
    model = FallbackLLM([Model([answers], name="llm 1"), Model([[TEXT]], name="llm 2")])
    fails = {"Your order": 0.0} if dead == "tts" else {}
    voice = Voices(Synthesis(fails=fails, name="tts 1"), Synthesis(name="tts 2"))

    async def scene(caller: Caller) -> None:
        caller.stt = first
        if dead == "stt":
            later(0.2, first.tell, GONE)
        await caller.says("where is my order")
        await caller.answered(3.5)

    played = await play(scene, config={"filler": filler}, stt=stt, model=model, voice=voice)  # type: ignore[arg-type]
    named = {figure.provider.split()[0]: figure.provider for figure in played.of(StageMeasured) if figure.provider}
    assert named == {kind: f"{kind} {2 if kind == dead else 1}" for kind in ("stt", "llm", "tts")}
    for several in (stt, model, voice):
        await several.aclose()


@pytest.mark.parametrize("dies", [[GONE], [FOREVER]], ids=["fails", "hangs"])
async def test_model_dies_when_most_of_the_time_is_spent(dies: Sequence[Answer], filler: list[str]) -> None:
    model = FallbackLLM([Model([dies], name="a"), Model([[TEXT]], name="b")])
    played = await play(trails_off, config={"filler": filler}, model=model)  # type: ignore[arg-type]  # made of two
    check(played)
    await model.aclose()
