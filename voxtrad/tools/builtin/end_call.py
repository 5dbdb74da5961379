"""`end_call`: the agent hangs up, once what it says has been heard. A caller who speaks up meanwhile keeps the call."""

from __future__ import annotations

from collections.abc import Mapping

from voxtrad.providers.base import JSON, ToolSpec
from voxtrad.tools.base import CallActions, EndCall, Outcome, ToolContext, ToolOptions

DESCRIPTION = "End the call. Use it when the caller has said goodbye or nothing is left to do."


class EndCallTool:
    def __init__(self, name: str = "end_call", description: str = "", options: ToolOptions | None = None) -> None:
        self.spec = ToolSpec(
            name, description or DESCRIPTION, {"type": "object", "properties": {}, "additionalProperties": False}
        )
        self.options = options or ToolOptions()

    async def run(self, arguments: Mapping[str, JSON], context: ToolContext, actions: CallActions) -> Outcome:
        return Outcome({"status": "the call ends when this was heard"}, then=EndCall())
