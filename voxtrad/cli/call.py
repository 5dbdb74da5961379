"""`voxtrad call`: a whole call with real audio through the real pipeline, and no PBX."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import cast

from voxtrad.audio.resample import Resampler
from voxtrad.audio.wav import WavWriter, read_wav
from voxtrad.cli.common import add_config_option, agent_named, load_config, wants_color
from voxtrad.cli.timeline import line
from voxtrad.config.models import Config
from voxtrad.config.secrets import secrets_in
from voxtrad.core import Core
from voxtrad.errors import VoxtradError, in_words
from voxtrad.events.types import CallEnded, Event
from voxtrad.leg import LegInfo
from voxtrad.observability.log import configure as configure_log
from voxtrad.providers.base import TextToSpeech
from voxtrad.providers.registry import BUILT_IN_VOICE, provider_types
from voxtrad.telephony.simulated import SimulatedLeg

EXAMPLE = "voxtrad call support --wav config/demo/order.wav --wav config/demo/goodbye.wav --record call.wav"
PATIENCE = 20.0
"""Seconds that the caller waits for an answer."""


class _Append(argparse.Action):
    """Keeps `--say` and `--wav` in the order in which they were given."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: object, option: str | None = None
    ) -> None:
        namespace.lines = [*(namespace.lines or []), (self.dest, str(values))]


def configure(parser: argparse.ArgumentParser) -> None:
    add_config_option(parser)
    parser.add_argument("agent", help="the agent to call")
    parser.add_argument(
        "--say",
        action=_Append,
        metavar="TEXT",
        help="what the caller says next, in the built-in voice; the built-in recogniser does not understand it well",
    )
    parser.add_argument("--wav", action=_Append, metavar="FILE", help="what the caller says next, from a WAV file")
    parser.add_argument("--record", type=Path, metavar="OUT.wav", help="record the call: caller left, agent right")
    parser.add_argument("--rate", type=int, choices=(8000, 16000), default=8000, help="sample rate (default: 8000)")
    parser.add_argument("--from", dest="caller", default="100", metavar="NUMBER", help="the caller's number")
    parser.add_argument("-v", "--verbose", action="store_true", help="print the log as well")
    parser.set_defaults(lines=None)


def run(arguments: argparse.Namespace) -> int:
    """Exit code 0 when the call took place, 1 when it failed."""
    if arguments.record:
        try:
            arguments.record.touch()
        except OSError as error:
            raise VoxtradError(f"cannot write {arguments.record}: {in_words(error)}") from None
    redaction = configure_log(level="info" if arguments.verbose else "warning")
    config = load_config(arguments, handlers=True).config
    redaction.hide(secrets_in(config))
    agent_named(arguments.agent, config)
    return asyncio.run(_call(config, arguments))


async def _call(config: Config, arguments: argparse.Namespace) -> int:
    clock = asyncio.get_running_loop().time
    colour = wants_color(sys.stdout)
    outcome = ""
    async with Core(config, keep_speech=False) as core:
        speech = [await _speech(kind, value, arguments.rate) for kind, value in arguments.lines or []]
        began = clock()

        def show(event: Event) -> None:
            nonlocal outcome
            if isinstance(event, CallEnded):
                outcome = event.outcome
            if text := line(event, clock() - began, colour=colour):
                print(text, flush=True)

        core.bus.tap("timeline", (Event,), show)
        info = LegInfo(
            id="simulated", channel="Simulated/caller", caller=arguments.caller, dialled="1000", agent=arguments.agent
        )
        leg = SimulatedLeg(info, _caller(speech), rate=arguments.rate, clock=clock)
        await core.switchboard.take(leg)
        if arguments.record:
            with WavWriter(arguments.record, arguments.rate, channels=2) as recording:
                recording.write_stereo(bytes(leg.port.caller_track), bytes(leg.port.agent_track))
            print(f"recorded in {arguments.record}")
    return 0 if outcome and outcome != "failed" else 1


def _caller(speech: list[bytes]) -> Callable[[SimulatedLeg], Awaitable[None]]:
    """A polite caller: listens to the greeting, says one thing after the other, and waits for each answer."""

    async def act(leg: SimulatedLeg) -> None:
        await _answered(leg)
        for pcm in speech:
            await leg.say(pcm)
            await _answered(leg)

    return act


async def _answered(leg: SimulatedLeg) -> None:
    try:
        async with asyncio.timeout(PATIENCE):
            await leg.spoken_to()
    except TimeoutError:
        return
    await leg.quiet(1.0)


async def _speech(kind: str, value: str, rate: int) -> bytes:
    if kind == "wav":
        wav = read_wav(value)
        resampler = Resampler(wav.rate, rate)
        return resampler.push(wav.pcm) + resampler.flush()
    # The caller speaks with the built-in voice, whatever the agent has.
    built_in = provider_types()["tts"][BUILT_IN_VOICE]
    narrator = cast("TextToSpeech", built_in.build("caller", built_in.connection(), built_in.options()))
    voice = await narrator.open(rate=rate, language="en")
    try:
        return b"".join([chunk.pcm async for chunk in voice.synthesize(value)])
    finally:
        await voice.aclose()
        await narrator.aclose()
