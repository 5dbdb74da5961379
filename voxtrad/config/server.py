"""The parts of the configuration that are the house's own: the PBX, the server, webhooks, lookup, calls going out."""

from __future__ import annotations

import re
import ssl
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    JsonValue,
    SecretStr,
    Tag,
    ValidationInfo,
    field_validator,
)
from pydantic_core import PydanticCustomError

from voxtrad.config.network_types import AddressText, HostText, HttpUrl, IpText, Ports
from voxtrad.config.numbers import COUNTRIES
from voxtrad.config.tools import Secrets, WebhookTarget
from voxtrad.config.types import (
    LEAVE_OUT,
    ONE_OR_MORE,
    Boolean,
    ConfigModel,
    Duration,
    FilePath,
    Integer,
    Matching,
    Name,
    Secret,
    Text,
    editor_form,
)

# --- Asterisk ---------------------------------------------------------------------------------------------------------


class AudioSocketConfig(ConfigModel):
    """Where Asterisk connects to for audio, with the transport `audiosocket`."""

    listen: AddressText = Field(default="127.0.0.1:9092", validate_default=True)
    """The address to listen at."""
    advertise: AddressText | None = None
    """The address that Asterisk is told to connect to, where it is another one."""


class RtpConfig(ConfigModel):
    """Where Asterisk sends audio to, with the transport `rtp`: a UDP port for each call."""

    listen: IpText | None = None
    """The IP address to listen at; by default the address that the PBX is reached from."""
    ports: Ports | None = None
    """The ports to use, `first-last`, for a firewall to let through; every second one is for a call. By default any."""
    advertise: HostText | None = None
    """The host that Asterisk is told to send to, where it is another one."""


def _is(key: str, value: str) -> dict[str, JsonValue]:
    return {"required": [key], "properties": {key: {"const": value}}}


def _is_none_of(key: str, *values: str) -> dict[str, JsonValue]:
    return {"properties": {key: {"not": {"enum": list[JsonValue](values)}}}}


class MediaConfig(ConfigModel):
    """How audio comes and goes."""

    model_config = ConfigDict(
        json_schema_extra={
            "allOf": [
                {"if": _is("transport", "audiosocket"), "then": _is_none_of("format", "ulaw", "alaw")},
                {"if": _is("transport", "rtp"), "then": _is_none_of("format", "slin16")},
            ]
        }
    )

    transport: Literal["auto", "websocket", "audiosocket", "rtp"] = "auto"
    """`auto` asks the PBX and takes the first that it has and that carries `format`: websocket, audiosocket, rtp."""
    format: Literal["auto", "ulaw", "alaw", "slin", "slin16"] = "auto"
    """`auto`: a caller's own ulaw or alaw as it is; for others linear PCM, at 16 kHz (`slin16`) where their codec has
    it and the STT takes it, else at 8 kHz (`slin`). AudioSocket carries linear PCM alone, rtp no 16 kHz."""
    buffer_size_ms: Annotated[Integer, Field(ge=20, le=2000)] = 200
    """How much a jitter buffer may hold back at most, in milliseconds, for the transport that needs one: rtp."""
    audiosocket: AudioSocketConfig = Field(default_factory=AudioSocketConfig)
    """The AudioSocket listener."""
    rtp: RtpConfig = Field(default_factory=RtpConfig)
    """The UDP ports for RTP."""

    @field_validator("format")
    @classmethod
    def _carried(cls, value: str, info: ValidationInfo) -> str:
        match value, info.data.get("transport"):
            case (("ulaw" | "alaw"), "audiosocket"):
                raise PydanticCustomError("format", "audiosocket carries linear PCM alone: auto, slin or slin16")
            case "slin16", "rtp":
                raise PydanticCustomError("format", "Asterisk takes no 16 kHz over rtp: auto, ulaw, alaw or slin")
        return value


