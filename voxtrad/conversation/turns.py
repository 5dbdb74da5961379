"""Whose turn it is: the rules of the conversation as a pure state machine. No clock of its own, no await, no audio.

Facts go in with the time at which they were true (seconds on one monotonic clock); decisions come out, each with its
reason. The listener feeds it and acts on what it says. Every audio frame (20 ms) is a tick, so it needs no timers: a
deadline is met by the first frame after it.

The rules

1. *Floor.* Nobody speaks (`LISTENING`), a turn was handed over and its answer is awaited (`THINKING`), the agent is
   heard (`SPEAKING`), or an answer is held back while it is found out what the caller's sound means (`HELD_ANSWER`
   before it was heard, `HELD_SPEECH` after). `TABLE` says which fact moves the floor where, and what is decided then.
2. *The caller is speaking* from 60 ms voiced within 100 ms until 200 ms without a voiced frame. While the agent is
   heard, only sound louder than its echo counts; what its echo is like is learned from false alarms.
3. *A turn ends* when the caller has been silent for `min_silence` since the last voiced frame and the final transcript
   is there. It waits longer, `max_silence` at most, for what sounds unfinished, and a shorter while (three times
   `min_silence`) for digits under way. A final transcript that does not come is waited for as long as is usual for the
   recogniser, then the partial one has to do; without any words the sound was no utterance and is dropped. A
   recogniser that decides turns itself is believed; if it has not spoken after `max_silence`, rule 3 applies as always.
4. *The caller speaks while an answer is awaited:* it is held back at once. Words: the answer is dropped and the turn
   goes on (`MERGE`). No words: it is let go.
5. *The caller speaks while the agent is heard:* after `pause_after` the agent pauses. It is an interruption (`FLUSH`)
   when at least `min_words` words come that are more than backchannel, after `min_speech` of speech where the
   recogniser gives no partials, or after one second of speech whatever it says. Otherwise the agent goes on (`RESUME`)
   when the caller has stopped and the recogniser's usual delay has passed, `resume_after` at the latest, and what was
   said is dropped. Speech that must not be interrupted is not paused, and what was said is a turn of its own.
6. *A key* interrupts like a word. Keys pressed are a turn, ended by `#` or two seconds without another.
7. *Silence* is told once it has lasted for as long as was asked, counted from the last sound of either side.
"""

from __future__ import annotations

from collections import deque
from dataclasses import asdict, dataclass, field
from enum import Enum, auto

from voxtrad.conversation.utterances import asks_for_dictation, content_words, same_words, unfinished

ONSET_WINDOW = 5
ONSET_VOICED = 3
"""Frames: 60 ms voiced of the last 100 ms is speech."""
HANGOVER = 0.2
"""Seconds without a voiced frame after which the caller has stopped; shorter gaps lie within words."""
UNDENIABLE = 1.0
"""Seconds of speech that are an interruption, whatever is said."""
LATE = 3.0
"""Seconds within which a transcript that comes without new speech belongs to what was decided before."""
KEY_GAP = 2.0
"""Seconds after which pressed keys are a turn."""
ECHO_START = -25.0
ECHO_MOST = -6.0
"""dB of the agent's own level at which its echo is expected at first, and at most."""


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
    """The first frame of an utterance of the agent is on its way to the caller."""
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


