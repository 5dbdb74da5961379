"""Whose turn it is: the rules of the conversation as a pure state machine. No clock of its own, no await, no audio.

Facts go in with the time at which they were true (seconds on one monotonic clock); decisions come out, each with its
reason. The listener feeds it and acts on what it says. Every audio frame (20 ms) is a tick, so it needs no timers: a
deadline is met by the frame nearest to it. What is heard and understood of the caller is kept by `hearing.py`.

The rules

1. *Floor.* The caller has it (`LISTENING`), a turn was handed over and its answer is awaited (`THINKING`), the agent is
   heard (`SPEAKING`), or the agent is held back while it is found out what the caller's sound means (`HELD_ANSWER`
   before the answer was heard, `HELD_SPEECH` after). `floor.py` has the table of which fact moves it where.
2. *The caller is speaking* from 60 ms voiced within 100 ms until 200 ms without a voiced frame. While the agent is
   heard, only sound louder than its echo counts, and words that it says itself, heard without such a sound, do not.
3. *A turn ends* when the caller has been silent for `min_silence` since the last voiced frame and the final transcript
   is there. It waits longer, `max_silence` at most, for what sounds unfinished, and a shorter while (three times
   `min_silence`) for digits under way. A final transcript that does not come is waited for as long as is usual for the
   recogniser, then the partial one has to do; what comes later still counts only for what it says beyond that, until
   all of it is there and the agent has answered: the same words are then said again. Without any words the sound was no
   utterance and is dropped. A recogniser that decides turns itself is believed; if it has not spoken after
   `max_silence`, the rest of this rule applies as always.
4. *The caller speaks while an answer is awaited:* it is held back at once. Words, or speech of `min_speech` where the
   recogniser gives no partials: the answer is dropped and the turn goes on (`MERGE`). No words, or `resume_after` has
   passed without: it is let go. A merge after which no words come hands the turn over again as it was.
5. *The caller speaks while the agent is heard:* after `pause_after` the agent pauses. It is an interruption (`FLUSH`)
   when at least `min_words` words come that are more than backchannel, after `min_speech` of speech where the
   recogniser gives no partials (or `min_words` is 0), or after one second of speech whatever it says. Otherwise the
   agent goes on (`RESUME`) when the caller has stopped and the recogniser's usual delay has passed, `resume_after` at
   the latest, and what was said is dropped - unless the agent finishes within a second: then it was an answer. Speech
   that must not be interrupted is not paused, and what was said is a turn of its own.
6. *A key* interrupts like a word. Keys pressed are a turn, ended by `#` or two seconds without another.
7. *Silence* of the caller is told once it has lasted for as long as was asked, counted from the last sound of either
   side; sooner, after `resume_after`, when a sound without words has interrupted the agent, and before it is dead air
   when the caller has spoken for a second and the recogniser has said nothing at all, or taken its words back, the
   first time that happens since there were words.
8. *Noise.* Speech of five seconds without a word is none to a recogniser that gives partials, and neither is what goes
   on for `max_silence` and the recogniser's delay after the last word: it is not listened to until there is a gap.
9. *The agent is never silent.* While the caller has no turn to speak and nobody is heard, the agent is to fill it after
   `fill_after` seconds, and every `fill_every` again, in time before silence has become `dead_air` - which is told.
10. *After the end* nothing is decided; what the caller said last is told, so that it is not lost.
"""

from __future__ import annotations

from dataclasses import asdict
from math import inf

from voxtrad.conversation.floor import AGENT_HEARD, HELD, TABLE, Fact, Floor, Kind, Turn, TurnDecision, TurnPolicy
from voxtrad.conversation.hearing import ECHO_TAIL, HANGOVER, SLACK, EchoGuard, Keys, Memory, Speech, Utterance
from voxtrad.conversation.judgement import UNDENIABLE, meant, milliseconds, patience, patience_with_noise
from voxtrad.conversation.quiet import Quiet
from voxtrad.conversation.utterances import Backchannel, asks_for_dictation, echoes, same_words

NOISE = 5.0
"""Seconds of speech without a word that are noise."""
ANSWER = 1.0
"""Backchannel in the last so many seconds of what the agent says is an answer to it."""


