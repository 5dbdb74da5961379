"""The life of one call, from the ring to nothing left: two scopes, one inside the other.

The call scope holds the leg and outlives the conversation; the conversation scope holds ears, agent and mouth (the
line), and may break. Then the call scope tells the caller so, in the cached voice, and leads them on as the agent's
`on_failure` says. Where another agent takes over, one conversation follows the other in the same call.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from math import inf

import structlog

from voxtrad.audio.frames import Framer
from voxtrad.config.models import AgentConfig
from voxtrad.conversation.actions import Actions
from voxtrad.conversation.analysis import AnalysisFailed
from voxtrad.conversation.call import Call
from voxtrad.conversation.failures import single
from voxtrad.conversation.fate import Ending, State
from voxtrad.conversation.idle import EMPTY, FAREWELL
from voxtrad.conversation.line import Line, hurried, speech_of
from voxtrad.conversation.plan import Plan
from voxtrad.conversation.recorder import Recorder
from voxtrad.conversation.report import Reporter
from voxtrad.conversation.spoken import Spoken
from voxtrad.errors import VoxtradError
from voxtrad.events.types import Event, Outcome
from voxtrad.ledger.privacy import strictest
from voxtrad.leg import Digit, Leg, LegError, LegGone, MediaPort, NotReached, PutOnHold, Reach, Refusal

log = structlog.stdlib.get_logger(__name__)

APOLOGY = 3.0
"""Seconds for synthesizing an apology that was not kept: better none than silence."""
WRAP_UP = 10.0
"""Seconds that tools under way have to finish after the call."""
AFTERWARDS = 120.0
"""Seconds for fetching a recording and analysing the transcript."""

_NOT_REACHED: Mapping[Refusal, Outcome] = {
    "busy": "busy", "no_answer": "no_answer", "declined": "declined", "unavailable": "unreachable",
    "failed": "unreachable",
}  # fmt: skip


class Session:
    """One call under supervision. `run` never raises for what happens on the call."""

    def __init__(
        self,
        leg: Leg | Reach,
        plan: Plan,
        *,
        publish: Callable[[Event], None],
        clock: Callable[[], float],
        has_room: Callable[[AgentConfig], bool] = lambda agent: True,
    ) -> None:
        """The leg of a call that came, or how to reach whom we call.

        `has_room` tells whether an agent that is to take the call over may have one more.
        """
        self._whom = leg
        self.plan = plan
        self._privacy = plan.config.privacy
        self._clock = clock
        self._has_room = has_room
        self.reporter = Reporter(plan.call_id, plan.config.name, publish=publish, clock=clock, providers=_names(plan))
        self.recorder = Recorder(leg, plan.recordings, self.reporter)
        self.call: Call | None = None
        self._analyst = plan.analyst
        self._calls: list[Call] = []
        self._line: Line | None = None
        self._told: tuple[Ending, State] | None = None
        """How somebody outside wants the call to end."""
        self._ringing: asyncio.Timeout | None = None
        self._ending = Ending("failed", "the server stopped")
        self._talking: asyncio.Task[None] | None = None
        """The dialogue."""
        self._stirred = asyncio.Event()
        """Something has changed for an idle monitor."""

    async def run(self) -> None:
        """Carry the call to its end. Cancelling ends the conversation and leaves the leg to its carrier."""
        with structlog.contextvars.bound_contextvars(sensitive_numbers=self.reporter.sensitive):  # see log.py
            await self._run()

    async def _run(self) -> None:
        info = self._whom.info
        self.reporter.started(info)
        log.info("call", caller=info.caller, dialled=info.dialled, channel=info.channel, agent=self.plan.config.name)
        try:
            async with contextlib.AsyncExitStack() as stack:
                if isinstance(self._whom, Reach):
                    leg = await self._reached(self._whom, stack)
                else:
                    leg = self._whom
                if leg is not None:
                    self.leg = self.recorder.leg = leg
                    await self._carry()
        finally:
            ending = (self.call.ending if self.call is not None else None) or self._ending
            self.reporter.ended(ending.outcome, ending.reason)
            log.info(
                "call ended",
                outcome=ending.outcome,
                reason=ending.reason,
                seconds=self.reporter.since(),
                **self.reporter.figures(),
            )

    async def _reached(self, reach: Reach, stack: contextlib.AsyncExitStack) -> Leg | None:
        """Whom we call, once they have answered; None where it comes to nothing."""
        try:
            async with asyncio.timeout(None) as self._ringing:
                leg = await stack.enter_async_context(reach.connect())
            if self._told is None:
                return leg
            self._ending, _ = self._told
        except TimeoutError:
            if self._told is None:
                raise
            self._ending, _ = self._told
        except NotReached as refused:
            self._ending = Ending(_NOT_REACHED[refused.why], refused.message)
        except LegError as error:
            self._ending = Ending("failed", error.message)
            self.reporter.failed(error.message)
        finally:
            self._ringing = None
        return None

    def _stop_ringing(self) -> None:
        if self._ringing is not None:
            self._ringing.reschedule(asyncio.get_running_loop().time())

    async def _carry(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                watching: asyncio.Task[None] | None = None
                try:
                    async with self._inhabited(group), self._work() as work:
                        call = self.call = self._call(work)
                        watching = group.create_task(self._watch())
                        await self._conversation(call)
                        while (plan := call.successor) is not None:
                            call = self._hand_over(plan, work)
                            await self._conversation(call)
                        await self._clear()
                        await self._say_farewells()
                    await self._say_farewells()  # of whom the session's end has cut off
                except Exception as error:  # noqa: BLE001 - the outermost supervisor of a call: no caller is left in silence
                    await self._broken(single(error))
                if watching is not None:
                    watching.cancel()
        finally:
            for call in self._calls:
                call.agent.toolbox.close()
            await self._clear()

    @contextlib.asynccontextmanager
    async def _inhabited(self, group: asyncio.TaskGroup) -> AsyncIterator[None]:
        """What goes on in here ends `EMPTY` seconds after there is nobody left whom it could be for."""
        watching: asyncio.Task[None] | None = None
        try:
            async with asyncio.timeout(None) as presence:
                watching = group.create_task(self._until_empty(presence, group))
                yield
        except TimeoutError:
            if not presence.expired():
                raise
        finally:
            if watching is not None:
                watching.cancel()

    async def _until_empty(self, presence: asyncio.Timeout, group: asyncio.TaskGroup) -> None:
        while (left := self.call.idle_monitor.left_of(EMPTY) if self.call is not None else inf) > 0:
            await self._stirring(left)
        log.warning("the session is ended: nobody is in it any more", seconds=EMPTY)
        presence.reschedule(asyncio.get_running_loop().time())
        for told in itertools.count(1):  # a handler that swallows its cancellation is told again
            await asyncio.sleep(FAREWELL)
            if self._talking is None or self._talking.done():
                continue
            if told & (told - 1) == 0:
                log.error("a handler goes on although it was cancelled: it holds its call's place", times=told)
            self._talking.cancel()
            if told == 1:  # what was to be done after the call waits for it no longer
                group.create_task(self._say_farewells())

    async def _stirring(self, seconds: float) -> None:
        """Wait for so long, or until something has changed for an idle monitor."""
        self._stirred.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds if seconds < inf else None):
                await self._stirred.wait()

    @contextlib.asynccontextmanager
    async def _work(self) -> AsyncIterator[asyncio.TaskGroup]:
        """Where tools and drafts run. What is under way when the conversation has ended may finish, for a while."""
        try:
            async with asyncio.timeout(None) as patience:
                async with asyncio.TaskGroup() as group:
                    yield group
                    patience.reschedule(asyncio.get_running_loop().time() + WRAP_UP)
        except TimeoutError:
            if not patience.expired():
                raise
            log.warning("tools were stopped: the call is over", seconds=WRAP_UP)

    @property
    def agent(self) -> str:
        """Whose call it is; one that is being handed over is its successor's already."""
        successor = self.call.successor if self.call is not None else None
        return (successor or self.plan).config.name

    def give_back(self, reason: str) -> None:
        """End the conversation from outside (a server that stops); the caller goes on where the leg's carrier leads."""
        self._end(Ending("failed", reason), "handed-over")

    def hang_up(self, outcome_reason: str) -> None:
        """End the call from outside (an administrator, a server that stops)."""
        self._end(Ending("completed", outcome_reason), "ended")

    def _end(self, ending: Ending, state: State) -> None:
        self._told = ending, state
        self._stop_ringing()
        if self.call is not None:
            self._obey(self.call)

    def _obey(self, call: Call) -> None:
        """End it the way that somebody outside wants, if anybody does; whatever holds it."""
        if self._told is not None:
            ending, state = self._told
            call.idle_monitor.dismiss()
            call.ended(ending.outcome, ending.reason, state=state)

    async def wrap_up(self) -> None:
        """What is left to do once the call is over: fetch its recording, analyse its transcript. Never raises for what
        fails."""
        with structlog.contextvars.bound_contextvars(sensitive_numbers=self.reporter.sensitive):
            async with asyncio.TaskGroup() as group:  # neither may cost the other
                group.create_task(self._afterwards(self.recorder.keep()))
                group.create_task(self._afterwards(self._analyse()))

    async def _afterwards(self, work: Awaitable[None]) -> None:
        try:
            async with asyncio.timeout(AFTERWARDS):
                await work
        except TimeoutError:
            self.reporter.error("wrap_up", f"what was left to do after the call was not done in {AFTERWARDS:g} s")
        except Exception as error:  # the outermost supervisor of the wrap-up: the call itself is over
            log.exception("the wrap-up after a call broke")
            self.reporter.error("wrap_up", f"internal error: {type(single(error)).__name__}")

    async def _analyse(self) -> None:
        analyst, transcript = self._analyst, self.reporter.kept_transcript()
        if analyst is None or not any(line["speaker"] == "caller" for line in transcript):
            return
        variables = self.call.agent.namespaces() if self.call is not None else {}
        try:
            found = await analyst.analyse(
                transcript, variables, lambda usage: self.reporter.used(analyst.model.name, usage)
            )
        except AnalysisFailed as error:
            log.warning("the call could not be analysed", reason=error.message)
            self.reporter.error("analysis", error.message)
        else:
            self.reporter.analyzed(found)

    # --- the call scope -----------------------------------------------------------------------------------------------

    def _call(self, group: asyncio.TaskGroup) -> Call:
        plan, actions = self.plan, Actions()
        model = hurried(plan.providers.llm, lambda: self._line.silence_left() if self._line is not None else inf)
        agent = plan.agent(self.leg.info, model, actions, group, publish=self.reporter.publish, clock=self._clock)
        call = Call(
            plan.call_id,
            self.leg,
            plan.config,
            agent,
            self.reporter,
            plan.handover,
            self.recorder,
            clock=self._clock,
        )
        call.speech = partial(speech_of, plan)
        call.taking_over = plan.taking_over is not None
        call.has_room = self._has_room
        call.privacy = self._privacy
        call.idle_monitor.on_change = self._stirred.set
        actions.attach(call, self.leg)
        self._calls.append(call)
        return call

    def _hand_over(self, plan: Plan, group: asyncio.TaskGroup) -> Call:
        """Another agent takes the call over."""
        self._privacy = strictest(self._privacy, plan.config.privacy)
        structlog.contextvars.bind_contextvars(privacy=self._privacy)  # see observability/log.py
        self.plan = plan
        self._analyst = plan.analyst or self._analyst
        self.reporter.hand_to(plan.config.name, _names(plan))
        before, call = self.call, self._call(group)
        self.call = call
        if before is not None:
            before.agent.pass_on(call.agent)
        log.info("another agent takes over", agent=plan.config.name)
        self._obey(call)
        return call

    async def _watch(self) -> None:
        """Keys, and the end of the leg."""
        async for event in self.leg.events():
            call = self.call
            if call is None:
                continue
            if isinstance(event, Digit):
                await call.key(event.digit)
                continue
            if isinstance(event, PutOnHold):
                call.on_hold(event.held)
                continue
            call.idle_monitor.left()
            if event.lost:
                call.ended("failed", event.cause, state="handed-over")
            else:
                call.ended("handed_over" if event.handed_back else "caller_hangup", event.cause)

    async def _clear(self) -> None:
        """Leave nothing of the leg behind. A call that was cut off in the middle is its carrier's to lead on, at once:
        nobody who hears nothing any more waits until all is done that there is to do after a call."""
        self.reporter.over()
        await self.recorder.stop()
        if self.call is not None and self.call.state == "ended":
            with contextlib.suppress(LegError):
                await self.leg.hang_up()
        if self.call is not None and self.call.state == "handed-over" and not isinstance(self._whom, Reach):
            await self.leg.let_go()
        await self.leg.release()

    async def _say_farewells(self) -> None:
        """What handlers wanted done after the call."""
        for call in self._calls:
            try:
                async with asyncio.timeout(WRAP_UP):
                    await call.say_farewell()
            except TimeoutError:
                log.warning("what was to be done after the call was stopped", seconds=WRAP_UP)
            except Exception as error:  # the outermost supervisor of a handler's own code, after its call
                log.exception("what was to be done after the call broke")
                self.reporter.error("on_hangup", f"internal error: {type(error).__name__}")

    # --- the conversation scope ---------------------------------------------------------------------------------------

    async def _conversation(self, call: Call) -> None:
        """From the ring to the end of the conversation. Never raises: what breaks, breaks in here."""
        try:
            async with asyncio.TaskGroup() as group:
                line = Line(self.leg, self.plan, call, self.reporter, group, clock=self._clock)
                self._line = call.line = line
                await line.connect()
                await self._converse(call, group)
                await line.disconnect()
            call.ended("completed", "the dialogue ended")
        except Exception as error:  # noqa: BLE001 - the outermost supervisor of a conversation, as `run` is of the call
            await self._broken(single(error))

    async def _converse(self, call: Call, group: asyncio.TaskGroup) -> None:
        limiting = group.create_task(self._limit(call))
        over = group.create_task(call.over.wait())
        talking = self._talking = group.create_task(_as_coroutine(self.plan.dialogue(call)))
        await asyncio.wait([talking, over], return_when=asyncio.FIRST_COMPLETED)
        if not talking.done():
            await call.fall_silent()
            await self._see_out(call, talking)
        call.agent.forget_draft()
        limiting.cancel()
        over.cancel()

    async def _see_out(self, call: Call, talking: asyncio.Task[None]) -> None:
        """The call is over: let a dialogue come to its end, and cancel one that does not."""
        talking.add_done_callback(lambda _: self._stirred.set())
        while not talking.done() and (left := call.idle_monitor.left_of(FAREWELL)) > 0:
            await self._stirring(left)
        talking.cancel()

    async def _limit(self, call: Call) -> None:
        await asyncio.sleep(call.config.max_duration)
        await call.with_caller()
        reason = f"the call lasted {call.config.max_duration:g} s"
        if call.ending is None:
            self.reporter.note("max_duration", reason)
        call.idle_monitor.dismiss()
        call.ended("max_duration", reason)

    # --- when it breaks -----------------------------------------------------------------------------------------------

    async def _broken(self, error: Exception) -> None:
        """Say sorry and lead the caller on."""
        call = self.call
        if isinstance(error, LegGone) and call is not None:
            call.ended("caller_hangup", error.message)
        expected = isinstance(error, VoxtradError)
        reason = str(error) if expected else f"internal error: {type(error).__name__}"
        if call is not None and call.ending is not None:
            if not expected:
                log.error("the conversation broke after the call had ended", exc_info=error)
            return
        log.error("the conversation broke", reason=reason, exc_info=None if expected else error)
        self._ending = Ending("failed", reason)
        self.reporter.failed(reason)
        self.reporter.error("conversation", reason)
        with contextlib.suppress(LegError):
            await self.leg.answer()
            if call is None:
                await self.leg.proceed(context=None, extension=None, priority=None)
                return
            call.fate.failing(reason)
            call.line = None
            if self._line is not None and self._line.port is not None:
                await self._apologise(call, self._line.port)
            await self._lead_on(call)
        if call is not None:
            call.ended("failed", reason)

    async def _apologise(self, call: Call, port: MediaPort) -> None:
        try:
            apology = call.render(call.config.apology)
            pcm = await speech_of(self.plan, apology, port.rate, within=APOLOGY) if apology.strip() else b""
        except (VoxtradError, TimeoutError) as error:
            log.warning("no voice for the apology, and it was not synthesized before", reason=str(error))
            self.reporter.note("no_apology", str(error) or f"not synthesized within {APOLOGY:g} s")
            return
        if call.ending is not None or not pcm:
            return
        self.reporter.note("apology", f"'{apology}'")
        framer = Framer(port.rate)
        began = self._clock()
        await port.flush()
        await port.play(framer.push(pcm) + framer.flush())
        await port.drained()
        call.agent.writer.said(apology, interrupted=False)
        seconds = len(pcm) / 2 / port.rate
        self.reporter.said(Spoken(apology, apology, interrupted=False, seconds=seconds, audible_at=began))

    async def _lead_on(self, call: Call) -> None:
        on_failure = call.config.on_failure
        if call.ending is not None:
            return
        if on_failure.transfer is not None:
            self.reporter.note("on_failure", f"transfer to {on_failure.transfer}")
            try:
                await self.plan.handover(call, self.leg, on_failure.transfer)
            except VoxtradError as error:
                log.warning("the caller could not be handed over", to=on_failure.transfer, reason=error.message)
                await call.proceed()
        elif (place := on_failure.continue_) is not None:
            self.reporter.note("on_failure", "led on in the dialplan")
            await call.proceed(context=place.context, extension=place.extension, priority=place.priority)
        else:
            self.reporter.note("on_failure", "hang up")


def _names(plan: Plan) -> dict[str, str]:
    """The providers' names, for figures about them."""
    providers = plan.providers
    return {"stt": providers.stt.name, "llm": providers.llm.name, "tts": providers.tts.name}


async def _as_coroutine(work: Awaitable[None]) -> None:
    await work