TABLE: dict[tuple[Floor, Fact], tuple[Floor, Kind | None]] = {
    (Floor.LISTENING, Fact.HANDED): (Floor.THINKING, None),
    (Floor.LISTENING, Fact.AUDIBLE): (Floor.SPEAKING, None),
    (Floor.THINKING, Fact.WAITING): (Floor.LISTENING, None),
    (Floor.THINKING, Fact.AUDIBLE): (Floor.SPEAKING, None),
    (Floor.THINKING, Fact.PLAYED): (Floor.LISTENING, None),
    (Floor.THINKING, Fact.ONSET): (Floor.HELD_ANSWER, Kind.PAUSE),
    (Floor.THINKING, Fact.MEANT): (Floor.LISTENING, Kind.MERGE),
    (Floor.HELD_ANSWER, Fact.MEANT): (Floor.LISTENING, Kind.MERGE),
    (Floor.HELD_ANSWER, Fact.NOTHING): (Floor.THINKING, Kind.RESUME),
    (Floor.HELD_ANSWER, Fact.WAITING): (Floor.LISTENING, Kind.RESUME),
    (Floor.HELD_ANSWER, Fact.PLAYED): (Floor.LISTENING, Kind.RESUME),
    (Floor.SPEAKING, Fact.LASTING): (Floor.HELD_SPEECH, Kind.PAUSE),
    (Floor.SPEAKING, Fact.MEANT): (Floor.LISTENING, Kind.FLUSH),
    (Floor.SPEAKING, Fact.PLAYED): (Floor.LISTENING, None),
    (Floor.SPEAKING, Fact.WAITING): (Floor.LISTENING, None),
    (Floor.HELD_SPEECH, Fact.MEANT): (Floor.LISTENING, Kind.FLUSH),
    (Floor.HELD_SPEECH, Fact.NOTHING): (Floor.SPEAKING, Kind.RESUME),
    (Floor.HELD_SPEECH, Fact.PLAYED): (Floor.LISTENING, Kind.RESUME),
    (Floor.HELD_SPEECH, Fact.WAITING): (Floor.LISTENING, Kind.RESUME),
}
"""What a fact does to the floor; a pair that is not here changes nothing."""

_AGENT_HEARD = frozenset({Floor.SPEAKING, Floor.HELD_SPEECH})
_HELD = frozenset({Floor.HELD_ANSWER, Floor.HELD_SPEECH})


@dataclass(frozen=True, slots=True)
class Turn:
    """What the caller said, or the keys that were pressed."""

    text: str
    confidence: float | None = None
    keys: bool = False
    """`text` is pressed keys, not words."""
    voiced_until: float = 0.0
    """When the caller was last heard: the time from which latency counts."""
    decided_at: float = 0.0
    """When it was decided that the turn is over."""
    merged: bool = False
    """Holds also the words of a turn that was handed over before and taken back."""


@dataclass(frozen=True, slots=True)
class TurnDecision:
    kind: Kind
    at: float
    reason: str
    turn: Turn | None = None
    """With `END_TURN`; with `SPECULATE` the turn as it would be."""
    seconds: float = 0.0
    """With `SPEECH_ENDED` and `SILENCE`: how long it lasted. With `FLUSH`: since the caller's onset."""


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
    partials: bool = True
    end_of_turn: bool = False
    punctuates: bool = False
    final_delay: float = 0.5


@dataclass(slots=True)
class _Utterance:
    """What is known of what the caller is saying."""

    open: bool = False
    started: float = 0.0
    voiced_until: float = 0.0
    stopped: float = 0.0
    finals: list[str] = field(default_factory=list)
    partial: str = ""
    confidence: float | None = None
    awaiting_final: bool = False
    drafted: str = ""

    @property
    def text(self) -> str:
        return " ".join(part for part in (*self.finals, self.partial) if part)


