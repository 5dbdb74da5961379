"""What is heard of the caller, as far as sound and words tell it: perception, without any decision.

Frames become speech that begins and stops, the agent's own echo is told from the caller, transcripts become what an
utterance says so far. Pure: facts and their times come in. What it means for the conversation is decided in `turns.py`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

from voxtrad.conversation.utterances import Backchannel, Unfinished, begins, beyond, overlap, same_words, unfinished

FRAME = 0.02
"""Seconds of audio in a frame: the tick of everything here."""
SLACK = FRAME / 2
"""Frames come with jitter: a wait is over with the frame nearest to its end, not with the first one after it."""
ONSET_WINDOW = 0b11111
ONSET_VOICED = 3
"""60 ms voiced of the last 100 ms is speech."""
HANGOVER = 0.2
"""Seconds without a voiced frame after which the caller has stopped; shorter gaps lie within words."""
LONGEST = 60.0
"""Seconds after which speech is cut, as if the caller had stopped: nobody speaks so long, a noisy line does."""
LATE = 3.0
"""Seconds within which a transcript that comes without new speech belongs to what was decided before."""
OWED = 15.0
"""The same for a final transcript that was not waited for: it may be as late as it likes, nearly."""
ECHO_TAIL = 0.3
"""Seconds for which the agent's own sound may still come back as echo."""


class Speech:
    """The detector's frames as speech: when it began, when it was last heard, whether it goes on."""

    __slots__ = ("_bits", "_deaf", "_heard", "going_on", "started", "voiced_until")

    def __init__(self) -> None:
        self.going_on = False
        self.started = 0.0
        self.voiced_until = 0.0
        self._bits = 0
        self._deaf = False
        self._heard = 0.0

    def frame(self, t: float, voiced: bool) -> bool | None:
        """True when speech begins with this frame, False when it has stopped, None when nothing changes."""
        if self._deaf:
            if voiced:
                self._heard = t
            elif t - self._heard >= HANGOVER - SLACK:
                self._deaf = False
            return None
        if self.going_on:
            if voiced and t - self.started < LONGEST:
                self.voiced_until = t
                return None
            if t - self.voiced_until < HANGOVER - SLACK:
                return None
            self.going_on = False
            self._bits = 0
            self._deaf = voiced
            self._heard = t
            return False
        self._bits = (self._bits << 1 | voiced) & ONSET_WINDOW
        if not voiced or self._bits.bit_count() < ONSET_VOICED:
            return None
        self.going_on = True
        self.started = t - (self._bits.bit_length() - 1) * FRAME
        self.voiced_until = t
        return True

    def disregard(self, t: float) -> None:
        """It is noise: hear nothing of it until there is a gap in it."""
        self.going_on = False
        self._bits = 0
        self._deaf = True
        self._heard = t


class EchoGuard:
    """Tells the caller from the agent's own sound that comes back. All in dB relative to the agent's level.

    The gain of the echo is learned: from what is too quiet for a caller, from what begins together with the agent, and
    from what held the agent up and was nothing. It follows upwards at once and downwards slowly.
    """

    START = -21.0
    LEAST = -40.0
    MOST = -6.0
    """What is louder than this is no echo: hybrids and cancellers all do better."""
    MARGIN = 3.0
    DECAY = 0.1
    """dB a frame."""
    BEGINNING = 12
    """Frames within which sound that begins together with the agent is taken for its echo."""

    __slots__ = ("_frames", "_suspect", "gain")

    def __init__(self) -> None:
        self.gain = self.START
        self._frames = 0
        self._suspect: float | None = None

    def silent(self) -> None:
        """Nothing of the agent can be heard."""
        self._frames = 0

    def is_caller(self, level: float, playout: float, *, voiced: bool, speaking: bool) -> bool:
        """Whether a frame of this level (dBFS) is the caller, and not the echo of an agent at `playout` dBFS.

        `voiced` is the detector's word; `speaking`: the caller was heard before this frame.
        """
        coupling = level - playout
        self._frames += 1
        if coupling < self.gain:
            self.gain = max(coupling, self.gain - self.DECAY, self.LEAST)
            return False
        if not voiced:
            return False
        begins_together = self._frames <= self.BEGINNING and not speaking and coupling <= self.MOST
        if coupling > self.gain + self.MARGIN and not begins_together:
            if self._suspect is None or coupling > self._suspect:
                self._suspect = coupling
            return True
        self.gain = min(coupling, self.MOST)
        return False

    def onset(self) -> None:
        """Speech begins: what is heard from now on may turn out to be an echo."""
        self._suspect = None

    def mistaken(self) -> None:
        """What was taken for the caller was nothing: it may have been the echo."""
        if self._suspect is not None and self._suspect <= self.MOST:
            self.gain = max(self.gain, self._suspect)
        self._suspect = None


