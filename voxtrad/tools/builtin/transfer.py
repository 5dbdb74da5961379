"""`transfer`: the caller is handed to one of the configuration's destinations, once what is being said was heard."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from voxtrad.providers.base import JSON, ToolSpec
from voxtrad.tools.base import CallActions, Outcome, ToolContext, ToolOptions, Transfer

DESCRIPTION = "Put the caller through. Tell them so first, in one short sentence."


class TransferTool:
    """Argument: `destination`, one of those given (by name, with what is known of each). Another one is denied."""

    def __init__(
        self,
        destinations: Mapping[str, str],
        name: str = "transfer",
        description: str = "",
        options: ToolOptions | None = None,
    ) -> None:
        known = "; ".join(f"{place}: {about}" for place, about in destinations.items() if about)
        self.spec = ToolSpec(
            name,
            description or DESCRIPTION,
            {
                "type": "object",
                "properties": {
                    "destination": {"type": "string", "enum": list(destinations), "description": known or "Where to."}
                },
                "required": ["destination"],
                "additionalProperties": False,
            },
        )
        self.options = replace(options or ToolOptions(), guarded=("destination",))

    async def run(self, arguments: Mapping[str, JSON], context: ToolContext, actions: CallActions) -> Outcome:
        return Outcome({"status": "the caller is being put through"}, then=Transfer(str(arguments["destination"])))
