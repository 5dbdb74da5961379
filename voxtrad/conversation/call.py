"""A call, as a dialogue sees it: answer, say, listen, think, hang up.

There is one `Call`, for the built-in dialogue and for a handler of one's own. It joins ears, mouth and agent, tells the
bus what happens, and keeps the transcript. Who carries the call, and what becomes of a call that breaks, is not known
here (`leg.py`, `session.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

from voxtrad.config.models import AgentConfig
from voxtrad.config.templates import Template
from voxtrad.conversation.agent import Agent
from voxtrad.conversation.fate import Ending, Fate, State
from voxtrad.conversation.floor import Turn
from voxtrad.conversation.idle import IdleMonitor
from voxtrad.conversation.keypad import KeyPad, Keys
from voxtrad.conversation.recorder import Recorder
from voxtrad.conversation.reply import Reply
from voxtrad.conversation.report import Reporter, Thought
from voxtrad.conversation.speaker import Speaker
from voxtrad.conversation.spoken import Spoken
from voxtrad.events.types import Outcome
from voxtrad.leg import Hears, Jukebox, Leg, LegError, LegGone, LegInfo

if TYPE_CHECKING:
    from voxtrad.conversation.line import Line
    from voxtrad.conversation.listener import Listener
    from voxtrad.conversation.plan import Plan

Handover = Callable[["Call", Leg, str], Awaitable[None]]
"""Hands a call's leg to a named destination (`handover.py`)."""

Farewell = Callable[["Call"], Awaitable[None]]
"""What a handler wants done when its call is over."""


class Speech(Protocol):
    """The agent's voice, for others than the caller."""

    async def __call__(self, text: str, rate: int, *, within: float) -> bytes:
        """Audio of a text, made in `within` seconds. Raises `ProviderError` and `TimeoutError`."""
        ...