@dataclass(slots=True)
class Utterance:
    """What the caller is saying, from its first sound or word until it is decided what it was."""

    started: float
    voiced_until: float
    sounded: bool = True
    """The detector heard it; False for words that came without."""
    finals: list[str] = field(default_factory=list)
    partial: str = ""
    text: str = ""
    confidence: float | None = None
    awaiting_final: bool = True
    answered: bool = False
    """The recogniser has said something since the caller stopped, if only that there were no words."""
    retracted: bool = False
    """It had words, and a final transcript took them back."""
    worded_at: float = 0.0
    """When its text last became another."""
    final_at: float | None = None
    drafted: str = ""
    _counted: tuple[str, bool] = ("", False)
    _content: int = 0
    _judged: tuple[str, bool] | None = None
    _more: Unfinished | None = None

    def take(self, t: float, text: str, *, final: bool, confidence: float | None = None) -> None:
        """A transcript: a final piece is added, a partial one replaces the partial one before."""
        if final:
            if text:
                self.finals.append(text)
                self.confidence = confidence
            self.retracted = not text and (self.retracted or bool(self.partial))
            self.partial = ""
            self.final_at = t
        else:
            self.partial = text
        self._write(t)

    def overtaken(self, text: str) -> bool:
        """Whether a partial transcript only says what the last final one begins with."""
        return bool(self.finals) and not self.partial and begins(text, self.finals[-1])

    def replace(self, t: float, text: str) -> None:
        """The recogniser gives all of it at once."""
        self.finals, self.partial, self.final_at = [text], "", t
        self._write(t)

    def _write(self, t: float) -> None:
        text = " ".join(part for part in (*self.finals, self.partial) if part)
        if text != self.text:
            self.text, self.worded_at = text, t

    def content(self, backchannel: Backchannel) -> int:
        """How many of its words are more than backchannel."""
        key = (self.text, bool(self.partial))
        if self._counted != key:
            self._counted = key
            self._content = backchannel.content_words(self.text, more_to_come=bool(self.partial))
        return self._content

    def unfinished(self, language: str, *, punctuates: bool, dictation_asked: bool) -> Unfinished | None:
        """Why the caller will probably go on."""
        key = (self.text, dictation_asked)
        if self._judged != key:
            self._judged = key
            self._more = unfinished(self.text, language, punctuates=punctuates, dictation_asked=dictation_asked)
        return self._more


@dataclass(frozen=True, slots=True)
class Settled:
    """An utterance on which was decided, kept for transcripts of it that come late."""

    text: str
    partial: str
    """The part of `text` that was no final transcript: its final one may still come."""
    at: float

    def news_in(self, t: float, text: str, *, final: bool, fresh: bool, owed: bool) -> str:
        """What a transcript says beyond what was known.

        `fresh`: there is new speech that it may belong to; `owed`: a final transcript of the old is still to come.
        """
        if not text or t - self.at > (OWED if owed and final and not fresh else LATE):
            return text
        known = (self.partial,) if fresh else (self.text, self.partial)
        for said in known:
            if said and same_words(text, said):
                return ""
        for said in known:
            if said and (rest := beyond(said, text)) is not None:
                return rest
        if final and self.partial and (not fresh or overlap(text, self.partial) >= 0.5):
            return ""  # the final transcript that was not waited for, in other words
        return text


