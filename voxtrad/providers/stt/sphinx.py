"""Speech recognition by PocketSphinx, which runs inside voxtrad: no key and no network, for English only.

Over a telephone it is good at words it was told to expect and poor at anything else.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from voxtrad.config.types import ConfigModel, FilePath, Integer, Name
from voxtrad.providers.base import ProviderType, SpeechToText
from voxtrad.providers.options import Embedded


class SphinxOptions(ConfigModel):
    hints: tuple[Name, ...] = ()
    """Words and phrases that callers are likely to say, beside those that the agent's rules expect."""
    vocabulary: Literal["hints", "open"] = "hints"
    """hints: hear what is expected (where there is nothing to expect: anything). open: hear anything."""
    digits: Literal["numerals", "words"] = "numerals"
    """Spoken digits in a row become 1234, or stay one two three four."""
    workers: Integer | None = Field(default=None, ge=1, le=64)
    """How many callers can be recognised at once; unset: one per processor."""
    model: FilePath | None = None
    """A folder with an acoustic model (16 kHz); unset is the US-English one that is built in."""
    dictionary: FilePath | None = None
    """The pronunciation dictionary that belongs to the model."""


def _build(name: str, connection: Embedded, options: SphinxOptions) -> SpeechToText:
    raise NotImplementedError


PROVIDER = ProviderType(kind="stt", connection=Embedded, options=SphinxOptions, build=_build)
