"""From a tool's configuration to the tool: one place that knows which kinds there are."""

from __future__ import annotations

from collections.abc import Mapping

from voxtrad.config.models import AgentConfig, Config, DeclaredTool, EndCallTool, ToolBase, WebhookTool
from voxtrad.config.templates import Condition, Template, TemplateTree
from voxtrad.errors import VoxtradError
from voxtrad.outbound.client import OutboundClient
from voxtrad.outbound.signing import Signer
from voxtrad.providers.base import ToolSpec
from voxtrad.tools.base import Declared, Tool, ToolOptions
from voxtrad.tools.builtin import end_call
from voxtrad.tools.callbacks import Callbacks
from voxtrad.tools.webhook import WebhookTool as Webhook


class UnknownTool(VoxtradError):
    """An agent names a tool that this version cannot make; `voxtrad check` refuses such a configuration."""


def build_tools(
    config: Config, agent: AgentConfig, *, client: OutboundClient, callbacks: Callbacks | None = None
) -> dict[str, Tool]:
    """The tools of one agent by name. Raises `UnknownTool` and `BadSecret`."""
    return {name: _build(name, config.tools.get(name), client, callbacks) for name in agent.tools}


def _build(name: str, config: ToolBase | None, client: OutboundClient, callbacks: Callbacks | None) -> Tool:
    if config is None and name == "end_call":
        return end_call.EndCallTool()
    match config:
        case EndCallTool():
            return end_call.EndCallTool(name, config.description, _options(config))
        case DeclaredTool():
            return Declared(_spec(config), _options(config))
        case WebhookTool():
            return Webhook(
                _spec(config),
                _options(config),
                url=config.webhook.url,
                client=client,
                signer=Signer([secret.get_secret_value() for secret in config.webhook.secret]),
                callbacks=callbacks,
                idempotent=config.idempotent,
            )
        case _:
            raise UnknownTool(f"the tool '{name}' cannot be made")


def _spec(config: ToolBase) -> ToolSpec:
    return ToolSpec(config.name, config.description, config.parameters)


def _options(config: ToolBase) -> ToolOptions:
    fixed: Mapping[str, object] = config.fixed
    return ToolOptions(
        timeout=config.timeout,
        say=Template(config.say) if config.say else None,
        fixed=TemplateTree(config.fixed) if fixed else None,
        sequential=config.sequential,
        confirm=config.confirm,
        when=Condition(config.when) if config.when else None,
    )
