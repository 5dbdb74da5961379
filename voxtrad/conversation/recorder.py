"""What is recorded of a call, and when: from the moment the agent's `record` allows it, never where `privacy` is
`none`, and with silence in the place of what is not to be kept. A recording that fails never fails the call.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal

import structlog

from voxtrad.config.models import AgentConfig
from voxtrad.conversation.report import Reporter
from voxtrad.finishing import finished
from voxtrad.leg import Leg, LegError, Reach, Recordable, Recording

log = structlog.stdlib.get_logger(__name__)

Reason = Literal["sensitive", "others", "agent"]
"""Why silence is recorded: a number that nobody may keep, people who talk with each other, an agent that is not
recorded."""


class Recorder:
    """One call's."""

    def __init__(self, leg: Leg | Reach, folder: Path | None, reporter: Reporter) -> None:
        """`folder` is where recordings are kept; with None nothing is ever recorded. Whom we call is a leg, to be set
        here, once they have answered."""
        self.leg = leg
        self._path = folder / f"{reporter.call_id}.wav" if folder is not None else None
        self._reporter = reporter
        self._recording: Recording | None = None
        self._silent = False
        """Whether silence is recorded, as far as is known."""
        self._applying = asyncio.Lock()
        self._reasons: set[Reason] = set()
        self._blocks = Counter[Reason]()
        self._forbidden = False
        self._stopped = False
        self.agreed: bool | None = None
        """What the caller answered when asked whether the call may be recorded; None as long as they have not."""

    async def for_agent(self, config: AgentConfig, moment: Literal["ring", "answer", "agreement"]) -> None:
        """Record this agent's call from now on, if that is what its configuration wants at this moment."""
        if config.privacy == "none":
            self._forbidden = True  # the strictest of a call's agents decides what is kept of it
        wanted = {
            False: False,
            True: True,
            "on_answer": moment != "ring",
            "consent": self.agreed is True,
        }[config.record]
        if wanted and not self._forbidden:
            await self._let("agent", False)
            await self._begin()
        else:
            await self._let("agent", True)

    @contextlib.asynccontextmanager
    async def without(self, reason: Reason) -> AsyncIterator[None]:
        """Keep what happens in the block out of the recording, and in another that begins in it."""
        self._blocks[reason] += 1
        try:
            await self._let(reason, True)
            yield
        finally:
            self._blocks[reason] -= 1
            await self._let(reason, self._blocks[reason] > 0)

    async def others_talk(self, talking: bool, *, record: bool = False) -> None:
        """People talk with each other, which is recorded only where that is asked for; or the agent is back."""
        await self._let("others", talking and not record)

    async def stop(self) -> None:
        """The call is over. Never raises, may be called again."""
        stopped, self._stopped = self._stopped, True
        if self._recording is not None and not stopped:
            await self._recording.stop()

    async def keep(self) -> None:
        """Once stopped, fetch what was recorded and tell where it is; or delete it. Never raises for what fails."""
        recording, self._recording = self._recording, None
        if recording is None or self._path is None:
            return
        try:
            if self._forbidden:
                await recording.discard()
                return
            seconds = await recording.save(self._path)
        except LegError as error:
            self._failed(f"the recording could not be fetched: {error.message}", error.hint)
        except OSError as error:
            self._failed(f"the recording could not be kept: {(error.strerror or str(error)).lower()}", None)
        else:
            log.info("recorded", file=str(self._path), seconds=round(seconds, 1))
            self._reporter.recorded(round(seconds, 3))  # before it is deleted there: then nobody finds it any more
            await self._delete(recording)

    async def _delete(self, recording: Recording) -> None:
        try:
            await recording.discard()
        except LegError as error:
            log.warning("a recording that was fetched stays where it was made", reason=error.message)

    async def _begin(self) -> None:
        if self._recording is not None or self._stopped or self._path is None:
            return
        try:
            if not isinstance(self.leg, Recordable):
                raise LegError("calls that come this way cannot be recorded")
            self._recording = await self.leg.record(self._reporter.call_id)
        except LegError as error:
            self._failed(f"the call is not recorded: {error.message}", error.hint)
            self._stopped = True  # it would be refused again
            return
        self._reporter.note("recording", "begins")
        await finished(self._apply())

    async def _let(self, reason: Reason, silent: bool) -> None:
        (self._reasons.add if silent else self._reasons.discard)(reason)
        await finished(self._apply())

    async def _apply(self) -> None:
        """Have recorded what is to be now: silence, or sound."""
        async with self._applying:
            silent = bool(self._reasons)
            if self._recording is not None and not self._stopped and silent != self._silent:
                await self._turn(self._recording, silent)

    async def _turn(self, recording: Recording, silent: bool) -> None:
        try:
            await (recording.pause() if silent else recording.resume())
        except LegError as error:
            if silent:
                self._failed(f"the recording ends: it could not be paused: {error.message}", error.hint)
                await self.stop()  # better too little than what nobody may keep
            else:
                log.warning("a recording could not be resumed", reason=error.message)
        else:
            self._silent = silent
            self._reporter.note("recording", "paused" if silent else "resumed")

    def _failed(self, message: str, hint: str | None) -> None:
        log.warning(message, hint=hint)
        self._reporter.error("recording", message)
