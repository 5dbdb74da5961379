"""What the agent says when the caller would otherwise hear nothing: a tool's words, or one of the agent's fillers.

When it is wanted is decided by the turn machine (`quiet.py`).
"""

from __future__ import annotations

import asyncio

import structlog

from voxtrad.config.templates import TemplateRenderError
from voxtrad.conversation.call import Call
from voxtrad.conversation.speaker import Speaker
from voxtrad.conversation.spoken import SpokenAudio
from voxtrad.errors import VoxtradError

log = structlog.stdlib.get_logger(__name__)


class Filler:
    """One call's. `run` is to run as long as there is a mouth."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._wanted = asyncio.Event()
        self._reason = ""
        self._said = 0

    def want(self, reason: str) -> None:
        """The caller has heard nothing for too long."""
        self._reason = reason
        self._wanted.set()

    async def run(self, speaker: Speaker) -> None:
        """Say something whenever it is wanted."""
        while True:
            self._wanted.clear()
            await self._wanted.wait()
            text = self._text()
            if text is None:
                continue
            self._call.reporter.note("fill", f"{self._reason}: '{text}'")
            try:
                await speaker.fill(text, self._fillers())
            except VoxtradError as error:
                self._call.reporter.note("not_filled", error.message)
                log.warning("a silence could not be filled", reason=error.message)

    def _fillers(self) -> list[str]:
        return [self._call.render(text) for text in self._call.config.filler]

    def ready(self, kept: SpokenAudio) -> bool:
        """Whether there is a filler that needs no synthesis."""
        try:
            return any(kept.get(text) is not None for text in self._fillers())
        except TemplateRenderError:
            return False

    def _text(self) -> str | None:
        call = self._call
        if not call.in_progress or call.collecting or call.idle_monitor.patient:
            return None
        told = call.agent.next_filler()
        fillers = call.config.filler
        if told is not None or not fillers:
            return told
        text = fillers[self._said % len(fillers)]
        self._said += 1
        return call.render(text)
