"""What an agent is: its voice, its manners, its limits. All of it is data; the conversation reads it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import inf
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from voxtrad.config.providers import LLMChoices, STTChoices, TTSChoices, VADChoice
from voxtrad.config.raising import Contradiction
from voxtrad.config.template_types import TemplateText
from voxtrad.config.types import (
    LEAVE_OUT,
    ONE_OR_MORE,
    Boolean,
    ConfigModel,
    Duration,
    FilePath,
    Integer,
    JSONObject,
    Matching,
    Name,
    OneOrMore,
    Text,
    exactly_one,
    read_choice,
    show_duration,
)


class ContinueTarget(ConfigModel):
    """A place in the dialplan. What is left out is the line after `Stasis()`."""

    context: Name | None = None
    """The dialplan's context."""
    extension: Name | None = None
    """The extension in it."""
    priority: Annotated[Integer, Field(ge=1)] | None = None
    """The priority, from 1."""


def _action(value: object) -> object:
    if isinstance(value, str) and value in ("hangup", "continue"):
        return {"hangup": True} if value == "hangup" else {"continue": {}}
    if isinstance(value, str):
        raise PydanticCustomError("action", "must be 'hangup', 'continue', {transfer: …} or {continue: …}")
    return value


class Action(ConfigModel):
    """What becomes of the caller: exactly one of the three."""

    model_config = ConfigDict(json_schema_extra=exactly_one(hangup=False, transfer=None, **{"continue": None}))

    without: ClassVar[str] = "something must become of the caller: hangup, continue, {transfer: …} or {continue: …}"

    hangup: Boolean = False
    """Hang up."""
    transfer: Name | None = None
    """Hand the caller to this destination."""
    continue_: ContinueTarget | None = Field(default=None, alias="continue")
    """Hand the caller back to the dialplan."""

    def contradictions(self) -> Iterator[Contradiction]:
        if self.hangup + (self.transfer is not None) + (self.continue_ is not None) != 1:
            keys = ("hangup", "transfer", "continue")
            yield Contradiction("needs exactly one of 'hangup', 'transfer' and 'continue'", keys, whole=True)


ActionText = Annotated[
    Action,
    BeforeValidator(_action, json_schema_input_type=Literal["hangup", "continue"] | Action),
]


class Greeting(ConfigModel):
    """What is said first."""

    text: TemplateText = ""
    """The words. Empty: the agent listens first."""
    interruptible: Boolean = True
    """Whether the caller may speak into it."""
    lead_in: Annotated[Duration, Field(ge=0, le=5)] = 0.3
    """Silence after the answer: many trunks swallow what is said first."""


def _greeting(value: object) -> object:
    if value is False:
        raise PydanticCustomError("text", "must be text", {"hint": 'to say nothing first write ""'})
    return value if isinstance(value, Mapping | Greeting) else {"text": value}


class TurnConfig(ConfigModel):
    """When the caller has finished speaking."""

    without: ClassVar[str] = "a turn always ends; leave it out to have it end as usual, or set max_silence in it"

    min_silence: Annotated[Duration, Field(gt=0, le=10)] = 0.5
    """Silence that ends a turn, where the STT does not decide it."""
    max_silence: Annotated[Duration, Field(gt=0, le=30)] = 3.0
    """Silence after which a turn ends even though it sounds unfinished."""
    speculate: Literal["eager", "off", "partial"] = "eager"
    """Whether a reply is begun before the turn is certain: on the vendor's early sign, never, or on partials."""

    def contradictions(self) -> Iterator[Contradiction]:
        if self.max_silence < self.min_silence:
            why = "max_silence must not be shorter than min_silence"
            if "max_silence" not in self.model_fields_set:
                why += f"; left out, it is {show_duration(self.max_silence)}"
            yield Contradiction(why, ("max_silence", "min_silence"))


class InterruptConfig(ConfigModel):
    """How the caller may interrupt the agent."""

    enabled: Boolean = True
    """Whether at all. What was said into a speech that cannot be interrupted is heard after it."""
    pause_after: Annotated[Duration, Field(ge=0, le=5)] = 0.2
    """Speech after which the agent pauses."""
    min_speech: Annotated[Duration, Field(ge=0, le=10)] = 0.5
    """Speech that interrupts where the STT gives no partial transcripts."""
    min_words: Annotated[Integer, Field(ge=0, le=20)] = 1
    """Words that interrupt; those of `ignore` do not count."""
    ignore: Annotated[tuple[Text, ...], OneOrMore("to have every word interrupt write []")] | None = None
    """Words of assent that do not interrupt. Left out: the usual ones of the agent's language."""
    resume_after: Annotated[Duration, Field(ge=0, le=30)] = 2.0
    """The longest pause before the agent goes on, when it was no interruption."""


class FillConfig(ConfigModel):
    """When the agent fills a silence that is its own."""

    without: ClassVar[str] = "to fill no silence write filler: []"

    after: Annotated[Duration, Field(gt=0, le=30)] = 1.5
    """Silence after the end of the caller's turn. Sooner where it would become dead air before."""
    every: Annotated[Duration, Field(gt=0, le=60)] = 6.0
    """Time between one filler and the next; sooner where it would become dead air."""
    dead_air: Annotated[Duration, Field(ge=1, le=60)] = 4.0
    """Silence that a caller takes for a dead line: it is filled before, and counted where that fails."""


class DeadlinesConfig(ConfigModel):
    """How long a provider may take while there is another to turn to; the last one has its own `timeout`."""

    connect: Annotated[Duration, Field(gt=0)] = 2.0
    """To connect."""
    first_token: Annotated[Duration, Field(gt=0)] = 4.0
    """A language model: to begin its answer."""
    first_audio: Annotated[Duration, Field(gt=0)] = 2.0
    """A voice: to begin a sentence."""


