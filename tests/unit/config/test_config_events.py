"""The events that webhooks can ask for are the events there are."""

from __future__ import annotations

from voxtrad.config.models import EVENT_NAMES
from voxtrad.events.types import PromisedEvent


def test_the_names_are_those_of_the_events() -> None:
    assert set(EVENT_NAMES) == {event.name for event in PromisedEvent.__subclasses__()}