class AsteriskConfig(ConfigModel):
    """The PBX, reached over ARI."""

    without: ClassVar[str] = LEAVE_OUT

    url: HttpUrl = "http://127.0.0.1:8088"
    """The PBX's HTTP server, with the prefix of http.conf where there is one, without `/ari`."""
    username: Name = "voxtrad"
    """A user of ari.conf."""
    password: Secret
    """The user's password."""
    app: Annotated[Text, Matching(r"^[A-Za-z0-9_.-]+$", "of letters, digits and _ . -")] = "voxtrad"
    """The name of the Stasis application, as the dialplan calls it."""
    media: MediaConfig = Field(default_factory=MediaConfig)
    """How audio comes and goes."""


# --- the server -------------------------------------------------------------------------------------------------------

Scope = Literal["read", "calls", "events", "reload"]


SHORTEST_TOKEN = 16
"""Characters: what cannot be guessed while guessing is bounded."""


def _long(value: SecretStr) -> SecretStr:
    if len(value.get_secret_value()) < SHORTEST_TOKEN:
        raise PydanticCustomError(
            "short_token", "must have at least 16 characters, as `openssl rand -hex 16` makes them"
        )
    return value


class TokenConfig(ConfigModel):
    """A bearer token of the HTTP API."""

    name: Name
    """Who it is for; appears in the audit log."""
    token: Annotated[
        Secret,
        AfterValidator(_long),
        editor_form(rf"^[\s\S]{{{SHORTEST_TOKEN},}}$", "must have at least 16 characters"),
    ]
    """The token itself, of 16 characters or more."""
    scopes: Annotated[tuple[Scope, ...], ONE_OR_MORE, Field(min_length=1)] = ("read",)
    """What it allows."""


def _tokens(value: object) -> object:
    if isinstance(value, str) and value != "auto":
        raise PydanticCustomError("tokens", "must be 'auto' or a list of tokens", {"expected": ["auto"]})
    return value


Tokens = Annotated[
    Annotated[Literal["auto"], Tag("auto")] | Annotated[tuple[TokenConfig, ...], Tag("list")],
    Discriminator(lambda value: "auto" if isinstance(value, str) else "list"),
    BeforeValidator(_tokens),
]


class TlsConfig(ConfigModel):
    """The server's certificate."""

    without: ClassVar[str] = LEAVE_OUT

    cert: FilePath
    """The certificate chain, PEM."""
    key: FilePath
    """The private key, PEM."""


