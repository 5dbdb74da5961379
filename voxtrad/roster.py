"""The agents of one configuration, ready to take calls: providers built, tools made, sentences in the cache.

A reload makes a new roster; the old one closes its providers when its last call has ended. How a call goes is not known
here, nor who carries it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from voxtrad.config.models import AgentConfig, Config
from voxtrad.config.templates import Template, TemplateRenderError, literal
from voxtrad.conversation.analysis import Analyst
from voxtrad.conversation.dialogue import converse
from voxtrad.conversation.handover import Switch
from voxtrad.conversation.plan import Dialogue, Plan, Providers, ToolboxMaker
from voxtrad.conversation.speech_cache import SpeechCache
from voxtrad.handlers import find_handler
from voxtrad.ledger.recordings import FOLDER as RECORDINGS
from voxtrad.leg import Leg
from voxtrad.lookup import NOTHING, Lookup
from voxtrad.providers.base import JSON
from voxtrad.providers.fallback.circle import Deadlines
from voxtrad.providers.stock import Stock, Types
from voxtrad.routing import decide
from voxtrad.switchboard import Refused
from voxtrad.tools.mcp_servers import Lease

log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Desk:
    """An agent with all it needs."""

    config: AgentConfig
    providers: Providers
    dialogue: Dialogue
    toolbox: ToolboxMaker
    analyst: Analyst | None
    hints: tuple[str, ...]
    """What callers are likely to say."""


class Roster:
    """Who takes the calls. Building it does no I/O; `prepare` does what can be done before the first call."""

    def __init__(
        self,
        config: Config,
        *,
        types: Types,
        stock: Stock,
        servers: Lease,
        tools: Callable[[AgentConfig], ToolboxMaker],
        cache: SpeechCache,
        lookup: Lookup | None,
    ) -> None:
        """`stock` is closed and `servers` are given up when the roster is not needed any more.

        Raises `VoxtradError` where a provider cannot be built or a handler cannot be imported.
        """
        self.config = config
        self._cache = cache
        self._stock = stock
        self._servers = servers
        self._lookup = lookup
        self._desks = {name: self._desk(agent, types, tools(agent)) for name, agent in config.agents.items()}
        self._switch = Switch(config.destinations, self.plan_for)
        self._live = 0
        self._retired = False

    # --- for the switchboard ------------------------------------------------------------------------------------------

    @property
    def max_calls(self) -> int:
        return self.config.server.max_calls

    async def plan(self, call_id: str, leg: Leg) -> Plan:
        """Which agent takes a leg, and with what. Raises `Refused`."""
        decision = decide(self.config, leg.info, datetime.now(UTC))
        if decision.warning:
            log.warning(decision.warning)
        found = NOTHING if self._lookup is None else await self._lookup.ask(call_id, leg.info, decision.agent)
        if found.reject is not None:
            raise Refused(f"rejected: {found.reject}", "REJECTED", "rejected")
        agent, why = decision.agent, decision.reason
        if found.agent in self._desks:
            agent, why = found.agent, "the caller lookup says so"
        elif found.agent is not None:
            log.warning("the caller lookup names an agent that there is not", agent=found.agent)
        if agent is None:
            raise Refused(why, "UNROUTED", "unrouted")
        log.info("routed", agent=agent, why=why)
        return self.plan_for(agent, call_id, found.variables, found.greeting)

    def plan_for(
        self, agent: str, call_id: str, variables: Mapping[str, JSON] | None = None, greeting: str | None = None
    ) -> Plan:
        """What a call with this agent is done with. Raises `KeyError` for an agent that is not there."""
        desk = self._desks[agent]
        return Plan(
            call_id=call_id,
            config=desk.config if greeting is None else _greeting_with(greeting, desk.config),
            providers=desk.providers,
            dialogue=desk.dialogue,
            kept=self._cache.voice,
            toolbox=desk.toolbox,
            handover=self._switch,
            variables=variables or {},
            hints=desk.hints,
            recordings=self.config.server.data_dir / RECORDINGS,
            analyst=desk.analyst,
        )

    def begin(self) -> None:
        self._live += 1

    async def end(self) -> None:
        self._live -= 1
        if self._retired and not self._live:
            await self._close()

    # --- for the daemon -----------------------------------------------------------------------------------------------

    async def prepare(self, rate: int) -> None:
        """Synthesize what the configuration itself says, for calls at this sample rate. Never raises."""
        self.begin()  # its providers are in use, like by a call
        try:
            for desk in self._desks.values():
                if not self._retired:
                    await self._cache.prepare(desk.providers.tts, desk.config.language, rate, _sentences(desk.config))
        except Exception:  # the outermost supervisor: without these sentences calls go on all the same
            log.exception("sentences could not be synthesized ahead")
        finally:
            await self.end()

    async def retire(self) -> None:
        """Another roster takes the calls to come: close the providers once the last call here is over."""
        self._retired = True
        if not self._live:
            await self._close()

    async def _close(self) -> None:
        self._servers.give_up()
        await self._stock.aclose()

    def _desk(self, config: AgentConfig, types: Types, toolbox: ToolboxMaker) -> _Desk:
        expected: list[str] = []
        for choice in config.llm:
            waits_for = types["llm"][choice.type].expected
            expected += waits_for(choice.options) if waits_for is not None else []
        deadlines = Deadlines(**config.deadlines.model_dump())
        return _Desk(
            config=config,
            providers=Providers(
                stt=self._stock.stt(config.stt, deadlines),
                llm=self._stock.llm(config.llm, deadlines),
                tts=self._stock.tts(config.tts, deadlines),
                vad=self._stock.vad(config.vad),
            ),
            dialogue=converse if config.handler is None else find_handler(config.handler),
            toolbox=toolbox,
            analyst=Analyst(self._stock.llm(config.analysis.llm), config.analysis) if config.analysis else None,
            hints=(*config.hints, *expected, *(("yes", "no") if config.record == "consent" else ())),
        )


def _greeting_with(words: str, config: AgentConfig) -> AgentConfig:
    """The agent with another greeting, said as it is: what others tell us is no template."""
    return config.model_copy(update={"greeting": config.greeting.model_copy(update={"text": literal(words)})})


def _sentences(config: AgentConfig) -> list[str]:
    """What an agent is sure to say, where it does not depend on the call."""
    asked = [config.consent] if config.record == "consent" else []
    written = [config.greeting.text, *asked, *config.filler, *config.idle.say, config.apology]
    rendered = []
    for text in written:
        try:
            rendered.append(Template(text).render(vars=dict(config.variables), call={}))
        except TemplateRenderError as error:
            log.warning("a sentence cannot be prepared", agent=config.name, reason=error.message)
    return rendered
