"""A call's events as lines for a person: when, what, and why."""

from __future__ import annotations

from voxtrad.events.types import (
    AgentResponse,
    AgentSpeechEnded,
    AgentSpeechStarted,
    BargeIn,
    CallAnalyzed,
    CallAnswered,
    CallEnded,
    CallStarted,
    Decision,
    ErrorOccurred,
    Event,
    RecordingReady,
    ToolCalled,
    ToolCompleted,
    UserTranscript,
)

COLOURS = {"caller": "36", "agent": "32", "tool": "35", "turn": "33", "error": "31"}


def line(event: Event, seconds: float, *, colour: bool = False) -> str | None:
    """One line of the timeline; None for events that say nothing new to a reader."""
    told = _told(event)
    if told is None:
        return None
    who, what = told
    if isinstance(event, Decision):
        seconds = event.at  # some are told later: how long an answer took, once it has been said
    label = labelled(who, colour=colour)
    at = f"{seconds * 1000:9,.0f} ms"
    return f"\033[2m{at}\033[0m  {label} {what}" if colour else f"{at}  {label} {what}"


def labelled(who: str, *, colour: bool) -> str:
    """Whose line it is, padded so that all lines stand below each other."""
    label = f"{who:<8}"
    return f"\033[{COLOURS[who]}m{label}\033[0m" if colour and who in COLOURS else label


def _told(event: Event) -> tuple[str, str] | None:
    match event:
        case CallStarted():
            return "call", f"{event.caller or 'unknown'} calls {event.dialled}; agent '{event.agent}'"
        case CallAnswered():
            return "call", "answered"
        case UserTranscript():
            return "caller", f"“{event.text}”"
        case AgentResponse():
            return "agent", f"“{event.text}”" + (" (interrupted)" if event.interrupted else "")
        case AgentSpeechStarted():
            return "agent", "speaks"
        case AgentSpeechEnded():
            return "agent", f"spoke for {event.duration:.1f} s" + (" (interrupted)" if event.interrupted else "")
        case ToolCalled():
            arguments = ", ".join(f"{k}={v!r}" for k, v in event.arguments.items())
            return "tool", f"{event.tool}({arguments})"
        case ToolCompleted():
            return "tool", f"{event.tool}: {event.outcome} in {event.duration * 1000:.0f} ms"
        case BargeIn():
            return "turn", f"interrupted after {event.stop_ms:.0f} ms: {event.reason}"
        case Decision(what="answered_turn"):
            return "turn", f"answered {event.reason}"
        case Decision():
            return "·", f"{event.what}{': ' if event.reason else ''}{event.reason}"
        case ErrorOccurred():
            return "error", event.message
        case CallEnded():
            figures = ", ".join(f"{k} {v}" for k, v in event.latency.items())
            return "call", f"ended after {event.duration:.1f} s: {event.outcome} ({event.reason}); latency: {figures}"
        case RecordingReady():
            return "call", f"recorded: {event.seconds:.1f} s"
        case CallAnalyzed():
            facts = [*event.fields.items(), ("success", event.success), ("reason", event.reason)]
            told = ", ".join(f"{name} {value!r}" for name, value in facts if value not in (None, ""))
            return "call", "analysed: " + "; ".join(part for part in (event.summary, told) if part)
        case _:
            return None