class TurnMachine:
    """One call's turn taking. Every method returns the decisions that follow from the fact it was told."""

    def __init__(self, policy: TurnPolicy) -> None:
        self.policy = policy
        self.floor = Floor.LISTENING
        self._backchannel = Backchannel(policy.language, policy.ignore)
        self._quiet = Quiet(policy)
        self._speech = Speech()
        self._echo = EchoGuard()
        self._utterance: Utterance | None = None
        self._memory = Memory()
        self._keys = Keys()
        self._interruptible = True
        self._dictation_asked = False
        self._audible_at = 0.0
        self._held_since = 0.0
        self._held_for: float | None = None
        """The beginning of the speech for which the agent was held back already: it is not held back for it twice."""
        self._merged = False
        """A turn was taken back, and waits for more words or to be handed over again."""
        self._over = False

    # --- facts from the ears ------------------------------------------------------------------------------------------

    def frame(
        self, t: float, *, voiced: bool, level: float = -30.0, playout: float | None = None
    ) -> list[TurnDecision]:
        """A frame of the caller's audio: is it voiced, how loud is it and the agent's own sound, in dBFS.

        `playout` is None while nothing of the agent can be heard, nor its echo.
        """
        if self._over:
            return []
        speech = self._speech
        if playout is None:
            self._echo.silent()
        else:
            self._quiet.heard(t - ECHO_TAIL)
            voiced = self._echo.is_caller(level, playout, voiced=voiced, speaking=speech.going_on)
        change = speech.frame(t, voiced)
        if change is None and not speech.going_on and self._utterance is None and not self._keys.pressed:
            return (
                self._quiet.judge(t, listening=self.floor is Floor.LISTENING)
                if self.floor not in HELD
                else self._judge(t)
            )
        decisions: list[TurnDecision] = []
        if change:
            decisions = self._onset(t)
        elif change is False:
            decisions = self._stop(t)
        if speech.going_on:
            self._quiet.heard(speech.voiced_until)
            if self._utterance is not None:
                self._utterance.voiced_until = speech.voiced_until
        return decisions + self._judge(t)

    def transcript(
        self, t: float, text: str, *, final: bool, confidence: float | None = None, agent_said: str = ""
    ) -> list[TurnDecision]:
        """The recogniser's text for what is being said; a partial one replaces the partial one before.

        `agent_said` is what the agent has just been saying, to know its echo.
        """
        if self._over:
            return []
        text = text.strip()
        if (utterance := self._utterance) is None:
            if not text:
                self._memory.final_came(final)
                self._quiet.answered()
                return []
            if dropped := self._nothing_new(t, text, final, agent_said):
                return dropped
            text = self._news(t, text, final)
            utterance = self._open(t)
        elif final and self._memory.owed_final:
            self._memory.final_came()
            if text and not (text := self._news(t, text, final)):
                return [TurnDecision(Kind.DROP, t, "late transcript of what was decided already")]
        elif not final and not self._speech.going_on and not utterance.awaiting_final and utterance.overtaken(text):
            return []
        if not utterance.sounded and text:
            utterance.voiced_until = t
        utterance.take(t, text, final=final, confidence=confidence)
        utterance.answered = utterance.answered or not self._speech.going_on
        utterance.awaiting_final = not final or self._speech.going_on
        return self._judge(t)

    def signal(self, t: float, kind: str, text: str = "", *, agent_said: str = "") -> list[TurnDecision]:
        """The recogniser's own word on turns: `started`, `eager_end`, `resumed` or `end`."""
        if self._over:
            return []
        text = text.strip()
        if kind == "eager_end":
            return self._draft(t, text, "the recogniser expects the end of the turn")
        if kind == "resumed":
            return self._forget_draft(t)
        if kind != "end":
            return []
        if self._utterance is None:
            if not text:
                return []
            if dropped := self._nothing_new(t, text, True, agent_said):
                return dropped
            text = self._news(t, text, True)
            self._open(t)
        utterance = self._utterance
        assert utterance is not None
        if text:
            utterance.replace(t, text)
        utterance.awaiting_final = False
        return self._judge(t, ended="the recogniser heard the end of the turn")

    def key(self, t: float, digit: str) -> list[TurnDecision]:
        """The caller pressed a key."""
        if self._over:
            return []
        self._quiet.heard(t)
        ended = self._keys.press(t, digit)
        decisions = self._fact(Fact.MEANT, t, f"key {digit}") if self._may_interrupt() else []
        return decisions + self._end_keys(t, "ended by #") if ended else decisions

    # --- facts from the dialogue and the mouth ------------------------------------------------------------------------

    def begin(self, t: float) -> None:
        """The call was answered: from now on silence is somebody's."""
        self._quiet.begin(t)

    def waiting(self, t: float, silence_after: float | None = None) -> list[TurnDecision]:
        """The dialogue listens, and wants to know when nobody has spoken for so many seconds."""
        self._quiet.waiting(t, silence_after)
        return self._fact(Fact.WAITING, t, "the dialogue listens")

    def handed(self, t: float) -> list[TurnDecision]:
        """The dialogue was given a turn."""
        self._quiet.busy(t)
        return self._fact(Fact.HANDED, t, "the dialogue has the turn")

    def prompted(self, t: float) -> list[TurnDecision]:
        """The agent is to say something that nobody asked for now: the silence from here on is its own."""
        self._quiet.heard(t)
        self._quiet.turn(t)
        return self.handed(t)

    def busy(self, t: float) -> None:
        """The dialogue listens no longer, although it was given no turn."""
        self._quiet.busy(t)

    def excuse(self, t: float, excused: bool) -> None:
        """Silence is not the agent's for the time being: keys are awaited, or others talk with the caller."""
        self._quiet.excuse(t, excused)

    def audible(self, t: float, *, interruptible: bool) -> list[TurnDecision]:
        """The agent starts to be heard."""
        self._interruptible = interruptible
        self._audible_at = t
        self._quiet.heard(t)
        return self._fact(Fact.AUDIBLE, t, "the agent speaks")

    def filled(self, t: float) -> list[TurnDecision]:
        """What the agent said was only to fill the time, and it is silent again."""
        self._interruptible = True
        return self._fact(Fact.FILLED, t, "the answer is still awaited")

    def played(self, t: float, text: str = "") -> list[TurnDecision]:
        """The agent is not heard any more; `text` is what it said last."""
        if self._over:
            return []
        heard = self.floor in AGENT_HEARD
        if heard:
            self._memory.answered(self._audible_at)
        self._interruptible = True
        self._quiet.agent_finished(t, heard=heard)
        if text:
            self._dictation_asked = asks_for_dictation(text, self.policy.language)
        decisions = self._fact(Fact.PLAYED, t, "the agent has finished")
        murmur = self._memory.murmured(since=t - ANSWER)
        if heard and murmur is not None and self._utterance is None:
            self._utterance = murmur
            decisions += self._judge(t)
        return decisions

    def unheard(self) -> None:
        """What was flushed had not been heard: the turn that it answered goes on."""
        self._merged = True

    def end(self, t: float) -> list[TurnDecision]:
        """The call is over. What the caller said last and nobody answered is told, and nothing after it."""
        if self._over:
            return []
        self._over = True
        utterance = self._utterance
        text = " ".join(part for part in (utterance.text if utterance else "", self._keys.pressed) if part)
        if not text:
            return []
        heard = utterance.voiced_until if utterance else self._keys.at
        turn = Turn(text, voiced_until=heard, decided_at=t, keys=utterance is None)
        return [TurnDecision(Kind.LEFT, t, "the call ended", turn=turn)]

    # --- what is known ------------------------------------------------------------------------------------------------

    def silence_left(self, t: float) -> float:
        """Seconds for which nobody more may be heard, until it is dead air; unlimited while somebody is."""
        return inf if self.floor in AGENT_HEARD or self._speech.going_on else self._quiet.left(t)

    @property
    def undecided(self) -> bool:
        """Something was heard of the caller that is not a turn yet, and not dropped."""
        return self._utterance is not None or bool(self._keys.pressed)

    def snapshot(self) -> dict[str, object]:
        """The whole state, to print."""
        return {
            "floor": self.floor.name,
            "speaking": self._speech.going_on,
            "utterance": asdict(self._utterance) if self._utterance is not None else None,
            **self._memory.snapshot(),
            "keys": self._keys.pressed,
            "interruptible": self._interruptible,
            "dictation_asked": self._dictation_asked,
            "merged": self._merged,
            "held_since": self._held_since,
            "held_for": self._held_for,
            "echo_db": round(self._echo.gain, 1),
            "quiet": self._quiet.snapshot(),
            "over": self._over,
        }

    # --- the caller's sound and words ---------------------------------------------------------------------------------

    def _onset(self, t: float) -> list[TurnDecision]:
        self._echo.onset()
        if self._utterance is None:
            self._open(t)
        assert self._utterance is not None
        self._utterance.sounded = True
        self._utterance.awaiting_final = True
        return [TurnDecision(Kind.SPEECH_STARTED, t, "60 ms voiced of the last 100 ms"), *self._forget_draft(t)]

    def _stop(self, t: float, reason: str = f"{HANGOVER * 1000:.0f} ms without voice") -> list[TurnDecision]:
        speech = self._speech
        self._quiet.heard(speech.voiced_until)
        return [TurnDecision(Kind.SPEECH_ENDED, t, reason, seconds=speech.voiced_until - speech.started)]

    def _open(self, t: float) -> Utterance:
        """An utterance begins; or words come, late, for a sound that was taken for none."""
        speech = self._speech
        self._utterance = self._memory.worded(t, speaking=speech.going_on)
        if self._utterance is None:
            started = speech.started if speech.going_on else t
            self._utterance = Utterance(started, t, sounded=speech.going_on, worded_at=t)
        return self._utterance

    def _nothing_new(self, t: float, text: str, final: bool, agent_said: str) -> list[TurnDecision]:
        """Words without new speech: of what was decided already, or the agent's own."""
        overtaken = not final and not self._speech.going_on and self._memory.overtaken(t, text)
        if overtaken or not self._news(t, text, final):
            self._memory.final_came(final)
            return [TurnDecision(Kind.DROP, t, "late transcript of what was decided already")]
        if agent_said and echoes(text, agent_said):
            return [TurnDecision(Kind.DROP, t, f"the agent's own words: '{text}'")]
        return []

    def _news(self, t: float, text: str, final: bool) -> str:
        return self._memory.news_in(t, text, final=final, fresh=self._utterance is not None)

    # --- what follows -------------------------------------------------------------------------------------------------

    def _judge(self, t: float, ended: str = "") -> list[TurnDecision]:
        """What follows from all that is known now."""
        decisions = self._judge_interruption(t)
        if self._keys.complete(t):
            decisions += self._end_keys(t, f"{Keys.GAP:.0f} s without another key")
        if self._utterance is not None:
            decisions += self._judge_end(t, self._utterance, ended)
        elif self.floor in HELD and not self._speech.going_on:
            decisions += self._fact(Fact.NOTHING, t, "the caller said nothing")
        if self.floor in HELD or self._speech.going_on:
            return decisions
        return decisions + self._quiet.judge(t, listening=not self.undecided and self.floor is Floor.LISTENING)

    def _judge_interruption(self, t: float) -> list[TurnDecision]:
        floor, policy, utterance, speech = self.floor, self.policy, self._utterance, self._speech
        if (keys := self._keys.pressed) and floor not in AGENT_HEARD:
            return self._fact(Fact.MEANT, t, f"keys {keys}, pressed while the agent could not be interrupted")
        if floor is Floor.LISTENING or utterance is None or not self._may_interrupt():
            return []
        over_agent = floor in AGENT_HEARD
        began = max(speech.started, self._audible_at) if over_agent else speech.started
        lasting = speech.voiced_until - began if speech.going_on else -1.0
        words = utterance.content(self._backchannel) if utterance.text else 0
        if why := meant(policy, words=words, text=utterance.text, lasting=lasting, over_agent=over_agent):
            return self._fact(Fact.MEANT, t, why)
        if floor in HELD and t - self._held_since >= policy.resume_after - SLACK:
            return self._fact(Fact.NOTHING, t, f"no words within {policy.resume_after:g} s")
        if speech.going_on and self._held_for != speech.started:
            if floor is Floor.THINKING:
                return self._fact(Fact.ONSET, t, "the caller speaks before the answer was heard")
            if floor is Floor.SPEAKING and lasting >= policy.pause_after - SLACK:
                return self._fact(Fact.LASTING, t, f"{milliseconds(lasting)} of speech over the agent")
        return []

    def _judge_end(self, t: float, utterance: Utterance, ended: str) -> list[TurnDecision]:
        if self._speech.going_on and not ended:
            return self._judge_noise(t, utterance)
        policy = self.policy
        silence = t - utterance.voiced_until
        late = utterance.awaiting_final and not ended and silence < max(policy.final_delay, HANGOVER) - SLACK
        text = utterance.text
        if not text:
            return [] if late or silence < HANGOVER - SLACK else self._drop(t, "no words in it")
        if self.floor is not Floor.LISTENING and not utterance.content(self._backchannel):
            return [] if late else self._drop(t, f"backchannel: '{text}'")
        if self.floor is not Floor.LISTENING and self._may_interrupt():
            # Words enough would have interrupted already.
            return [] if late else self._drop(t, f"fewer than {policy.min_words} words: '{text}'")
        if ended:
            return self._end(t, ended)
        wait, reason, finished = patience(policy, utterance, dictation_asked=self._dictation_asked)
        decisions: list[TurnDecision] = []
        if policy.speculate == "partial" and finished:
            decisions = self._draft(t, text, "the caller stopped")
        if silence < wait - SLACK or late:
            return decisions
        if utterance.awaiting_final:
            reason += "; the final transcript is overdue"
        return decisions + self._end(t, reason)

    def _judge_noise(self, t: float, utterance: Utterance) -> list[TurnDecision]:
        """Speech that goes on by the detector's word, while the recogniser hears none."""
        policy = self.policy
        if not policy.partials:
            return []
        if not utterance.text:
            if t - self._speech.started < NOISE - SLACK:
                return []
            reason = f"{NOISE:g} s of sound without a word"
            self._speech.disregard(t)
            return self._stop(t, reason) + self._drop(t, reason)
        wait = patience_with_noise(policy)
        if t - utterance.worded_at < wait - SLACK or self.floor is not Floor.LISTENING:
            return []
        reason = f"no new words for {wait:g} s, although the line is not silent"
        self._speech.disregard(t)
        return self._stop(t, reason) + self._end(t, reason)

    # --- how it comes out ---------------------------------------------------------------------------------------------

    def _may_interrupt(self) -> bool:
        return self.floor not in AGENT_HEARD or (self.policy.interrupt and self._interruptible)

    def _draft(self, t: float, text: str, reason: str) -> list[TurnDecision]:
        utterance = self._utterance
        if self.policy.speculate == "off" or not text or utterance is None or self.floor is not Floor.LISTENING:
            return []
        if utterance.drafted and (utterance.drafted == text or same_words(utterance.drafted, text)):
            return []
        utterance.drafted = text
        return [TurnDecision(Kind.SPECULATE, t, reason, turn=Turn(text))]

    def _forget_draft(self, t: float, reason: str = "the caller goes on") -> list[TurnDecision]:
        if self._utterance is None or not self._utterance.drafted:
            return []
        self._utterance.drafted = ""
        return [TurnDecision(Kind.FORGET_DRAFT, t, reason)]

    def _end(self, t: float, reason: str) -> list[TurnDecision]:
        utterance = self._utterance
        assert utterance is not None
        turn = Turn(
            utterance.text,
            confidence=utterance.confidence,
            voiced_until=utterance.voiced_until,
            decided_at=t,
            final_at=utterance.final_at if not utterance.partial else None,
        )
        self._settle(t)
        return self._turn(t, reason, turn)

    def _end_keys(self, t: float, reason: str) -> list[TurnDecision]:
        return self._turn(t, reason, Turn(self._keys.take(), keys=True, voiced_until=self._keys.at, decided_at=t))

    def _turn(self, t: float, reason: str, turn: Turn) -> list[TurnDecision]:
        self._merged = False
        self._memory.forget_murmur()
        self._quiet.turn(t)
        return [TurnDecision(Kind.END_TURN, t, reason, turn=turn)]

    def _settle(self, t: float) -> None:
        """The utterance is decided; it is remembered for transcripts that come late."""
        utterance, self._utterance = self._utterance, None
        assert utterance is not None
        if self._speech.going_on:
            self._held_for = self._speech.started
        self._memory.settle(t, utterance)

    def _drop(self, t: float, reason: str) -> list[TurnDecision]:
        """It was no utterance: whoever was held goes on, and a turn that was taken back stands as it was."""
        utterance = self._utterance
        assert utterance is not None
        decisions = self._forget_draft(t, reason)
        if not utterance.text:
            self._echo.mistaken()
            unheard = utterance.retracted or not utterance.answered
            if unheard and utterance.voiced_until - utterance.started >= UNDENIABLE - SLACK:
                self._quiet.unanswered()
        self._memory.drop(t, utterance, over_agent=self.floor in AGENT_HEARD)
        self._settle(t)
        decisions.append(TurnDecision(Kind.DROP, t, reason))
        decisions += self._fact(Fact.NOTHING, t, reason)
        if self._merged and not self._keys.pressed:
            turn = Turn("", voiced_until=utterance.voiced_until, decided_at=t)
            return decisions + self._turn(t, "no more words came: the turn stands as it was", turn)
        return decisions

    def _fact(self, fact: Fact, t: float, reason: str) -> list[TurnDecision]:
        entry = TABLE.get((self.floor, fact))
        if entry is None or self._over:
            return []
        self.floor, kind = entry
        if kind is None:
            return []
        since = 0.0
        if kind is Kind.PAUSE:
            self._held_since = t
            self._held_for = self._speech.started
        elif kind is Kind.MERGE:
            self._merged = True
        elif kind is Kind.FLUSH:
            keyed = self._keys.at == t or self._utterance is None
            self._quiet.cut(by_noise=not keyed)
            since = self._keys.at if keyed or self._utterance is None else self._utterance.started
        return [TurnDecision(kind, t, reason, since=since)]