_NOTHING = Spoken("", "", interrupted=True)
_BREATH = 0.02
"""Seconds that a method takes once the call is over: a handler that never asks `in_progress` holds up nobody else."""


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
        recorder: Recorder,
        *,
        clock: Callable[[], float],
    ) -> None:
        self.id = call_id
        self.config = config
        self.agent = agent
        self.fate = Fate()
        self.idle_monitor = IdleMonitor(config.idle.say, config.idle.max, clock, lambda: agent.awaits_results)
        self.over = asyncio.Event()
        """Set when the call has ended, by either side."""
        self.line: Line | None = None
        """What the agent hears and speaks through; None when no agent can come back."""
        self.speech: Speech | None = None
        self.transferring = False
        """Whether the caller is on the way to a destination, or there."""
        self.taking_over = False
        """Whether another agent had the call before."""
        self.successor: Plan | None = None
        """The agent that takes the call over, when this one has ended."""
        self.privacy = config.privacy
        """As the strictest agent that the call has had so far wants it."""
        self.has_room: Callable[[AgentConfig], bool] = lambda agent: True
        """Whether another agent may have one more call."""
        self._leg = leg
        self.reporter = reporter
        self.recorder = recorder
        self._handover = handover
        self._together = asyncio.Event()
        self._together.set()
        self._stranded = False
        """The agent has left the caller, and nobody is on the way back."""
        self._keys = Keys(clock)
        self._speaker: Speaker | None = None
        self._listener: Listener | None = None
        self._turn: Turn | None = None
        self._farewells: list[Farewell] = []
        self._finishing = 0
        """What the caller began to say while a sensitive number was awaited is not at its end."""
        self._unasked = False
        """The agent has something to say by itself."""
        agent.on_news = self._speak_up

    def attach(self, speaker: Speaker, listener: Listener) -> None:
        """Give the call its mouth and ears."""
        self._speaker, self._listener = speaker, listener
        self._together.set()
        if self.state != "ringing":
            speaker.begin(0.0)
            listener.begin()

    def detach(self) -> None:
        """Ears and mouth are gone: whoever wants to speak or listen waits, until they are back or the call is over."""
        if self.ending is None:
            self._together.clear()
        listener, self._speaker, self._listener = self._listener, None, None
        if listener is not None:
            self._close(listener)

    # --- what is known ------------------------------------------------------------------------------------------------

    @property
    def info(self) -> LegInfo:
        return self._leg.info

    @property
    def audio_rate(self) -> int:
        """Samples per second of the call's audio."""
        return self._speaker.rate if self._speaker is not None else 8000

    @property
    def state(self) -> State:
        return self.fate.state

    @property
    def in_progress(self) -> bool:
        return self.state == "in-progress"

    @property
    def ending(self) -> Ending | None:
        """How the call ended; None as long as it has not."""
        return self.fate.ending

    @property
    def collecting(self) -> bool:
        """Keys are awaited, and are no turn."""
        return self._keys.collecting

    @property
    def discreet(self) -> bool:
        """Numbers that the caller says now are not to be kept: they may be of one that is to be keyed in."""
        return self._keys.secret or self._finishing > 0

    @property
    def greeting(self) -> str:
        """The greeting of this call: the dialplan's own (`AI_GREETING`) or the agent's, ready to be said."""
        given = None if self.taking_over else self._leg.info.greeting
        return given or self.render(self.config.greeting.text)

    def render(self, template: str) -> str:
        """A template of the configuration with this call's values. Raises `TemplateRenderError`."""
        return Template(template).render(**self.agent.namespaces())

    # --- what a dialogue does -----------------------------------------------------------------------------------------

    async def answer(self) -> None:
        """Pick up. Raises `LegError` when the PBX refuses; a caller who is gone already ends the call."""
        if self.taking_over:
            lead_in = 0.0
        else:
            await self.recorder.for_agent(self.config, "ring")
            try:
                await self._leg.answer()
            except LegGone as gone:
                self.ended("caller_hangup", gone.message)
                return
            lead_in = self.config.greeting.lead_in
        await self.recorder.for_agent(self.config, "answer")
        if self.state == "ringing":
            self.fate.begin()
            if not self.taking_over:
                self.reporter.answered()
            if self._speaker is not None and self._listener is not None:
                self._speaker.begin(lead_in)
                self._listener.begin()

    async def say(self, what: str | Reply | AsyncIterator[str], *, interruptible: bool = True) -> Spoken:
        """Say a text, a reply of the agent, or any stream of text; returns when it was heard or interrupted.

        The history keeps what was heard. Raises `ProviderError` when no synthesis or language model is left to ask.
        """
        await self.with_caller()
        if not self.in_progress or self._speaker is None or self._listener is None:
            return _NOTHING
        if isinstance(what, str):
            what = self.agent.reply_saying(what) or what
        if isinstance(what, Reply):
            spoken = await self._say_reply(self._speaker, self._listener, what, interruptible)
        else:
            spoken = await self._say_text(self._speaker, what, interruptible)
        if spoken.error is not None and self.in_progress:
            raise spoken.error
        return spoken

    async def _say_text(self, speaker: Speaker, text: str | AsyncIterator[str], interruptible: bool) -> Spoken:
        spoken: Spoken | None = None
        try:
            spoken = await speaker.say(text, interruptible=interruptible)
        except asyncio.CancelledError:
            spoken = speaker.given_up()
            raise
        finally:
            if spoken is not None:
                turn, self._turn = self._turn, None
                self.agent.writer.said(spoken.heard, interrupted=spoken.interrupted)
                self.reporter.said(spoken, turn)
        return spoken

    async def _say_reply(self, speaker: Speaker, listener: Listener, reply: Reply, interruptible: bool) -> Spoken:
        turn, self._turn = self._turn, None
        spoken = _NOTHING
        try:
            if not listener.overtaken:
                spoken = await speaker.say(aiter(reply), interruptible=interruptible)
        except asyncio.CancelledError:
            spoken = speaker.given_up() or spoken
            self.reporter.said(spoken, turn, Thought(reply.asked_at, reply.first_token_at, reply.provider))
            raise
        finally:
            try:
                await reply.aclose()
            finally:
                reply.settle(spoken)
        if spoken.interrupted and not spoken.heard and self.in_progress:
            listener.take_back(reply.withdraw())
        self.reporter.said(spoken, turn, Thought(reply.asked_at, reply.first_token_at, reply.provider))
        if reply.then is not None and await listener.settled():
            self.reporter.note("stay", "the caller speaks up, so nothing comes of what was to follow")
            reply.then = None
        return spoken

    async def listen(self, timeout: float | None = None) -> Turn | None:
        """The caller's next turn; None when nobody has spoken for `timeout` seconds, and when the call has ended.

        A turn without words is the agent's own, to tell what came late of a tool: `agent.stream("")` answers it.
        """
        turn = None
        while turn is None:
            await self.with_caller()
            listener = self._listener
            if not self.in_progress or listener is None:
                return None
            listener.prompt(self._wants_to_speak)
            turn = await listener.turn(timeout)
            if turn is None and listener is self._listener:
                return None
        if turn.unasked:
            self._unasked = False
        else:
            self.idle_monitor.heard()
            self._turn = turn
        self.reporter.turn(turn)
        return turn

    async def interject(self, what: str | bytes) -> None:
        """Say a text, or play audio of `audio_rate`, while an answer is under way, as a tool does.

        Returns when it was heard or interrupted. Raises `ProviderError`.
        """
        if self._speaker is not None:
            await self._speaker.interject(what)

    async def play_sound(self, name: str) -> None:
        """Play one of the PBX's own recordings to its end, once what is being said was heard.

        Raises `LegError` where there is none of that name, or no PBX.
        """
        if not isinstance(self._leg, Jukebox):
            raise LegError("no sounds can be played on this call")
        await self.interject(bytes(self.audio_rate // 50 * 2))
        self._excuse(True)
        try:
            await self._leg.play_sound(name)
        finally:
            self._excuse(False)

    async def collect_digits(
        self, length: int, terminator: str, timeout: float, *, sensitive: bool = False, prompt: str = ""
    ) -> str:
        """Keys that the caller presses: at most `length`, up to `terminator`, or `timeout` s after the last.

        `prompt` is said first, as by `interject`; keys count from its beginning. Raises `LegGone` when the call ends
        meanwhile.
        """
        pad = KeyPad(length, terminator, sensitive=sensitive)
        self._excuse(True)
        try:
            async with contextlib.AsyncExitStack() as unrecorded:
                try:
                    with self._keys.into(pad):
                        if sensitive:
                            await unrecorded.enter_async_context(self.recorder.without("sensitive"))
                        if prompt and not pad.digits:
                            await self.interject(prompt)
                        digits = await pad.collect(timeout)
                finally:
                    if sensitive:
                        self._let_finish(unrecorded)
        finally:
            if sensitive:
                self.reporter.sensitive.add(pad.digits)
            self._excuse(self.collecting)
        if not self.in_progress:
            raise LegGone("the call is over")
        return digits

    def _let_finish(self, unrecorded: contextlib.AsyncExitStack) -> None:
        """What the caller is saying now is still the secret, also where nobody waits for its keys any more."""
        if self._listener is None or not self._listener.undecided:
            return
        rest = unrecorded.pop_all()
        finishing = self._to_the_end_of_it(self._listener, rest)
        self._finishing += 1
        try:
            self.agent.group.create_task(finishing)
        except RuntimeError:  # the call is being cut off
            finishing.close()
            self._finishing -= 1
            unrecorded.push_async_exit(rest)

    async def _to_the_end_of_it(self, listener: Listener, unrecorded: contextlib.AsyncExitStack) -> None:
        """What the caller is saying of a sensitive number is kept nowhere, although its keys are awaited no more."""
        try:
            async with unrecorded:
                await listener.settled()
        finally:
            self._finishing -= 1

    def hold(self, seconds: float) -> None:
        """The caller asked for a moment: nobody asks whether they are still there."""
        self.idle_monitor.hold(seconds)

    async def hangup(self, reason: str = "the agent ended the call", outcome: Outcome = "completed") -> None:
        """End the call."""
        self.ended(outcome, reason)
        await self._leg.hang_up()

    async def transfer(self, destination: str) -> None:
        """Hand the caller to a destination of the configuration.

        Returns when the call is over, or when the agent is with the caller again after a person has left. Raises
        `HandoverFailed` when nobody took the caller; the call then goes on.
        """
        await self.with_caller()
        if not self.in_progress:
            return
        self._excuse(True)
        self.transferring = True
        try:
            with self.idle_monitor.handing_over():
                await self._handover(self, self._leg, destination)
        except BaseException:
            self._strand()
            raise
        finally:
            self.transferring = False
            if self.in_progress:
                self._excuse(False)

    async def leave(self, hears: Hears) -> None:
        """The agent leaves the caller, who hears ringing or music until `come_back`, or until others are there."""
        self._together.clear()
        if self.line is not None:
            await self.fall_silent()
            await self.line.disconnect()
        await self.recorder.others_talk(True)
        await self._leg.hold(hears)

    async def come_back(self) -> None:
        """The agent is with the caller again, where there is one. Raises `LegGone`."""
        if self.ending is not None:
            return
        self.fate.begin()
        await self.recorder.others_talk(False)
        if self.line is not None:
            await self.line.connect()
        else:
            await self._leg.hold("silence")
            self._together.set()

    def _strand(self) -> None:
        """Whoever was to come back to the caller did not, cancelled by a handler or refused by the PBX: the next who
        wants to speak does it."""
        self._stranded = not self._together.is_set()

    async def with_caller(self) -> None:
        """Wait while the caller is with others."""
        if self._stranded and self.ending is None:
            self._stranded = False
            try:
                await self._leg.hold("silence")  # also where audio is half connected
                await self.come_back()
            except BaseException:
                self._strand()
                raise
        await self._together.wait()
        if self.ending is not None:
            await asyncio.sleep(_BREATH)

    async def fall_silent(self) -> None:
        """Say no more of what is being said."""
        if self._speaker is not None:
            await self._speaker.flush()

    async def proceed(
        self,
        *,
        context: str | None = None,
        extension: str | None = None,
        priority: int | None = None,
        outcome: Outcome = "handed_over",
        reason: str = "led on in the dialplan",
    ) -> None:
        """Hand the caller back to the dialplan, for good. Raises `LegError` when the PBX refuses; the call goes on."""
        self.fate.leads_on(reason, outcome)
        try:
            await self._leg.proceed(context=context, extension=extension, priority=priority)
        except LegError:
            self.fate.leads_on(None)
            raise
        self.ended(outcome, reason, state="handed-over")

    def on_hangup(self, function: Farewell) -> Farewell:
        """Have a coroutine function called with this call once it is over, however it ended (`ending` says how).

        Gives the function back, so it may stand in front of it as a decorator. What it raises is logged; it has
        `session.WRAP_UP` seconds.
        """
        self._farewells.append(function)
        return function

    # --- what the house tells it --------------------------------------------------------------------------------------

    async def key(self, digit: str) -> None:
        """The caller pressed a key."""
        self.idle_monitor.heard()
        if self.state == "handed-over":
            return  # what the caller tells others is not ours
        pad = self._keys.owner()
        self.reporter.key("*" if pad is not None and pad.sensitive else digit)
        if pad is None:
            if self._listener is not None:
                await self._listener.key(digit)
        elif self.collecting:
            pad.press(digit)
            if self._speaker is not None:
                await self._speaker.hush()

    def on_hold(self, held: bool) -> None:
        """The caller has put the agent on hold, or is back: in between nobody is asked or told anything by itself."""
        self.idle_monitor.on_hold = held
        self.idle_monitor.heard()
        what, reason = ("hold", "the caller put the agent on hold") if held else ("unhold", "the caller is back")
        self.reporter.note(what, reason)
        self._excuse(self.collecting or self.transferring)

    def prompt(self) -> None:
        """The agent is to say something that nobody asks for, as soon as nobody speaks: `listen` gives it a turn."""
        self._unasked = True
        self._speak_up()

    async def say_farewell(self) -> None:
        """The call is over: do what was asked for then, one after the other. Raises what that raises."""
        farewells, self._farewells = self._farewells, []
        for farewell in farewells:
            await farewell(self)

    def ended(self, outcome: Outcome, reason: str, *, state: State = "ended") -> None:
        """The call is over. The first reason counts; whoever speaks or listens returns."""
        if not self.fate.end(outcome, reason, state):
            return
        self.idle_monitor.over()
        self.over.set()
        self._together.set()
        self._keys.close()
        if self._listener is not None:
            self._close(self._listener)

    @property
    def _wants_to_speak(self) -> bool:
        """The agent has something to say that nobody asks for."""
        return self._unasked or bool(self.agent.news)

    def _speak_up(self) -> None:
        if self._listener is not None:
            self._listener.prompt(self._wants_to_speak)

    def _close(self, listener: Listener) -> None:
        if left := listener.close():
            self.agent.writer.user(left.text)
            self.reporter.left(left)

    def _excuse(self, excused: bool) -> None:
        if self._listener is not None:
            self._listener.excuse(excused or self.idle_monitor.on_hold)
