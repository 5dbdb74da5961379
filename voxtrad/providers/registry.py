"""Which provider types there are: the built-in modules and those that other packages bring as entry points.

A type's module is imported only when it is asked for, so a server pays for what it uses; listing the names is free.
What is done with a type (validating options, building providers) is for those who ask.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import Final, cast

from pydantic import BaseModel

from voxtrad.errors import VoxtradError
from voxtrad.providers.base import Kind, Provider, ProviderType

AnyProviderType = ProviderType[Provider, BaseModel, BaseModel]
"""A type whose models are not known here. Its `build` wants instances of its own `connection` and `options`."""

KINDS: Final[tuple[Kind, ...]] = ("stt", "llm", "tts", "vad")

BUILT_IN: Final[Mapping[Kind, Mapping[str, str]]] = MappingProxyType(
    {
        "stt": MappingProxyType(
            {
                "sphinx": "voxtrad.providers.stt.sphinx",
                "openai": "voxtrad.providers.stt.openai",
                "deepgram": "voxtrad.providers.stt.deepgram",
                "assemblyai": "voxtrad.providers.stt.assemblyai",
                "elevenlabs": "voxtrad.providers.stt.elevenlabs",
                "wyoming": "voxtrad.providers.stt.wyoming",
            },
        ),
        "llm": MappingProxyType(
            {
                "scripted": "voxtrad.providers.llm.scripted",
                "openai": "voxtrad.providers.llm.openai",
                "anthropic": "voxtrad.providers.llm.anthropic",
            },
        ),
        "tts": MappingProxyType(
            {
                "espeak": "voxtrad.providers.tts.espeak",
                "openai": "voxtrad.providers.tts.openai",
                "elevenlabs": "voxtrad.providers.tts.elevenlabs",
                "deepgram": "voxtrad.providers.tts.deepgram",
                "wyoming": "voxtrad.providers.tts.wyoming",
                "cartesia": "voxtrad.providers.tts.cartesia",
                "piper": "voxtrad.providers.tts.piper",
            },
        ),
        "vad": MappingProxyType(
            {
                "energy": "voxtrad.providers.vad.energy",
                "webrtc": "voxtrad.providers.vad.webrtc",
                "silero": "voxtrad.providers.vad.silero",
            },
        ),
    }
)
"""The modules that voxtrad brings. Each exports its type as `PROVIDER`."""

BUILT_IN_VOICE: Final = "espeak"
"""The TTS that needs no key, no network and no connection: what voxtrad itself speaks with, where it plays a caller."""


class BrokenProvider(VoxtradError):
    """A provider's module cannot be imported or does not hold what it should."""


def provider_types() -> Mapping[Kind, Mapping[str, AnyProviderType]]:
    """All provider types of this installation, by kind and name.

    Third parties add theirs by entry points in the groups `voxtrad.stt`, `voxtrad.llm`, `voxtrad.tts` and
    `voxtrad.vad`, each naming a `ProviderType`; a built-in name cannot be taken by one. Looking a name up imports its
    module and raises `BrokenProvider` when that fails, `KeyError` for a name nobody has.
    """
    return {kind: _Types(kind, BUILT_IN[kind]) for kind in KINDS}


class _Types(Mapping[str, AnyProviderType]):
    """The types of one kind; a module is imported when its name is looked up."""

    def __init__(self, kind: Kind, built_in: Mapping[str, str]) -> None:
        self._kind = kind
        found = {point.name: point for point in entry_points(group=f"voxtrad.{kind}")}
        self._sources: dict[str, str | EntryPoint] = {**found, **built_in}

    def __iter__(self) -> Iterator[str]:
        return iter(self._sources)

    def __len__(self) -> int:
        return len(self._sources)

    def __contains__(self, name: object) -> bool:
        return name in self._sources

    def __getitem__(self, name: str) -> AnyProviderType:
        source = self._sources[name]
        try:
            found: object = import_module(source).PROVIDER if isinstance(source, str) else cast("object", source.load())
        except (ImportError, AttributeError) as error:
            where = source if isinstance(source, str) else source.value
            raise BrokenProvider(
                f"the {self._kind} provider '{name}' cannot be loaded from {where}: {error}",
                hint="reinstall or remove the package that brings it",
            ) from error
        if not isinstance(found, ProviderType) or found.kind != self._kind:
            raise BrokenProvider(
                f"the {self._kind} provider '{name}' is not a ProviderType of kind {self._kind}",
                hint="reinstall or remove the package that brings it",
            )
        return found
