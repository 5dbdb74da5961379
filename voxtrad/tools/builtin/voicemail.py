"""`voicemail`: the caller is led on to the dialplan's voicemail, once what is being said was heard."""

from __future__ import annotations

from collections.abc import Mapping

from voxtrad.providers.base import JSON, ToolSpec
from voxtrad.tools.base import CallActions, Outcome, Proceed, ToolContext, ToolOptions

DESCRIPTION = "Let the caller leave a message. Tell them so first; this conversation ends with it."


class VoicemailTool:
    def __init__(
        self, place: Proceed, name: str = "voicemail", description: str = "", options: ToolOptions | None = None
    ) -> None:
        self.spec = ToolSpec(
            name, description or DESCRIPTION, {"type": "object", "properties": {}, "additionalProperties": False}
        )
        self.options = options or ToolOptions()
        self._place = place

    async def run(self, arguments: Mapping[str, JSON], context: ToolContext, actions: CallActions) -> Outcome:
        return Outcome({"status": "the caller is led on to leave a message"}, then=self._place)