def load_certificate(tls: TlsConfig, into: ssl.SSLContext | None = None) -> ssl.SSLContext:
    """A context for a server with this certificate; one that is given has it for connections to come.

    Raises `OSError` (`ssl.SSLError` is one); what was given is as it was, then. Never asks for a passphrase.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tls.cert, tls.key, password="")
    if into is not None:
        into.load_cert_chain(tls.cert, tls.key, password="")
        return into
    return context


class ServerConfig(ConfigModel):
    """The server itself: API, console, metrics, limits."""

    listen: AddressText = Field(default="127.0.0.1:8090", validate_default=True)
    """Where API, console, /metrics and health are served."""
    tokens: Tokens = ()
    """Demanded where `listen` is not loopback; `auto` makes one in `data_dir`."""
    tls: TlsConfig | None = None
    """Serves https. A browser gives the microphone only over https or on localhost."""
    public_url: HttpUrl | None = None
    """How others reach this server, for callbacks."""
    max_calls: Annotated[Integer, Field(ge=1)] = 100
    """How many calls are taken at once; the next one goes on in the dialplan."""
    drain_timeout: Duration = 300.0
    """How long calls may finish after SIGTERM."""
    data_dir: FilePath = Path("var")
    """Where the database, recordings and cached audio are kept. Left out: `var` in the working directory."""
    retention: Duration = 30 * 86400.0
    """How long call records and recordings are kept."""
    watch: Boolean = True
    """Whether a changed file is loaded by itself."""
    country: (
        Annotated[
            Text,
            Matching(r"^[A-Z]{2}$", "a country code of two capitals, like GB"),
            Field(json_schema_extra={"enum": list[JsonValue](COUNTRIES)}),
        ]
        | None
    ) = None
    """The country whose dialling habits numbers follow: with GB, 020…, 4420…, 0044… and +4420… are one number."""


# --- webhooks, lookup, outbound ---------------------------------------------------------------------------------------

EVENT_NAMES: tuple[str, ...] = (
    "call.started", "call.answered", "call.ended", "call.failed", "call.transferred",
    "user.speech.started", "user.speech.ended", "user.transcript", "user.transcript.partial",
    "agent.thinking", "agent.response", "agent.speech.started", "agent.speech.ended",
    "barge_in", "turn.ended", "silence.detected", "dtmf.received", "tool.called", "tool.completed",
    "transfer.started", "transfer.completed", "transfer.failed", "recording.ready", "call.analyzed",
    "security.denied", "error",
)  # fmt: skip
"""The events that users are promised; `events/types.py` makes them."""


def _wildcards() -> tuple[str, ...]:
    """`*`, and `call.*` for all that begins so."""
    parts = [name.split(".") for name in EVENT_NAMES]
    beginnings = (".".join(part[:length]) for part in parts for length in range(1, len(part)))
    return ("*", *(f"{beginning}.*" for beginning in dict.fromkeys(beginnings)))


EVENT_PATTERNS = (*_wildcards(), *EVENT_NAMES)
"""What may stand under `events` of a webhook."""


def _event_pattern(value: str) -> str:
    if value not in EVENT_PATTERNS:
        raise PydanticCustomError("unknown_event", "unknown event", {"expected": [*EVENT_NAMES]})
    return value


EventPattern = Annotated[
    Text, AfterValidator(_event_pattern), Field(json_schema_extra={"enum": list[JsonValue](EVENT_PATTERNS)})
]


class WebhookConfig(ConfigModel):
    """An endpoint that events are delivered to."""

    name: Name
    """Names it in metrics, logs and commands."""
    url: HttpUrl
    """Where events are posted to."""
    secret: Secrets
    """What signs deliveries (`whsec_…`); a list while rotating."""
    events: Annotated[tuple[EventPattern, ...], ONE_OR_MORE] = ("*",)
    """Which events, with wildcards like `call.*`; partial transcripts only where named."""
    max_age: Annotated[Duration, Field(gt=0)] = 3 * 86400.0
    """How long delivery is tried."""


class LookupConfig(ConfigModel):
    """Asked while a call rings: variables, agent, greeting, or reject."""

    without: ClassVar[str] = LEAVE_OUT

    webhook: WebhookTarget
    """The endpoint."""
    timeout: Annotated[Duration, Field(gt=0, le=10)] = 1.5
    """After this the call goes on without an answer."""


class OutboundLimits(ConfigModel):
    """Limits that bound what a stolen token can cost."""

    per_minute: Annotated[Integer, Field(ge=1)] = 10
    """Calls started in a minute."""
    concurrent: Annotated[Integer, Field(ge=1)] = 5
    """Calls at once."""
    per_day: Annotated[Integer, Field(ge=1)] = 200
    """Calls in a day."""


def _endpoint(value: str) -> str:
    if value.count("{number}") != 1 or "{" in value.replace("{number}", ""):
        raise PydanticCustomError("endpoint", "must hold '{number}' once, like Local/{number}@from-voxtrad")
    return value


_ENDPOINT = r"^[^{]*\{number\}[^{]*$"
_PREFIX = r"^(\+?[0-9]+|\*)$"


def _prefix(value: str) -> str:
    if re.search(_PREFIX, value) is None:
        raise PydanticCustomError("prefix", "must be the beginning of a number, like +44")
    return value


Prefix = Annotated[Text, AfterValidator(_prefix), editor_form(_PREFIX, "must be the beginning of a number, like +44")]


class OutboundConfig(ConfigModel):
    """Calls that voxtrad makes."""

    without: ClassVar[str] = LEAVE_OUT

    endpoint: Annotated[Text, AfterValidator(_endpoint), editor_form(_ENDPOINT, "must hold {number} once")]
    """The channel to originate, with `{number}` in it."""
    allow: Annotated[tuple[Prefix, ...], ONE_OR_MORE]
    """Prefixes that may be called."""
    limits: OutboundLimits = Field(default_factory=OutboundLimits)
    """How many calls."""
    timeout: Annotated[Duration, Field(ge=1, le=300)] = 45.0
    """How long it rings."""
