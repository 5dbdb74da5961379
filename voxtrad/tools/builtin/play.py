"""`play`: the caller hears a recording, a WAV file that a web server has or a sound of the PBX."""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from voxtrad.audio.wav import WavError, parse_wav
from voxtrad.leg import LegError, LegGone
from voxtrad.outbound.client import OutboundClient, OutboundError
from voxtrad.providers.base import JSON, ToolSpec
from voxtrad.tools.attempts import time_left
from voxtrad.tools.base import CallActions, Outcome, ToolContext, ToolOptions, ToolUnavailable

DESCRIPTION = "Play a recording to the caller."
MAX_FILE = 16 * 1024 * 1024
"""Bytes of a file that are read: about four minutes in the best quality there is."""

log = structlog.stdlib.get_logger(__name__)


class PlayTool:
    """Plays `media` of the configuration: the WAV file at a URL, fetched each time, or the PBX's `sound:NAME`.

    The caller may interrupt a file; a sound is played to its end.
    """

    def __init__(
        self,
        media: str,
        *,
        client: OutboundClient,
        name: str = "play",
        description: str = "",
        options: ToolOptions | None = None,
    ) -> None:
        self.spec = ToolSpec(
            name, description or DESCRIPTION, {"type": "object", "properties": {}, "additionalProperties": False}
        )
        self.options = options or ToolOptions(timeout=60.0)
        self._media = media
        self._client = client

    async def run(self, arguments: Mapping[str, JSON], context: ToolContext, actions: CallActions) -> Outcome:
        sound = self._media.removeprefix("sound:")
        if sound != self._media:
            try:
                await actions.play_sound(sound)
            except LegGone:
                raise
            except LegError as error:
                log.warning("a sound cannot be played", tool=self.spec.name, sound=sound, reason=error.message)
                raise ToolUnavailable from error
            return Outcome({"status": "played"})
        try:
            answer = await self._client.request("GET", self._media, timeout=time_left(context), max_bytes=MAX_FILE)
            if answer.status != 200:
                raise WavError(f"status {answer.status}")
            wav = parse_wav(answer.body)
        except (OutboundError, WavError) as error:
            log.warning("a recording cannot be played", tool=self.spec.name, reason=error.message)
            raise ToolUnavailable from error
        await actions.play(wav.pcm, wav.rate)
        return Outcome({"status": "played"})
