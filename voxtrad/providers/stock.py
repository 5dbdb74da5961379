"""The providers of one configuration, built when they are first asked for and shared by all who ask for the same.

Every list of choices becomes one provider that falls back along it; what is known of a vendor's health is known to all
agents that use it. Who speaks with which provider is not known here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar, cast

import structlog

from voxtrad.config.providers import ProviderChoice
from voxtrad.errors import VoxtradError
from voxtrad.finishing import finished
from voxtrad.providers.base import Kind, LanguageModel, Provider, SpeechToText, TextToSpeech, VoiceActivityDetector
from voxtrad.providers.fallback.circle import Deadlines, Observer
from voxtrad.providers.fallback.llm import FallbackLLM
from voxtrad.providers.fallback.stt import FallbackSTT
from voxtrad.providers.fallback.tts import FallbackTTS
from voxtrad.providers.registry import AnyProviderType

log = structlog.stdlib.get_logger(__name__)

_USUAL = Deadlines()

Types = Mapping[Kind, Mapping[str, AnyProviderType]]


class CannotBuild(VoxtradError):
    """A provider of the configuration cannot be made; the message names it."""


class _Closable(Protocol):
    async def aclose(self) -> None: ...


T = TypeVar("T", bound=_Closable)


class Stock:
    """Builds without I/O; the methods raise `CannotBuild` for a provider that cannot be built."""

    def __init__(self, types: Types, observer: Observer) -> None:
        self._types = types
        self._observer = observer
        self._built: list[tuple[Kind, ProviderChoice, Provider]] = []
        self._lists: list[tuple[Kind, Sequence[ProviderChoice], Deadlines, _Closable]] = []

    def stt(self, choices: Sequence[ProviderChoice], deadlines: Deadlines = _USUAL) -> SpeechToText:
        def wrap(found: list[Provider]) -> FallbackSTT:
            return FallbackSTT(cast("list[SpeechToText]", found), deadlines=deadlines, observer=self._observer)

        return self._list("stt", choices, deadlines, wrap)

    def llm(self, choices: Sequence[ProviderChoice], deadlines: Deadlines = _USUAL) -> LanguageModel:
        def wrap(found: list[Provider]) -> FallbackLLM:
            return FallbackLLM(cast("list[LanguageModel]", found), deadlines=deadlines, observer=self._observer)

        return self._list("llm", choices, deadlines, wrap)

    def tts(self, choices: Sequence[ProviderChoice], deadlines: Deadlines = _USUAL) -> TextToSpeech:
        def wrap(found: list[Provider]) -> FallbackTTS:
            return FallbackTTS(cast("list[TextToSpeech]", found), deadlines=deadlines, observer=self._observer)

        return self._list("tts", choices, deadlines, wrap)

    def vad(self, choice: ProviderChoice) -> VoiceActivityDetector:
        return cast("VoiceActivityDetector", self._one("vad", choice))

    async def aclose(self) -> None:
        """Close all of them. Never raises for what a vendor does then."""
        closable = [item for *_, item in self._lists]
        closable += [cast("_Closable", provider) for kind, _, provider in self._built if kind != "vad"]
        self._lists, self._built = [], []
        await finished(_close(closable))

    def _list(
        self,
        kind: Kind,
        choices: Sequence[ProviderChoice],
        deadlines: Deadlines,
        wrap: Callable[[list[Provider]], T],
    ) -> T:
        for *known, shared in self._lists:
            if known == [kind, choices, deadlines]:
                return cast("T", shared)
        made = wrap([self._one(kind, choice) for choice in choices])
        self._lists.append((kind, choices, deadlines, made))
        return made

    def _one(self, kind: Kind, choice: ProviderChoice) -> Provider:
        """What a type builds is of the type's kind, the registry has checked that: so its users may cast."""
        for known_kind, known, provider in self._built:
            if (known_kind, known) == (kind, choice):
                return provider
        try:
            provider = self._types[kind][choice.type].build(choice.provider, choice.connection, choice.options)
        except VoxtradError as error:
            raise CannotBuild(f"{choice.provider} ({kind.upper()}): {error.message}", hint=error.hint) from error
        self._built.append((kind, choice, provider))
        return provider


async def _close(items: Sequence[_Closable]) -> None:
    for item in items:
        try:
            await item.aclose()
        except VoxtradError as error:
            log.warning("a provider did not close cleanly", reason=error.message)
