"""Asks a program of the user's who is calling, while it rings: variables, an agent, a greeting, or a refusal.

One signed POST with a short time; whatever goes wrong with it, the call goes on as if nothing had been asked. Where the
answer leads is the roster's to say.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import structlog

from voxtrad.config.models import LookupConfig
from voxtrad.events.types import JSON
from voxtrad.leg import LegInfo
from voxtrad.outbound.client import Answer, BadAnswer, OutboundClient, OutboundError
from voxtrad.outbound.signing import Signer

log = structlog.stdlib.get_logger(__name__)

MAX_ANSWER = 64 * 1024
"""Bytes of an answer that are read."""


@dataclass(frozen=True, slots=True)
class Found:
    """What is known of a caller; nothing of it need be."""

    agent: str | None = None
    greeting: str | None = None
    variables: Mapping[str, JSON] = field(default_factory=dict)
    reject: str | None = None
    """Why the call is not to be taken."""


NOTHING = Found()


class Lookup:
    """The `lookup:` of a configuration."""

    def __init__(self, config: LookupConfig, client: OutboundClient) -> None:
        """Raises `BadSecret`."""
        self._url = config.webhook.url
        self._timeout = config.timeout
        self._signer = Signer([secret.get_secret_value() for secret in config.webhook.secret])
        self._client = client

    async def ask(self, call_id: str, info: LegInfo, agent: str | None) -> Found:
        """What the program knows of the caller; `agent` is who would take the call. Never raises for a bad answer."""
        body = request_body(call_id, info, agent, self._timeout)
        headers = {"Content-Type": "application/json", **self._signer.headers(f"lookup_{call_id}", time.time(), body)}
        try:
            answer = await self._client.request(
                "POST", self._url, timeout=self._timeout, max_bytes=MAX_ANSWER, headers=headers, body=body
            )
            return read_answer(answer)
        except OutboundError as error:
            log.warning("the caller lookup brought nothing; the call goes on without", reason=error.message)
            return NOTHING


# --- the contract, as pure functions ----------------------------------------------------------------------------------


def request_body(call_id: str, info: LegInfo, agent: str | None, timeout: float) -> bytes:
    """What is posted."""
    call: dict[str, JSON] = {
        "id": call_id,
        "agent": agent,
        "direction": info.direction,
        "from": info.caller,
        "from_name": info.caller_name,
        "to": info.dialled,
        "channel": info.channel,
        "linkedid": info.linkedid,
        "variables": dict(info.variables),
    }
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    message = {"type": "call.lookup", "timestamp": now, "data": {"call": call, "timeout_ms": int(timeout * 1000)}}
    return json.dumps(message, ensure_ascii=False).encode("utf-8", "replace")


def read_answer(answer: Answer) -> Found:
    """What an HTTP answer says. Keys that the contract does not have are passed over. Raises `BadAnswer`."""
    if answer.status == 204 or (answer.status == 200 and not answer.body.strip()):
        return NOTHING
    if answer.status != 200:
        raise BadAnswer(f"status {answer.status}", status=answer.status)
    value = answer.json()
    if not isinstance(value, Mapping):
        raise BadAnswer("the answer is not a JSON object")
    variables = value.get("variables")
    if variables is not None and not isinstance(variables, Mapping):
        raise BadAnswer("`variables` is not an object")
    return Found(_text(value, "agent"), _text(value, "greeting"), variables or {}, _reject(value.get("reject")))


def _text(value: Mapping[str, JSON], key: str) -> str | None:
    text = value.get(key)
    if text is not None and not isinstance(text, str):
        raise BadAnswer(f"`{key}` is not text")
    return text or None


def _reject(value: JSON) -> str | None:
    match value:
        case None | False | "":
            return None
        case True:
            return "the caller lookup says so"
        case str():
            return value
    raise BadAnswer("`reject` is neither true nor text")
