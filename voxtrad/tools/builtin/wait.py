"""`wait`: the caller asked for a moment, so nobody asks whether they are still there until they speak again."""

from __future__ import annotations

from collections.abc import Mapping

from voxtrad.providers.base import JSON, ToolSpec
from voxtrad.tools.base import CallActions, Outcome, ToolContext, ToolOptions

DESCRIPTION = "The caller asked you to wait a moment. Say briefly that you will, then say nothing until they are back."


class WaitTool:
    """Argument: `seconds`, where the caller said how long; never more than `longest`."""

    def __init__(
        self, longest: float = 120.0, name: str = "wait", description: str = "", options: ToolOptions | None = None
    ) -> None:
        self.spec = ToolSpec(
            name,
            description or DESCRIPTION,
            {
                "type": "object",
                "properties": {
                    "seconds": {"type": "number", "minimum": 1, "description": "How long, where they said."}
                },
                "additionalProperties": False,
            },
        )
        self.options = options or ToolOptions()
        self._longest = longest

    async def run(self, arguments: Mapping[str, JSON], context: ToolContext, actions: CallActions) -> Outcome:
        wanted = arguments.get("seconds")
        seconds = min(float(wanted), self._longest) if isinstance(wanted, int | float) else self._longest
        actions.hold(seconds)
        return Outcome({"status": "waiting", "seconds": seconds})