class Memory:
    """What was decided on already, and what may still be told of it: words come late."""

    __slots__ = ("_murmur", "_settled", "_wordless", "owed_final")

    def __init__(self) -> None:
        self.owed_final = False
        """A final transcript of what was decided already may still come."""
        self._settled: Settled | None = None
        self._wordless: tuple[float, Utterance] | None = None
        """What was dropped because no words came for it, and when: they may come late."""
        self._murmur: tuple[float, Utterance] | None = None
        """Backchannel that was dropped, and when: an answer, if the agent is about to finish."""

    def settle(self, t: float, utterance: Utterance) -> None:
        """It is decided."""
        if utterance.text:
            self._settled = Settled(utterance.text, utterance.partial, t)
            self.owed_final = utterance.awaiting_final

    def drop(self, t: float, utterance: Utterance, *, over_agent: bool) -> None:
        """It was no utterance, as it seems."""
        if not utterance.text:
            self._wordless = (t, utterance)
        elif over_agent:
            self._murmur = (t, utterance)

    def final_came(self, final: bool = True) -> None:
        self.owed_final = self.owed_final and not final

    def news_in(self, t: float, text: str, *, final: bool, fresh: bool) -> str:
        """As of the utterance on which was decided last."""
        if self._settled is None:
            return text
        return self._settled.news_in(t, text, final=final, fresh=fresh, owed=self.owed_final)

    def overtaken(self, t: float, text: str) -> bool:
        """Whether a partial transcript, for which there is no sound, only says what the last utterance begins with."""
        settled = self._settled
        return settled is not None and t - settled.at <= LATE and begins(text, settled.text)

    def answered(self, audible_at: float) -> None:
        """The agent has answered, heard since then: the same words again are said again."""
        if not self.owed_final and self._settled is not None and self._settled.at <= audible_at:
            self._settled = None

    def worded(self, t: float, *, speaking: bool) -> Utterance | None:
        """Words come: the sound they are for, where it was taken for none."""
        wordless, self._wordless = self._wordless, None
        return wordless[1] if wordless is not None and not speaking and t - wordless[0] <= LATE else None

    def murmured(self, since: float) -> Utterance | None:
        """The backchannel that was dropped since then, once."""
        murmur, self._murmur = self._murmur, None
        return murmur[1] if murmur is not None and murmur[0] >= since else None

    def forget_murmur(self) -> None:
        self._murmur = None

    def snapshot(self) -> dict[str, object]:
        """The whole state, to print."""
        return {
            "settled": asdict(self._settled) if self._settled is not None else None,
            "owed_final": self.owed_final,
            "wordless": self._wordless[0] if self._wordless is not None else None,
            "murmur": self._murmur[1].text if self._murmur is not None else None,
        }


class Keys:
    """Keys that the caller presses, until they are a turn."""

    GAP = 2.0
    """Seconds after which pressed keys are a turn."""

    __slots__ = ("at", "pressed")

    def __init__(self) -> None:
        self.pressed = ""
        self.at = 0.0
        """When the last one was pressed."""

    def press(self, t: float, key: str) -> bool:
        """Whether it ends what was pressed."""
        self.at = t
        if key == "#" and self.pressed:
            return True
        self.pressed += key
        return False

    def complete(self, t: float) -> bool:
        """Whether no other has come for long enough."""
        return bool(self.pressed) and t - self.at >= self.GAP - SLACK

    def take(self) -> str:
        """What was pressed."""
        pressed, self.pressed = self.pressed, ""
        return pressed
