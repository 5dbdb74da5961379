"""The vocabulary of turn taking: who has the floor, what can move it, what can be decided, and the table of it all.

Values only. The rules that turn sound and words into facts stand in `turns.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto


class Floor(Enum):
    LISTENING = auto()
    THINKING = auto()
    HELD_ANSWER = auto()
    SPEAKING = auto()
    HELD_SPEECH = auto()


class Fact(Enum):
    """What can move the floor."""

    WAITING = auto()
    """The dialogue asks for the next turn."""
    HANDED = auto()
    """The dialogue was given a turn."""
    AUDIBLE = auto()
    """The agent begins to be heard."""
    FILLED = auto()
    """What was heard was only to fill the time; the answer is still awaited."""
    PLAYED = auto()
    """The utterance is over: played out, or thrown away."""
    ONSET = auto()
    """The caller began to speak."""
    LASTING = auto()
    """The caller has been speaking for `pause_after`."""
    MEANT = auto()
    """What the caller does is meant for the agent: words, a key, or speech that lasts."""
    NOTHING = auto()
    """What held the answer up was no words, or only backchannel."""


class Kind(Enum):
    """What can be decided."""

    SPEECH_STARTED = "speech_started"
    SPEECH_ENDED = "speech_ended"
    SPECULATE = "speculate"
    FORGET_DRAFT = "forget_draft"
    PAUSE = "pause"
    RESUME = "resume"
    FLUSH = "flush"
    MERGE = "merge_and_restart"
    END_TURN = "end_turn"
    DROP = "drop"
    SILENCE = "silence"
    FILL = "fill"
    DEAD_AIR = "dead_air"
    LEFT = "left_unanswered"


TABLE: dict[tuple[Floor, Fact], tuple[Floor, Kind | None]] = {
    (Floor.LISTENING, Fact.HANDED): (Floor.THINKING, None),
    (Floor.LISTENING, Fact.AUDIBLE): (Floor.SPEAKING, None),
    (Floor.THINKING, Fact.WAITING): (Floor.LISTENING, None),
    (Floor.THINKING, Fact.AUDIBLE): (Floor.SPEAKING, None),
    (Floor.THINKING, Fact.PLAYED): (Floor.LISTENING, None),
    (Floor.THINKING, Fact.ONSET): (Floor.HELD_ANSWER, Kind.PAUSE),
    (Floor.THINKING, Fact.MEANT): (Floor.LISTENING, Kind.MERGE),
    (Floor.HELD_ANSWER, Fact.AUDIBLE): (Floor.HELD_SPEECH, None),
    (Floor.HELD_ANSWER, Fact.MEANT): (Floor.LISTENING, Kind.MERGE),
    (Floor.HELD_ANSWER, Fact.NOTHING): (Floor.THINKING, Kind.RESUME),
    (Floor.HELD_ANSWER, Fact.WAITING): (Floor.LISTENING, Kind.RESUME),
    (Floor.HELD_ANSWER, Fact.PLAYED): (Floor.LISTENING, Kind.RESUME),
    (Floor.SPEAKING, Fact.LASTING): (Floor.HELD_SPEECH, Kind.PAUSE),
    (Floor.SPEAKING, Fact.MEANT): (Floor.LISTENING, Kind.FLUSH),
    (Floor.SPEAKING, Fact.FILLED): (Floor.THINKING, None),
    (Floor.SPEAKING, Fact.PLAYED): (Floor.LISTENING, None),
    (Floor.SPEAKING, Fact.WAITING): (Floor.LISTENING, None),
    (Floor.HELD_SPEECH, Fact.MEANT): (Floor.LISTENING, Kind.FLUSH),
    (Floor.HELD_SPEECH, Fact.NOTHING): (Floor.SPEAKING, Kind.RESUME),
    (Floor.HELD_SPEECH, Fact.FILLED): (Floor.HELD_ANSWER, None),
    (Floor.HELD_SPEECH, Fact.PLAYED): (Floor.LISTENING, Kind.RESUME),
    (Floor.HELD_SPEECH, Fact.WAITING): (Floor.LISTENING, Kind.RESUME),
}
"""What a fact does to the floor; a pair that is not here changes nothing."""

AGENT_HEARD = (Floor.SPEAKING, Floor.HELD_SPEECH)
HELD = (Floor.HELD_ANSWER, Floor.HELD_SPEECH)


@dataclass(frozen=True, slots=True)
class Turn:
    """What the caller said, or the keys that were pressed."""

    text: str
    """Empty where the turn before, that was taken back, has to be answered after all."""
    confidence: float | None = None
    keys: bool = False
    """`text` is pressed keys, not words."""
    voiced_until: float = 0.0
    """When the caller was last heard: the time from which latency counts."""
    decided_at: float = 0.0
    """When it was decided that the turn is over."""
    final_at: float | None = None
    """When the last final transcript came; None where it was not waited for."""
    merged: bool = False
    """Holds also the words of a turn that was handed over before and taken back."""
    provider: str = ""
    """Who recognised it, where another stood in for the recogniser that was asked."""
    unasked: bool = False
    """Nobody spoke: the agent has something to say by itself. `text` is empty."""


@dataclass(frozen=True, slots=True)
class TurnDecision:
    kind: Kind
    at: float
    reason: str
    turn: Turn | None = None
    """With `END_TURN` and `LEFT`; with `SPECULATE` the turn as it would be."""
    seconds: float = 0.0
    """With `SPEECH_ENDED`, `SILENCE` and `DEAD_AIR`: how long it lasted."""
    since: float = 0.0
    """With `FLUSH`: when the caller began to speak, or pressed the key."""


@dataclass(frozen=True, slots=True)
class TurnPolicy:
    """The agent's settings for turns, in seconds, and what its recogniser can do."""

    language: str = "en"
    min_silence: float = 0.5
    max_silence: float = 3.0
    speculate: str = "eager"
    interrupt: bool = True
    pause_after: float = 0.2
    min_speech: float = 0.5
    min_words: int = 1
    ignore: tuple[str, ...] | None = None
    """Backchannel; None for what is usual in the language."""
    resume_after: float = 2.0
    fill_after: float = 1.5
    fill_every: float = 6.0
    dead_air: float = 4.0
    nudges: bool = True
    """A caller whose silence is told is asked, and not led out of the call."""
    partials: bool = True
    end_of_turn: bool = False
    punctuates: bool = False
    final_delay: float = 0.5
