"""Tries what a configuration names beyond this machine: each provider is asked for a word, each URL whether it answers.

The least that shows that a key, a model's name and a network are right; a vendor may charge a token or a word for it.
The PBX is looked at in `telephony/asterisk/examination.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager
from typing import cast

from yarl import URL

from voxtrad.config.models import Config, HttpTool, McpTool, ProviderChoice, WebhookTool
from voxtrad.errors import VoxtradError
from voxtrad.outbound.client import OutboundClient, OutboundError
from voxtrad.providers.base import BadKey, Kind, LanguageModel, Provider, SpeechToText, TextToSpeech
from voxtrad.providers.fallback.llm import probe_llm
from voxtrad.providers.fallback.stt import probe_stt
from voxtrad.providers.fallback.tts import probe_tts
from voxtrad.providers.stock import Types
from voxtrad.remarks import Remark, Tell
from voxtrad.tools.mcp import McpNotInstalled
from voxtrad.tools.registry import mcp_server

PATIENCE = 20.0
"""Seconds that a provider may take; a model on a machine of one's own may have to be loaded first."""
_MAX_ANSWER = 1024 * 1024


async def probe(config: Config, types: Types, client: OutboundClient, tell: Tell) -> None:
    """Everything at once, told in the order of the configuration."""
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(_provider(*choice, types, config)) for choice in _choices(config)]
        asked += [group.create_task(_url(*url, client)) for url in _urls(config)]
        for task in asked:
            tell(await task)
    for remark in (*_servers(config), *_warnings(config, types)):
        tell(remark)


async def build(config: Config, types: Types) -> list[Remark]:
    """Makes every provider and MCP server without asking it anything: one remark for each that cannot be made."""
    providers = [
        remark
        for path, kind, choice in _choices(config)
        if (remark := await _judged(path, kind, choice, _built(kind, choice, types))) is not None
    ]
    return [*providers, *_servers(config), *_warnings(config, types)]


# --- providers --------------------------------------------------------------------------------------------------------


def _choices(config: Config) -> Iterator[tuple[str, Kind, ProviderChoice]]:
    """Every provider with its options, once, and where it is first named."""
    seen: list[tuple[Kind, ProviderChoice]] = []
    for name, agent in config.agents.items():
        lists: list[tuple[Kind, tuple[ProviderChoice, ...]]] = [
            ("stt", agent.stt), ("llm", agent.llm), ("tts", agent.tts), ("vad", (agent.vad,)),
        ]  # fmt: skip
        for kind, choices in lists:
            for index, choice in enumerate(choices):
                if (kind, choice) not in seen:
                    seen.append((kind, choice))
                    yield f"agents.{name}.{kind}" + (f"[{index}]" if len(choices) > 1 else ""), kind, choice


async def _provider(path: str, kind: Kind, choice: ProviderChoice, types: Types, config: Config) -> Remark:
    tool = any(choice in agent.llm and agent.tools for agent in config.agents.values())
    failed = await _judged(path, kind, choice, _asked(kind, choice, types, tool=tool))
    return Remark(path, f"{_what(kind, choice)} answers") if failed is None else failed


def _warnings(config: Config, types: Types) -> Iterator[Remark]:
    """What providers would have an administrator know of how they are chosen."""
    for path, kind, choice in _choices(config):
        warning = types[kind][choice.type].warning
        if warning is not None and (said := warning(choice.connection, choice.options)) is not None:
            yield Remark(path, f"{_what(kind, choice)}: {said}", "warning")


async def _judged(path: str, kind: Kind, choice: ProviderChoice, tried: Awaitable[None]) -> Remark | None:
    """What went wrong when something was tried with a provider; None where nothing did."""
    what = _what(kind, choice)
    try:
        async with asyncio.timeout(PATIENCE):
            await tried
    except TimeoutError:
        return Remark(path, f"{what}: no answer within {PATIENCE:g} s", "error")
    except BadKey as error:
        return Remark(path, f"{what}: the key is refused: {error.message}", "error", error.hint)
    except VoxtradError as error:
        return Remark(path, f"{what}: {error.message}", "error", error.hint)
    except Exception as error:  # noqa: BLE001 - a provider of somebody else's may raise anything; the others go on
        return Remark(path, f"{what}: broke with {type(error).__name__}", "error", "a fault of the provider's module")
    return None


def _what(kind: Kind, choice: ProviderChoice) -> str:
    return f"{choice.provider} ({kind.upper()})"


async def _built(kind: Kind, choice: ProviderChoice, types: Types) -> None:
    async with _open(kind, choice, types):
        pass


async def _asked(kind: Kind, choice: ProviderChoice, types: Types, *, tool: bool) -> None:
    """`tool`: whether the model is given tools, which some take only with certain options."""
    async with _open(kind, choice, types) as provider:
        match kind:
            case "stt":
                await probe_stt(cast("SpeechToText", provider))
            case "llm":
                await probe_llm(cast("LanguageModel", provider), tool=tool)
            case "tts":
                await probe_tts(cast("TextToSpeech", provider))
            case "vad":
                pass


@asynccontextmanager
async def _open(kind: Kind, choice: ProviderChoice, types: Types) -> AsyncIterator[Provider]:
    provider = types[kind][choice.type].build(choice.provider, choice.connection, choice.options)
    try:
        yield provider
    finally:
        if kind != "vad":
            await cast("SpeechToText | LanguageModel | TextToSpeech", provider).aclose()


def _servers(config: Config) -> Iterator[Remark]:
    """MCP servers that nobody can connect to, as the package for it is not installed."""
    for name, tool in config.tools.items():
        if isinstance(tool, McpTool):
            try:
                mcp_server(tool)
            except McpNotInstalled as error:
                yield Remark(f"tools.{name}.mcp", error.message, "error", error.hint)


# --- URLs -------------------------------------------------------------------------------------------------------------


def _urls(config: Config) -> Iterator[tuple[str, str]]:
    for name, tool in config.tools.items():
        match tool:
            case WebhookTool():
                yield f"tools.{name}.webhook.url", tool.webhook.url
            case HttpTool():
                # A template may stand in all but the host: with nothing in it the path would be another one.
                yield f"tools.{name}.http.url", str(URL(tool.http.url.partition("{")[0]).origin())
            case McpTool() if tool.mcp.url is not None:
                yield f"tools.{name}.mcp.url", tool.mcp.url
            case _:
                pass
    for index, webhook in enumerate(config.webhooks):
        yield f"webhooks[{index}].url", webhook.url
    if config.lookup is not None:
        yield "lookup.webhook.url", config.lookup.webhook.url


async def _url(path: str, url: str, client: OutboundClient) -> Remark:
    """Whether somebody answers there. A HEAD does nothing: 404 or 405 is what many say to it, and good enough."""
    host = URL(url).origin()
    try:
        answer = await client.request("HEAD", url, timeout=5.0, max_bytes=_MAX_ANSWER)
    except OutboundError as error:
        return Remark(path, error.message, "error", "is it running, and reachable from here?")
    if answer.status >= 500:
        return Remark(path, f"{host} answers with an error ({answer.status})", "warning")
    return Remark(path, f"{host} answers")
