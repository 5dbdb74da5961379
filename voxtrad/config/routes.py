"""Which calls go to which agent, and where a call can be sent from there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    TypeAdapter,
    ValidationError,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from voxtrad.config.agents import ContinueTarget
from voxtrad.config.diagnostics import did_you_mean
from voxtrad.config.hours import HoursError, OpeningHours, parse_hours
from voxtrad.config.keys import yaml_keys
from voxtrad.config.raising import Contradiction, as_details, at, together
from voxtrad.config.template_types import TemplateText
from voxtrad.config.types import (
    ONE_OR_MORE,
    Boolean,
    ConfigModel,
    Duration,
    Matching,
    Name,
    ReadOnly,
    Text,
    editor_form,
    is_set,
)

# --- routes -----------------------------------------------------------------------------------------------------------


def _number(value: str) -> str:
    if not value or re.search(r"[^\w+*#@.:()/ -]", value):
        raise PydanticCustomError("number", "must be a number, like +442071234567, 1000 or +4420*")
    if value.startswith("_"):
        raise PydanticCustomError("number", "must be no pattern of the dialplan: _0800X. is written 0800*")
    if re.match(r"\+[^@]*[^\W\d][^@]*$", value):
        raise PydanticCustomError("number", "must have no letters after the '+', like +442071234567 or +4420*")
    return value


def _hours(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return parse_hours(str.__str__(value))
    except HoursError as error:
        raise together(
            [at((), PydanticCustomError("hours", "{why}", {"why": why})) for why in error.problems]
        ) from None


_NUMBER = r"""^(?!_|\+[^@]*[A-Za-z_][^@]*$)[^!"$%&',;<=>?\[\\\]^`{|}~\x00-\x1f]+$"""
"""For editors: what `_number` refuses, save for letters and signs of other scripts."""

NumberPattern = Annotated[
    Text, AfterValidator(_number), editor_form(_NUMBER, "must be a number, like +442071234567, 1000 or +4420*")
]
NumberPatterns = Annotated[tuple[NumberPattern, ...], ONE_OR_MORE, Field(min_length=1)]
_DAY, _TIME = r"[A-Za-z]{3,9}", r"([01]?\d|2[0-4]):[0-5]\d"
_DAYS = rf"{_DAY}(-{_DAY})?"
_HOURS = rf"^\s*{_DAYS}(,{_DAYS})*\s+{_TIME}\s*-\s*{_TIME}\s+\S+\s*$"
_Written = Annotated[
    str, editor_form(_HOURS, "must be days, times and the time zone, like Mon-Fri 09:00-17:30 Europe/London")
]
Hours = Annotated[
    tuple[Annotated[OpeningHours, BeforeValidator(_hours, json_schema_input_type=_Written)], ...],
    ONE_OR_MORE,
    Field(min_length=1),
]


class Route(ConfigModel):
    """All conditions that are given must hold; a route without any takes every call."""

    model_config = ConfigDict(
        json_schema_extra={
            "allOf": [{"if": {"required": [key]}, "then": is_set(key)} for key in ("variables", "to", "from", "hours")]
        }
    )

    variables: Annotated[ReadOnly[Text], Field(json_schema_extra={"minProperties": 1})] | None = None
    """Channel variables and their values; `*` stands for any text."""
    to: NumberPatterns | None = None
    """The number dialled, or several; `*` stands for any digits."""
    from_: NumberPatterns | None = Field(default=None, alias="from")
    """The caller's number; `anonymous` is a caller without one."""
    hours: Hours | None = None
    """Opening hours with their time zone, `Mon-Fri 09:00-17:30 Europe/London`, or several."""
    agent: Name
    """Who takes the call."""

    def contradictions(self) -> Iterator[Contradiction]:
        for key, value in (("variables", self.variables), ("to", self.to), ("from", self.from_), ("hours", self.hours)):
            if not value and (key in self.model_fields_set or f"{key}_" in self.model_fields_set):
                yield Contradiction("must not be empty; leave it out, if it does not matter", (key,))


# --- destinations -----------------------------------------------------------------------------------------------------


class DestinationBase(ConfigModel):
    """What all destinations have in common."""

    name: Name = Field(json_schema_extra={"x-voxtrad": "name"})
    """The destination's name: its key under `destinations:`."""
    description: Text = ""
    """Who is there and for what, for the model."""


class DialDestination(DestinationBase):
    """A person or group that is called and bridged with the caller."""

    dial: Annotated[Text, Matching(r"^[A-Za-z0-9]+/.+$", "a channel, like Local/200@from-internal")]
    """The channel to dial, like `Local/200@from-internal` or `PJSIP/200`. Through a `Local/` channel the dialplan takes
    part: on FreePBX an extension's do-not-disturb, follow-me and voicemail work that way, and not with `PJSIP/`.
    """
    mode: Literal["blind", "attended"] = "blind"
    """`attended`: the person hears a brief and accepts with 1 or declines with 2."""
    brief: TemplateText = "auto"
    """What the person is told; `auto` is a summary of the conversation."""
    question: TemplateText = "Press 1 to take the call, or 2 to decline."
    """What the person is asked then."""
    caller_hears: Literal["ringing", "music"] = "ringing"
    """What the caller hears meanwhile; the music is the PBX's."""
    timeout: Annotated[Duration, Field(gt=0, le=300)] = 25.0
    """How long it rings."""
    after: Literal["hangup", "agent"] = "hangup"
    """What happens when the person leaves: hang up, or the agent comes back."""
    record: Boolean = False
    """Whether a call that is recorded stays so while the caller talks with this person; otherwise silence is."""


class ContinueDestination(DestinationBase):
    """A place in the dialplan; caller ID and CDR stay. The channel has `VOXTRAD_CALL_ID`, `VOXTRAD_OUTCOME` and
    `VOXTRAD_SUMMARY`. From the context `voxtrad-transfer` (to be pasted, see `voxtrad doctor`) the caller comes back to
    the same conversation when nobody takes the call; so from any context that has the extension `voxtrad-returns` and
    enters `Stasis` again, with the dial status, or `DECLINED`, in `VOXTRAD_RETURNED`."""

    continue_: ContinueTarget = Field(alias="continue")
    """The place."""


class AgentDestination(DestinationBase):
    """Another agent, which gets a summary."""

    agent: Name
    """The agent."""


DESTINATION_KINDS = ("dial", "continue", "agent")


def _variant(value: object) -> str | None:
    match value:
        case DialDestination():
            return "(dial)"
        case ContinueDestination():
            return "(continue)"
        case AgentDestination():
            return "(agent)"
        case Mapping():
            given = _kinds(value)
            return f"({given[0]})" if len(given) == 1 else None
        case _:
            return None


def _kinds(value: Mapping[str, object]) -> list[str]:
    """Which of the kinds it has; where it has none, which one is misspelt."""
    given = [key for key in DESTINATION_KINDS if key in value]
    meant = (did_you_mean(str(key), DESTINATION_KINDS) for key in value if key not in yaml_keys(DialDestination))
    return given or list(dict.fromkeys(kind for kind in meant if kind))


def _one_kind(value: object) -> object:
    if _variant(value) is not None:
        return value
    error = PydanticCustomError("destination", "needs exactly one of 'dial', 'continue' and 'agent'")
    if not isinstance(value, Mapping):
        raise error
    several = _kinds(value)
    rest = {key: item for key, item in value.items() if key not in several[1:]}
    raise together([at((), error), *(_wrong_within(rest) if several else ())])


def _wrong_within(destination: Mapping[str, object]) -> list[InitErrorDetails]:
    """What else is wrong with a destination that has too much."""
    try:
        TypeAdapter(AnyDestination).validate_python(destination)
    except ValidationError as error:
        return as_details(error)
    return []


Destination = DialDestination | ContinueDestination | AgentDestination

AnyDestination = Annotated[
    Annotated[DialDestination, Tag("(dial)")]
    | Annotated[ContinueDestination, Tag("(continue)")]
    | Annotated[AgentDestination, Tag("(agent)")],
    Discriminator(_variant),
    BeforeValidator(_one_kind),
]
