"""Leading the caller on to a place in the dialplan, where the PBX goes on with the channel, its caller ID and CDR."""

from __future__ import annotations

import json
from collections.abc import Mapping

from voxtrad.config.models import ContinueDestination, Destination
from voxtrad.conversation.call import Call
from voxtrad.errors import VoxtradError
from voxtrad.leg import Leg, LegError, LegGone


class HandoverFailed(VoxtradError):
    """The destination is not in the configuration, or did not take the caller."""


class Switch:
    """The destinations of the configuration, the only places a call can be sent to."""

    def __init__(self, destinations: Mapping[str, Destination]) -> None:
        self._destinations = destinations

    async def __call__(self, call: Call, leg: Leg, name: str) -> None:
        """Send the call to a destination. Raises `HandoverFailed`; then the call is still here."""
        destination = self._destinations.get(name)
        if not isinstance(destination, ContinueDestination):
            raise HandoverFailed(f"there is no destination '{name}'")
        place = destination.continue_
        try:
            await leg.set_variables(
                {
                    "VOXTRAD_CALL_ID": call.id,
                    "VOXTRAD_OUTCOME": "handed_over",
                    "VOXTRAD_VARIABLES": json.dumps(call.agent.variables, ensure_ascii=False)[:1000],
                }
            )
            await call.proceed(
                context=place.context, extension=place.extension, priority=place.priority, reason=f"to {name}"
            )
        except LegGone:
            return  # the caller has hung up meanwhile
        except LegError as error:
            raise HandoverFailed(f"'{name}' could not be reached: {error.message}") from error