class IdleConfig(ConfigModel):
    """What happens when the caller says nothing."""

    enabled: Boolean = True
    """Whether anything does. If not, the agent waits for the caller until `max_duration`, and asks only whom it did not
    understand."""
    after: Annotated[Duration, Field(gt=0)] = 10.0
    """Silence, counted from the end of the agent's speech."""
    say: Annotated[tuple[TemplateText, ...], ONE_OR_MORE] = ("Are you still there?",)
    """What to say, one after the other; the last one again when there are no more."""
    max: Annotated[Integer, Field(ge=0)] = 2
    """How often to ask before `then`."""
    then: ActionText = Field(default_factory=lambda: Action(hangup=True))
    """What becomes of a caller who stays silent."""

    @property
    def patience(self) -> float:
        """Seconds of silence after which something happens; infinitely many where nothing does."""
        return self.after if self.enabled else inf


class AnalysisConfig(ConfigModel):
    """What an LLM shall find out of the transcript after the call."""

    without: ClassVar[str] = LEAVE_OUT

    llm: LLMChoices
    """Who analyses."""
    summary: Boolean = True
    """Whether to summarize."""
    fields: JSONObject = Field(default_factory=dict, json_schema_extra={"x-voxtrad": "schemas"})
    """Values to extract: name to JSON Schema."""
    success: Text | None = None
    """What a successful call is, in words."""


class AgentConfig(ConfigModel):
    """An agent: who answers a call."""

    model_config = ConfigDict(
        json_schema_extra={
            "not": {"required": ["prompt", "prompt_file"]},
            "if": {"properties": {"privacy": {"const": "none"}}, "required": ["privacy"]},
            "then": {"properties": {"record": {"enum": [False]}}},
        }
    )

    name: Name = Field(json_schema_extra={"x-voxtrad": "name"})
    """The agent's name: its key under `agents:`."""
    greeting: Annotated[Greeting, BeforeValidator(_greeting, json_schema_input_type=Text | Greeting)] = Field(
        default_factory=Greeting
    )
    """What is said first: text, or `text` and `interruptible`."""
    prompt: TemplateText = ""
    """The system prompt of the language model."""
    prompt_file: FilePath | None = None
    """A file with the prompt, instead of `prompt`."""
    variables: JSONObject = Field(default_factory=dict)
    """Values for templates (`vars.`). Declare here what lookup or tools set later; null is a value too."""
    stt: STTChoices
    """Speech to text: a provider, or several that stand in for each other in this order."""
    llm: LLMChoices
    """The language model: one, or several in order."""
    tts: TTSChoices
    """Text to speech: one, or several in order."""
    deadlines: DeadlinesConfig = Field(default_factory=DeadlinesConfig)
    """How long a provider may take before the next in its list takes over."""
    vad: VADChoice = Field(default="webrtc", validate_default=True)
    """Voice-activity detection."""
    language: Annotated[Text, Matching(r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$", "a language tag, like en or en-GB")] = (
        "en"
    )
    """The language spoken, as a BCP 47 tag: `en`, `en-GB`, `de`."""
    hints: Annotated[tuple[Name, ...], OneOrMore("leave it out, or write [] for none")] = ()
    """Words and phrases that callers are likely to say; STT recognises them better."""
    turn: TurnConfig = Field(default_factory=TurnConfig)
    """When the caller has finished speaking."""
    interrupt: InterruptConfig = Field(default_factory=InterruptConfig)
    """How the caller may interrupt."""
    idle: IdleConfig = Field(default_factory=IdleConfig)
    """What happens when the caller says nothing."""
    filler: Annotated[tuple[TemplateText, ...], OneOrMore("to say nothing write []")] = (
        "One moment, please.",
        "Just a moment longer.",
    )
    """Said when an answer takes long, one after the other. Empty: nothing is said, and the caller hears silence."""
    fill: FillConfig = Field(default_factory=FillConfig)
    """When a filler is said."""
    apology: TemplateText = "I am sorry, something is not working here."
    """Said when nothing works any more, before `on_failure`."""
    on_failure: ActionText = Field(default_factory=lambda: Action.model_validate({"continue": {}}))
    """What becomes of the caller then. Left out: back to the dialplan, on the line after `Stasis()`."""
    max_duration: Annotated[Duration, Field(gt=0)] = 1800.0
    """The longest a call may last."""
    max_calls: Annotated[Integer, Field(ge=0)] | None = None
    """How many calls this agent takes at once."""
    tools: Annotated[tuple[Name, ...], OneOrMore("leave it out, or write [] for none")] = ()
    """Names of tools under `tools:`, or of built-in ones that need no options, such as `end_call`."""
    record: Annotated[Literal[False, True, "on_answer", "consent"], BeforeValidator(read_choice)] = False
    """Whether the call is recorded: from the ring on, from the answer on, or with `consent` once the caller has agreed.
    What is collected with `sensitive: true` is silence in it, and so are people to whom the caller is handed over,
    unless their destination says `record: true`. `privacy: none` is never recorded."""
    consent: TemplateText = (
        "Before we begin: may this call be recorded? Say yes or no, or press 1 for yes and 2 for no."
    )
    """What the caller is asked with `record: consent`, before the greeting. A clear yes or the key 1 agrees; anything
    else, also no answer to the question asked twice, and the call is not recorded."""
    privacy: Literal["full", "redacted", "none"] = "full"
    """What records, events and logs keep of what was said."""
    analysis: AnalysisConfig | None = None
    """What to find out of the transcript after the call."""
    handler: Annotated[Text, Matching(r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$", "like package.module:function")] | None = None
    """A Python coroutine, `package.module:function`, instead of the built-in dialogue."""
