"""`set_variable`: the model notes something down in `vars.`, in the variables that the configuration lets it set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from voxtrad.providers.base import JSON, ToolSpec
from voxtrad.tools.base import CallActions, Outcome, ToolContext, ToolOptions

DESCRIPTION = "Note down a value for later in this call."


class SetVariableTool:
    """Arguments: `name`, one of `variables`; `value`: text, number or boolean. Another name is denied."""

    def __init__(
        self,
        variables: Sequence[str],
        name: str = "set_variable",
        description: str = "",
        options: ToolOptions | None = None,
    ) -> None:
        self.spec = ToolSpec(
            name,
            description or DESCRIPTION,
            {
                "type": "object",
                "properties": {
                    "name": {"type": "string", "enum": list(variables)},
                    "value": {"type": ["string", "number", "boolean"], "maxLength": 1000},
                },
                "required": ["name", "value"],
                "additionalProperties": False,
            },
        )
        self.options = replace(options or ToolOptions(), guarded=("name",))

    async def run(self, arguments: Mapping[str, JSON], context: ToolContext, actions: CallActions) -> Outcome:
        return Outcome({"status": "noted"}, variables={str(arguments["name"]): arguments["value"]})
