"""Which agent takes a call: a pure decision from the configuration, the facts of the leg and the time.

The dialplan's own word (`Stasis(voxtrad,support)`, `VOXTRAD_AGENT`, `AI_AGENT`) comes first, then the routes in their
order. The decision carries why each of them did or did not match; whether there is room for the call is not asked here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from voxtrad.config.models import Config, Route
from voxtrad.config.numbers import number_matches, text_matches
from voxtrad.leg import LegInfo


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was asked on the way to a decision."""

    what: str
    """`routes[2]`, or `dialplan`."""
    matched: bool
    reason: str
    """In words, for `voxtrad explain` and the log."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Who takes the call. Without an agent nobody does, and the call goes on in the dialplan."""

    agent: str | None
    reason: str
    route: int | None = None
    """The index of the route that matched."""
    trail: tuple[Step, ...] = ()
    warning: str | None = None
    """What an administrator should know, such as a dialplan that names an unknown agent."""


def decide(config: Config, leg: LegInfo, now: datetime) -> Decision:
    """Picks the agent for a leg. `now` is an aware time."""
    trail: list[Step] = []
    warning = None
    if leg.agent:
        if leg.agent in config.agents:
            step = Step("dialplan", True, f"the dialplan asks for '{leg.agent}'")
            return Decision(leg.agent, step.reason, trail=(step,))
        warning = f"the dialplan asks for '{leg.agent}', which is no agent"
        trail.append(Step("dialplan", False, warning))
    for index, route in enumerate(config.routes):
        failed = _first_failure(route, leg, now, config.server.country)
        matched = failed is None
        trail.append(Step(f"routes[{index}]", matched, failed or _conditions(route)))
        if matched:
            return Decision(route.agent, f"routes[{index}]: {_conditions(route)}", index, tuple(trail), warning)
    if not config.routes and len(config.agents) == 1:
        (name,) = config.agents
        step = Step("agents", True, "there are no routes, and it is the only agent")
        return Decision(name, step.reason, trail=(*trail, step), warning=warning)
    return Decision(None, "no route matches", trail=tuple(trail), warning=warning)


def variables_needed(config: Config) -> frozenset[str]:
    """Names of the channel variables that routes look at."""
    return frozenset(name for route in config.routes for name in route.variables or ())


def _first_failure(route: Route, leg: LegInfo, now: datetime, country: str | None) -> str | None:
    """Why the route does not match, or `None`."""
    return (
        _variable_failure(route.variables or {}, leg.variables)
        or _number_failure("to", route.to, leg.dialled, country)
        or _number_failure("from", route.from_, leg.caller, country)
        or _hours_failure(route, now)
    )


def _variable_failure(wanted: Mapping[str, str], given: Mapping[str, str]) -> str | None:
    for name, pattern in wanted.items():
        value = given.get(name)
        if value is None:
            return f"the channel variable {name} is not set"
        if not text_matches(pattern, value):
            return f"the channel variable {name} is '{value}', not '{pattern}'"
    return None


def _number_failure(key: str, patterns: tuple[str, ...] | None, number: str, country: str | None) -> str | None:
    if patterns is None or any(number_matches(pattern, number, country) for pattern in patterns):
        return None
    if not number:
        return f"'{key}' must be {_or(patterns)}, and no number is given"
    return f"'{key}' is {number!r}, not {_or(patterns)}"


def _hours_failure(route: Route, now: datetime) -> str | None:
    if route.hours is None or any(hours.contains(now) for hours in route.hours):
        return None
    spans = "; ".join(hours.text for hours in route.hours)
    zone = route.hours[0].zone
    local = now.astimezone(route.hours[0].timezone)
    return f"it is {local:%a %H:%M} in {zone}, outside of {spans}"


def _conditions(route: Route) -> str:
    parts = [f"{name} is '{value}'" for name, value in (route.variables or {}).items()]
    parts += [f"'{key}' is {_or(value)}" for key, value in (("to", route.to), ("from", route.from_)) if value]
    parts += [f"it is {'; '.join(hours.text for hours in route.hours)}"] if route.hours else []
    return " and ".join(parts) or "it takes every call"


def _or(patterns: tuple[str, ...]) -> str:
    return " or ".join(patterns)