class TurnMachine:
    """One call's turn taking. Every method returns the decisions that follow from the fact it was told."""

    def __init__(self, policy: TurnPolicy) -> None:
        self.policy = policy
        self.floor = Floor.LISTENING
        self._recent: deque[bool] = deque(maxlen=ONSET_WINDOW)
        self._speaking = False
        self._speech_started = 0.0
        self._utterance = _Utterance()
        self._carried = ""
        self._keys = ""
        self._key_at = 0.0
        self._interruptible = True
        self._dictation_asked = False
        self._held_since = 0.0
        self._echo = ECHO_START
        self._held_coupling: float | None = None
        self._last_text = ""
        self._last_at = 0.0
        self._quiet_since: float | None = None
        self._silence_after: float | None = None

    # --- facts from the ears ------------------------------------------------------------------------------------------

    def frame(
        self, t: float, *, voiced: bool, level: float = -30.0, playout: float | None = None
    ) -> list[TurnDecision]:
        """A frame of the caller's audio: is it voiced, how loud is it and the agent's own sound, in dBFS.

        `playout` is None while the agent is silent.
        """
        if voiced and playout is not None and self.floor in _AGENT_HEARD:
            coupling = level - playout
            voiced = coupling > self._echo
            if voiced and self._speaking:
                self._held_coupling = max(coupling, self._held_coupling if self._held_coupling is not None else -99.0)
        self._recent.append(voiced)
        decisions: list[TurnDecision] = []
        if not self._speaking and sum(self._recent) >= ONSET_VOICED:
            decisions += self._onset(t)
        if self._speaking:
            if voiced:
                self._utterance.voiced_until = t
            elif t - self._utterance.voiced_until >= HANGOVER - 1e-9:
                decisions += self._stop(t)
        return decisions + self._judge(t)

    def transcript(self, t: float, text: str, *, final: bool, confidence: float | None = None) -> list[TurnDecision]:
        """The recogniser's text for what is being said; a partial one replaces the partial one before."""
        text = text.strip()
        utterance = self._utterance
        if not utterance.open:
            if not text:
                return []
            text = self._beyond_last(t, text)
            if not text:
                return [TurnDecision(Kind.DROP, t, "late transcript of what was decided already")]
            self._open(t, t)
            utterance = self._utterance
            utterance.stopped = t
        if final:
            if text:
                utterance.finals.append(text)
                utterance.confidence = confidence
            utterance.partial = ""
            if not self._speaking:
                utterance.awaiting_final = False
        else:
            utterance.partial = text
            utterance.awaiting_final = True
        return self._judge(t)

    def signal(self, t: float, kind: str, text: str = "") -> list[TurnDecision]:
        """The recogniser's own word on turns: `started`, `eager_end`, `resumed` or `end`."""
        if kind == "eager_end":
            return self._draft(t, text.strip(), "the recogniser expects the end of the turn")
        if kind == "resumed":
            self._utterance.drafted = ""
            return [TurnDecision(Kind.FORGET_DRAFT, t, "the caller goes on")]
        if kind != "end" or not (self._utterance.open or text.strip()):
            return []
        if not self._utterance.open:
            text = self._beyond_last(t, text.strip())
            if not text:
                return []
            self._open(t, t)
        if text.strip():
            self._utterance.finals = [text.strip()]
            self._utterance.partial = ""
        self._utterance.awaiting_final = False
        self._utterance.stopped = self._utterance.stopped or t
        return self._judge(t, ended="the recogniser heard the end of the turn")

    def key(self, t: float, digit: str) -> list[TurnDecision]:
        """The caller pressed a key."""
        self._quiet_since = t
        self._key_at = t
        decisions = self._fact(Fact.MEANT, t, f"key {digit}") if self._may_interrupt() else []
        if digit == "#" and self._keys:
            return decisions + self._end_keys(t, "ended by #")
        self._keys += digit
        return decisions

    # --- facts from the dialogue and the mouth ------------------------------------------------------------------------

    def waiting(self, t: float) -> list[TurnDecision]:
        return self._fact(Fact.WAITING, t, "the dialogue listens")

    def handed(self, t: float) -> list[TurnDecision]:
        return self._fact(Fact.HANDED, t, "the dialogue has the turn")

    def audible(self, t: float, *, interruptible: bool) -> list[TurnDecision]:
        """The agent starts to be heard."""
        self._interruptible = interruptible
        return self._fact(Fact.AUDIBLE, t, "the agent speaks")

    def played(self, t: float, text: str = "") -> list[TurnDecision]:
        """The agent is not heard any more; `text` is what it said last."""
        self._quiet_since = t
        self._interruptible = True
        if text:
            self._dictation_asked = asks_for_dictation(text, self.policy.language)
        return self._fact(Fact.PLAYED, t, "the agent has finished")

    def take_back(self, text: str) -> None:
        """A turn that was handed over was never answered: its words are the beginning of the one that follows."""
        self._carried = text

    def expect_silence(self, after: float | None) -> None:
        """Tell when nobody has spoken for this many seconds; None to stop."""
        self._silence_after = after

    # --- what is known ------------------------------------------------------------------------------------------------

    @property
    def caller_speaking(self) -> bool:
        return self._speaking

    @property
    def undecided(self) -> bool:
        """Something was heard of the caller that is not a turn yet, and not dropped."""
        return self._utterance.open or bool(self._keys)

    def snapshot(self) -> dict[str, object]:
        """The whole state, to print."""
        return {
            "floor": self.floor.name,
            "speaking": self._speaking,
            "utterance": asdict(self._utterance),
            "carried": self._carried,
            "keys": self._keys,
            "interruptible": self._interruptible,
            "dictation_asked": self._dictation_asked,
            "echo_db": self._echo,
            "quiet_since": self._quiet_since,
            "silence_after": self._silence_after,
        }

    # --- rules --------------------------------------------------------------------------------------------------------

    def _onset(self, t: float) -> list[TurnDecision]:
        self._speaking = True
        self._speech_started = t - (ONSET_VOICED - 1) * 0.02
        self._held_coupling = None
        if not self._utterance.open:
            self._open(t, self._speech_started)
        self._utterance.voiced_until = t
        self._utterance.awaiting_final = True
        decisions = [TurnDecision(Kind.SPEECH_STARTED, t, "60 ms voiced of the last 100 ms")]
        if self._utterance.drafted:
            self._utterance.drafted = ""
            decisions.append(TurnDecision(Kind.FORGET_DRAFT, t, "the caller goes on"))
        return decisions + self._fact(Fact.ONSET, t, "the caller speaks before the answer was heard")

    def _stop(self, t: float) -> list[TurnDecision]:
        self._speaking = False
        self._recent.clear()
        self._quiet_since = self._utterance.voiced_until
        self._utterance.stopped = t
        seconds = self._utterance.voiced_until - self._speech_started
        return [TurnDecision(Kind.SPEECH_ENDED, t, f"{HANGOVER * 1000:.0f} ms without voice", seconds=seconds)]

    def _beyond_last(self, t: float, text: str) -> str:
        """What a transcript that comes without new speech says beyond what was decided on a moment ago."""
        last = self._last_text
        if not last or t - self._last_at > LATE:
            return text
        if same_words(text, last):
            return ""
        return text[len(last) :].strip() if text.lower().startswith(last.lower()) else text

    def _open(self, t: float, started: float) -> None:
        self._utterance = _Utterance(open=True, started=started, voiced_until=t)

    def _judge(self, t: float, ended: str = "") -> list[TurnDecision]:
        """What follows from all that is known now."""
        decisions = self._judge_interruption(t)
        if self._keys and t - self._key_at >= KEY_GAP:
            decisions += self._end_keys(t, f"{KEY_GAP:.0f} s without another key")
        utterance = self._utterance
        if utterance.open and (ended or not self._speaking):
            decisions += self._judge_end(t, ended)
        return decisions + self._judge_silence(t)

    def _judge_interruption(self, t: float) -> list[TurnDecision]:
        floor, policy, utterance = self.floor, self.policy, self._utterance
        if floor is Floor.LISTENING or not utterance.open or not self._may_interrupt():
            return []
        speech = (t - self._speech_started) if self._speaking else 0.0
        count = content_words(utterance.text, policy.language, policy.ignore) if utterance.text else 0
        needed = 1 if floor in (Floor.THINKING, Floor.HELD_ANSWER) else policy.min_words
        if count and count >= needed:
            return self._fact(Fact.MEANT, t, f"{count} word{'s' * (count != 1)}: '{utterance.text}'")
        if speech >= UNDENIABLE:
            return self._fact(Fact.MEANT, t, f"{speech * 1000:.0f} ms of speech")
        if not policy.partials and speech >= policy.min_speech:
            return self._fact(Fact.MEANT, t, f"{speech * 1000:.0f} ms of speech, no partial transcripts to wait for")
        if floor is Floor.SPEAKING and speech >= policy.pause_after:
            return self._fact(Fact.LASTING, t, f"{speech * 1000:.0f} ms of speech over the agent")
        if floor is Floor.HELD_SPEECH and t - self._held_since >= policy.resume_after:
            return self._false_alarm(t, f"no words within {policy.resume_after:g} s")
        return []

    def _judge_end(self, t: float, ended: str) -> list[TurnDecision]:
        policy, utterance = self.policy, self._utterance
        silence = t - utterance.voiced_until
        late = utterance.awaiting_final and t - utterance.stopped < policy.final_delay
        text = utterance.text
        if not text:
            if late or silence < HANGOVER:
                return []
            reason = "no words in it"
            if self.floor in _HELD:
                return self._false_alarm(t, reason)
            self._drop(t)
            return [TurnDecision(Kind.DROP, t, reason)]
        if self.floor is not Floor.LISTENING and self._may_interrupt():
            # Words that matter have interrupted already, so what is left is backchannel.
            if late and not ended:
                return []
            if self.floor in _HELD:
                return self._false_alarm(t, f"only '{text}'")
            self._drop(t)
            return [TurnDecision(Kind.DROP, t, f"backchannel: '{text}'")]
        if ended:
            return self._end(t, ended)
        wait, reason = policy.min_silence, f"{policy.min_silence * 1000:.0f} ms of silence"
        more = unfinished(text, policy.language, punctuates=policy.punctuates, dictation_asked=self._dictation_asked)
        if policy.end_of_turn:
            wait, reason = policy.max_silence, "the recogniser did not tell the end of the turn"
        elif more:
            wait = min(policy.max_silence, 3 * policy.min_silence) if more.dictating else policy.max_silence
            reason = f"{wait:g} s of silence, although {more.reason}"
        decisions: list[TurnDecision] = []
        if policy.speculate == "partial" and not more and not utterance.drafted and not policy.end_of_turn:
            decisions += self._draft(t, text, "the caller stopped")
        if silence < wait - 1e-9 or late:
            return decisions
        if utterance.awaiting_final:
            reason += "; the final transcript is overdue"
        return decisions + self._end(t, reason)

    def _judge_silence(self, t: float) -> list[TurnDecision]:
        if self._silence_after is None or self.floor is not Floor.LISTENING or self._speaking or self.undecided:
            return []
        if self._quiet_since is None:
            self._quiet_since = t
        quiet = t - self._quiet_since
        if quiet < self._silence_after - 1e-9:
            return []
        self._silence_after = None
        self._quiet_since = t
        return [TurnDecision(Kind.SILENCE, t, f"nobody spoke for {quiet:.1f} s", seconds=quiet)]

    def _may_interrupt(self) -> bool:
        return self.floor not in _AGENT_HEARD or (self.policy.interrupt and self._interruptible)

    def _draft(self, t: float, text: str, reason: str) -> list[TurnDecision]:
        whole = " ".join(part for part in (self._carried, text) if part)
        if self.policy.speculate == "off" or not text or self.floor is not Floor.LISTENING:
            return []
        if self._utterance.drafted and same_words(self._utterance.drafted, whole):
            return []
        self._utterance.drafted = whole
        return [TurnDecision(Kind.SPECULATE, t, reason, turn=Turn(whole))]

    def _end(self, t: float, reason: str) -> list[TurnDecision]:
        utterance = self._utterance
        text = " ".join(part for part in (self._carried, utterance.text) if part)
        turn = Turn(
            text,
            confidence=utterance.confidence,
            voiced_until=utterance.voiced_until,
            decided_at=t,
            merged=bool(self._carried),
        )
        self._last_text, self._last_at = utterance.text, t
        self._carried = ""
        self._utterance = _Utterance()
        return [TurnDecision(Kind.END_TURN, t, reason, turn=turn)]

    def _end_keys(self, t: float, reason: str) -> list[TurnDecision]:
        keys, self._keys = self._keys, ""
        return [
            TurnDecision(Kind.END_TURN, t, reason, turn=Turn(keys, keys=True, voiced_until=self._key_at, decided_at=t))
        ]

    def _drop(self, t: float) -> None:
        if self._utterance.text:
            self._last_text, self._last_at = self._utterance.text, t
        self._utterance = _Utterance()

    def _false_alarm(self, t: float, reason: str) -> list[TurnDecision]:
        if self._held_coupling is not None and not self._utterance.text:
            self._echo = min(ECHO_MOST, max(self._echo, self._held_coupling + 3.0))
        if not self._speaking:
            self._drop(t)
        return self._fact(Fact.NOTHING, t, reason)

    def _fact(self, fact: Fact, t: float, reason: str) -> list[TurnDecision]:
        entry = TABLE.get((self.floor, fact))
        if entry is None:
            return []
        self.floor, kind = entry
        if kind is None:
            return []
        if kind is Kind.PAUSE:
            self._held_since = t
        seconds = t - self._utterance.started if kind is Kind.FLUSH and self._utterance.open else 0.0
        return [TurnDecision(kind, t, reason, seconds=seconds)]
