"""`send_dtmf`: presses keys towards the far side, for calls that reach a machine."""

from __future__ import annotations

from collections.abc import Mapping

from voxtrad.providers.base import JSON, ToolSpec
from voxtrad.tools.base import CallActions, Outcome, ToolContext, ToolOptions

DESCRIPTION = "Press telephone keys, for a voice menu or an extension at the other end."


class SendDtmfTool:
    """Argument: `digits`, 1 to 32 of `0-9 A-D * #`."""

    def __init__(self, name: str = "send_dtmf", description: str = "", options: ToolOptions | None = None) -> None:
        self.spec = ToolSpec(
            name,
            description or DESCRIPTION,
            {
                "type": "object",
                "properties": {"digits": {"type": "string", "pattern": "^[0-9A-D*#]{1,32}$"}},
                "required": ["digits"],
                "additionalProperties": False,
            },
        )
        self.options = options or ToolOptions()

    async def run(self, arguments: Mapping[str, JSON], context: ToolContext, actions: CallActions) -> Outcome:
        await actions.send_digits(str(arguments["digits"]).strip())  # a pattern's $ lets a line break pass
        return Outcome({"status": "sent"})
