"""A call, as a dialogue sees it: answer, say, listen, think, hang up.

There is one `Call`, for the built-in dialogue and for a handler of one's own. It joins ears, mouth and agent, tells the
bus what happens, and keeps the transcript. Who carries the call, and what becomes of a call that breaks, is not known
here (`leg.py`, `session.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from voxtrad.config.models import AgentConfig
from voxtrad.config.templates import Template
from voxtrad.conversation.agent import Agent, Reply
from voxtrad.conversation.idle import IdleMonitor
from voxtrad.conversation.keypad import KeyPad
from voxtrad.conversation.report import Reporter
from voxtrad.conversation.speaker import Speaker, Spoken
from voxtrad.conversation.turns import Turn
from voxtrad.events.types import Outcome
from voxtrad.leg import Leg, LegGone, LegInfo

if TYPE_CHECKING:
    from voxtrad.conversation.listener import Listener

State = Literal["ringing", "in-progress", "handed-over", "ended"]

Handover = Callable[["Call", Leg, str], Awaitable[None]]
"""Hands a call's leg to a named destination (`handover.py`)."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a call ended: a word for metrics and records, and the reason for a person."""

    outcome: Outcome
    reason: str


class Call:
    """One caller's conversation. After the end every method does nothing, so a loop over `in_progress` just ends."""

    def __init__(
        self,
        call_id: str,
        leg: Leg,
        config: AgentConfig,
        agent: Agent,
        reporter: Reporter,
        handover: Handover,
        *,
        clock: Callable[[], float],
    ) -> None:
        self.id = call_id
        self.config = config
        self.agent = agent
        self.state: State = "ringing"
        self.ending: Ending | None = None
        self.idle_monitor = IdleMonitor(config.idle.say, config.idle.max, clock)
        self.over = asyncio.Event()
        """Set when the call has ended, by either side."""
        self._leg = leg
        self._reporter = reporter
        self._handover = handover
        self._keypad: KeyPad | None = None
        self._speaker: Speaker | None = None
        self._listener: Listener | None = None
        self._turn: Turn | None = None
        self._fillers = 0

    def attach(self, speaker: Speaker, listener: Listener) -> None:
        """Give the call its mouth and ears."""
        self._speaker, self._listener = speaker, listener

    # --- what is known ------------------------------------------------------------------------------------------------

    @property
    def info(self) -> LegInfo:
        return self._leg.info

    @property
    def audio_rate(self) -> int:
        """Samples per second of the call's audio."""
        return self._speaker.rate if self._speaker is not None else 8000

    @property
    def in_progress(self) -> bool:
        return self.state == "in-progress"

    @property
    def greeting(self) -> str:
        """The greeting of this call: the dialplan's own (`AI_GREETING`) or the agent's, ready to be said."""
        return self._leg.info.greeting or self.render(self.config.greeting.text)

    def render(self, template: str) -> str:
        """A template of the configuration with this call's values. Raises `TemplateRenderError`."""
        return Template(template).render(**self.agent.namespaces())

    # --- what a dialogue does -----------------------------------------------------------------------------------------

    async def answer(self) -> None:
        """Pick up. Raises `LegError` when the PBX refuses; a caller who is gone already ends the call."""
        try:
            await self._leg.answer()
        except LegGone as gone:
            self.ended("caller_hangup", gone.message)
            return
        if self.state == "ringing":
            self.state = "in-progress"
            self._reporter.answered()

    async def say(self, what: str | Reply | AsyncIterator[str], *, interruptible: bool = True) -> Spoken:
        """Say a text, a reply of the agent, or any stream of text; returns when it was heard or interrupted.

        The history keeps what was heard. Raises `ProviderError` when no synthesis or language model is left to ask.
        """
        if not self.in_progress or self._speaker is None:
            return Spoken("", "", interrupted=True)
        if not isinstance(what, Reply):
            spoken = await self._speaker.say(what, interruptible=interruptible)
            self.agent.writer.said(spoken.written, spoken.heard, interrupted=spoken.interrupted)
            self._reporter.said(spoken)
            return spoken
        turn, self._turn = self._turn, None
        try:
            spoken = await self._speaker.say(
                aiter(what), interruptible=interruptible, filler=lambda: self._filler(what)
            )
        finally:
            await what.aclose()
        what.settle(spoken)
        if spoken.interrupted and not spoken.heard and self.in_progress:
            asked = what.withdraw()
            if asked is not None and self._listener is not None:
                self._listener.take_back(asked)
        self._reporter.said(spoken, turn=turn, first_token_at=what.first_token_at)
        return spoken

    async def listen(self, timeout: float | None = None) -> Turn | None:
        """The caller's next turn; None when nobody has spoken for `timeout` seconds, and when the call has ended."""
        if not self.in_progress or self._listener is None:
            return None
        turn = await self._listener.turn(timeout)
        if turn is None:
            if self.in_progress:
                self._reporter.silent(timeout or 0.0)
            return None
        self.idle_monitor.heard()
        self._turn = turn
        self._reporter.turn(turn)
        return turn

    async def interject(self, what: str | bytes) -> None:
        """Say a text, or play audio of `audio_rate`, while an answer is under way, as a tool does."""
        if self._speaker is not None:
            await self._speaker.interject(what)

    async def collect_digits(self, length: int, terminator: str, timeout: float, *, sensitive: bool) -> str:
        """Keys that the caller presses: at most `length`, up to `terminator`, or `timeout` s after the last."""
        keypad = self._keypad = KeyPad(length, terminator, sensitive=sensitive)
        try:
            return await keypad.collect(timeout)
        finally:
            self._keypad = None

    def hold(self, seconds: float) -> None:
        """The caller asked for a moment: nobody asks whether they are still there."""
        self.idle_monitor.hold(seconds)

    async def hangup(self, reason: str = "the agent ended the call") -> None:
        """End the call."""
        self.ended("completed", reason)
        await self._leg.hang_up()

    async def transfer(self, destination: str) -> None:
        """Hand the caller to a destination of the configuration. Raises `HandoverFailed`; the call then goes on."""
        if self.in_progress:
            await self._handover(self, self._leg, destination)

    async def proceed(self, *, context: str | None, extension: str | None, priority: int | None) -> None:
        """Hand the caller to a place in the dialplan, for good. Raises `LegError`."""
        if self.in_progress:
            self.ended("handed_over", f"to {context or 'the dialplan'}", state="handed-over")
            await self._leg.proceed(context=context, extension=extension, priority=priority)

    async def give_up(self) -> None:
        """Nobody answers: end the call the way the agent's `idle.then` says."""
        then = self.config.idle.then
        if then.transfer is not None:
            await self.transfer(then.transfer)
        elif then.continue_ is not None:
            self.ended("idle", "the caller was silent", state="handed-over")
            place = then.continue_
            await self._leg.proceed(context=place.context, extension=place.extension, priority=place.priority)
        else:
            self.ended("idle", "the caller was silent")
            await self._leg.hang_up()

    # --- what the house tells it --------------------------------------------------------------------------------------

    async def key(self, digit: str) -> None:
        """The caller pressed a key."""
        self.idle_monitor.heard()
        if self._keypad is not None:
            self._reporter.key("*" if self._keypad.sensitive else digit)
            self._keypad.press(digit)
            return
        self._reporter.key(digit)
        if self._listener is not None:
            await self._listener.key(digit)

    async def agent_audible(self, interruptible: bool) -> None:
        self._reporter.audible()
        if self._listener is not None:
            await self._listener.agent_audible(interruptible)

    async def agent_played(self, text: str) -> None:
        if self._listener is not None:
            await self._listener.agent_played(text)

    def ended(self, outcome: Outcome, reason: str, *, state: State = "ended") -> None:
        """The call is over. The first reason counts; whoever speaks or listens returns."""
        if self.ending is not None:
            return
        self.ending = Ending(outcome, reason)
        self.state = state
        self.over.set()
        if self._listener is not None:
            self._listener.close()

    def _filler(self, reply: Reply) -> str | None:
        text = reply.filler
        if text is None and self.config.filler:
            text = self.config.filler[self._fillers % len(self.config.filler)]
            self._fillers += 1
        return self.render(text) if text else None
