"""`collect_digits`: the caller keys in a number. A sensitive one goes to a variable, never to the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from voxtrad.providers.base import JSON, ToolSpec
from voxtrad.tools.base import CallActions, Outcome, ToolContext, ToolOptions

DESCRIPTION = "Take a number that the caller types on the telephone's keys. Gives the digits, once they are typed."
LONGEST = 64
"""Digits at most, where no length is set."""


class CollectDigitsTool:
    """Argument: `prompt`, said first; who knows it may press keys into it.

    `length` digits are complete, and so is what `terminator` (a key; empty: none) ends. `digit_timeout` is the longest
    wait for the next key, in seconds. Sensitive digits come as the variable that is named like the tool: templates
    (`fixed:`) and webhooks have them, but no model, event, transcript or log. There is one keypad: a second number that
    a model asks for at once is collected after the first.
    """

    def __init__(
        self,
        *,
        length: int | None = None,
        terminator: str = "#",
        digit_timeout: float = 5.0,
        sensitive: bool = False,
        name: str = "collect_digits",
        description: str = "",
        options: ToolOptions | None = None,
    ) -> None:
        self.spec = ToolSpec(
            name,
            description or DESCRIPTION,
            {
                "type": "object",
                "properties": {"prompt": {"type": "string", "description": "What to say to ask for it."}},
                "additionalProperties": False,
            },
        )
        self.options = replace(options or ToolOptions(timeout=30.0), sensitive=sensitive, sequential=True)
        self._length = length
        self._terminator = terminator
        self._digit_timeout = digit_timeout
        self._sensitive = sensitive

    async def run(self, arguments: Mapping[str, JSON], context: ToolContext, actions: CallActions) -> Outcome:
        prompt = arguments.get("prompt")
        digits = await actions.collect_digits(
            length=self._length or LONGEST,
            terminator=self._terminator,
            timeout=self._digit_timeout,
            sensitive=self._sensitive,
            prompt=prompt.strip() if isinstance(prompt, str) else "",
        )
        complete = len(digits) == self._length if self._length else bool(digits)
        if self._sensitive:
            kept = {self.spec.name: digits} if complete else {}
            return Outcome({"entered": len(digits), "complete": complete}, variables=kept)
        return Outcome({"digits": digits, "complete": complete})
