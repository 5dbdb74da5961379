"""What a page says on the socket of the test phone, and what it is told: JSON texts beside the audio. Pure.

Audio goes as binary messages: mono 16-bit little-endian linear PCM, from the page at the rate of its `start`, to it at
`RATE`. The page queues what it is sent and plays it at its own pace; `epoch` counts the flushes, so that what it says
of audio that was thrown away is not taken for the new one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from voxtrad.errors import VoxtradError

RATE = 16000
"""Samples per second of the audio that a page is sent."""

Told = str | int | None


class BadMessage(VoxtradError):
    """The page sent something that is no message."""


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Start(_Message):
    """The first message: with whom the page wants to talk, and the samples per second that its microphone gives."""

    type: Literal["start"]
    agent: Annotated[str, Field(min_length=1, max_length=200)]
    rate: Annotated[int, Field(ge=8000, le=96000)] = RATE


class Played(_Message):
    """So many samples were heard since the flush `epoch`, 0 being the beginning."""

    type: Literal["played"]
    epoch: Annotated[int, Field(ge=0)]
    samples: Annotated[int, Field(ge=0)]


class Flushed(_Message):
    """The flush `epoch` was done; so many samples had been heard since the one before it."""

    type: Literal["flushed"]
    epoch: Annotated[int, Field(ge=1)]
    samples: Annotated[int, Field(ge=0)]


class Pressed(_Message):
    type: Literal["digit"]
    digit: Annotated[str, Field(pattern=r"^[0-9*#A-D]$")]


class HungUp(_Message):
    type: Literal["hangup"]


Message = Start | Played | Flushed | Pressed | HungUp
_ANY: TypeAdapter[Message] = TypeAdapter(Annotated[Message, Field(discriminator="type")])


def parse(text: str) -> Message:
    """Raises `BadMessage`."""
    try:
        return _ANY.validate_json(text)
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_context=False, include_input=False)[0]
        raise BadMessage(f"no message of the phone: {wrong['msg']}") from error


def tell(kind: str, **more: Told) -> str:
    """A message to the page: `call`, `answered`, `pause`, `resume`, `flush`, `hold`, `digits`, `led-on`, `ended`."""
    message: Mapping[str, Told] = {"type": kind, **more}
    return json.dumps(message, ensure_ascii=False)
