"""The turn machine against anything that may happen, in any order: what must never be, and what must always come."""

from __future__ import annotations

import json

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from voxtrad.conversation.floor import Floor, Kind, Turn, TurnDecision, TurnPolicy
from voxtrad.conversation.hearing import OWED
from voxtrad.conversation.turns import TurnMachine

FRAME = 0.02
LATE = "late transcript of what was decided already"
"""Words of an utterance that has been told in others."""
BACKCHANNEL = ["uh-huh", "okay", "yeah"]


class Conversation(RuleBasedStateMachine):
    """An obedient mouth and dialogue around the machine; caller, recogniser and luck do as they like."""

    @initialize(
        partials=st.booleans(),
        end_of_turn=st.booleans(),
        interrupt=st.booleans(),
        min_words=st.integers(0, 3),
        pause_after=st.sampled_from([0.0, 0.2, 1.5]),
        resume_after=st.sampled_from([0.0, 0.4, 2.0]),
        final_delay=st.sampled_from([0.1, 0.5, 2.0]),
        speculate=st.sampled_from(["eager", "off", "partial"]),
    )
    def answer(self, **policy: object) -> None:
        self.machine = TurnMachine(TurnPolicy(**policy))  # type: ignore[arg-type]  # hypothesis gives what fits
        self.now = 10.0
        self.paused = False
        self.audible = False
        self.filling = False
        self.interruptible = True
        self.waiting = False
        self.in_hand = False
        self.merged = False
        self.turns: list[Turn] = []
        self.said: list[str] = []
        self.finals: set[str] = set()
        self.accounted = ""
        self.count = 0
        self.over = False
        self.machine.begin(self.now)
        self.listen()

    # --- an obedient house --------------------------------------------------------------------------------------------

    def obey(self, decisions: list[TurnDecision]) -> None:
        for decision in decisions:
            assert not self.over, f"{decision} after the end"
            assert abs(decision.at - self.now) < 1e-9
            assert decision.reason
            match decision.kind:
                case Kind.PAUSE:
                    assert not self.paused, "held twice"
                    assert self.audible or self.in_hand, "nobody to hold"
                    self.paused, self.paused_at = True, self.now
                case Kind.RESUME:
                    assert self.paused, "let go without being held"
                    self.paused = False
                case Kind.FLUSH:
                    assert self.audible, "nothing to flush is heard"
                    assert self.interruptible and self.machine.policy.interrupt, "must not be interrupted"
                    self.stop_speaking()
                case Kind.MERGE:
                    assert self.in_hand and (not self.audible or self.filling), "nothing to merge with"
                    self.merged = True
                    self.stop_speaking()
                case Kind.END_TURN:
                    assert decision.turn is not None
                    open_to_the_caller = self.interruptible and self.machine.policy.interrupt
                    assert not self.in_hand or (self.audible and not open_to_the_caller), "two replies at once"
                    assert decision.turn.text or self.merged, "a turn without words"
                    self.merged = False
                    self.turns.append(decision.turn)
                    self.accounted += " " + decision.turn.text
                case Kind.DROP:
                    few = decision.reason.startswith("fewer than")
                    assert not few or self.audible, "words are dropped that nobody speaks over"
                    self.accounted += " " + decision.reason
                case Kind.SILENCE:
                    assert self.waiting, "silence told to nobody"
                    self.waiting = False
                case Kind.FILL | Kind.DEAD_AIR:
                    assert not self.waiting, "the caller's silence is not ours"
                case _:
                    pass
        if self.waiting and self.turns and not self.machine.undecided:
            self.turns.clear()
            self.waiting = False
            self.in_hand = True
            self.obey(self.machine.handed(self.now))

    def stop_speaking(self) -> None:
        """The flushed utterance ends, and the dialogue listens again: in the listener's order, after the decision."""
        was_audible = self.audible
        self.paused = self.audible = self.filling = self.in_hand = False
        if was_audible:
            self.after = True
        self.restless = True

    paused_at = 0.0
    restless = False
    after = False

    def settle(self) -> None:
        while self.restless:
            self.restless = False
            if self.after:
                self.after = False
                self.obey(self.machine.played(self.now, ""))
            self.listen()

    def listen(self) -> None:
        self.waiting = True
        self.obey(self.machine.waiting(self.now, 10.0))

    def tell(self, decisions: list[TurnDecision]) -> None:
        self.obey(decisions)
        self.settle()

    # --- what may happen ----------------------------------------------------------------------------------------------

    @precondition(lambda self: not self.over)
    @rule(n=st.integers(1, 90), voiced=st.booleans(), level=st.sampled_from([-60.0, -40.0, -25.0, -10.0]))
    def frames(self, n: int, voiced: bool, level: float) -> None:
        for _ in range(n):
            self.now += FRAME
            playout = -20.0 if self.audible and not self.paused else None
            self.tell(self.machine.frame(self.now, voiced=voiced, level=level, playout=playout))
            limit = self.machine.policy.resume_after + 2 * FRAME
            assert not self.paused or self.now - self.paused_at <= limit, "held back for too long"
            if not self.waiting and not self.in_hand and not self.audible:
                self.listen()

    @precondition(lambda self: not self.over)
    @rule(words=st.integers(0, 3), backchannel=st.booleans(), final=st.booleans())
    def transcript(self, words: int, backchannel: bool, final: bool) -> None:
        spoken = [BACKCHANNEL[i % 3] for i in range(words)] if backchannel else [self.new_word() for _ in range(words)]
        self.now += 0.001
        before = self.told_before()
        decisions = self.machine.transcript(self.now, " ".join(spoken), final=final)
        told = before and any(decision.reason == LATE for decision in decisions)
        if final and not backchannel and not told:
            self.finals.update(spoken)
        self.tell(decisions)

    def told_before(self) -> bool:
        """Whether a final transcript may still come, in other words, for what was told by its partial one."""
        settled = self.machine.snapshot()["settled"]
        return isinstance(settled, dict) and bool(settled["partial"]) and self.now - settled["at"] <= OWED

    def new_word(self) -> str:
        self.count += 1
        return f"word{self.count}x"

    @precondition(lambda self: not self.over)
    @rule(kind=st.sampled_from(["started", "eager_end", "resumed", "end"]), text=st.booleans())
    def signal(self, kind: str, text: bool) -> None:
        words = self.new_word() if text else ""
        self.now += 0.001
        before = self.told_before()
        decisions = self.machine.signal(self.now, kind, words)
        if kind == "end" and words and not (before and any(decision.reason == LATE for decision in decisions)):
            self.finals = {words}  # it replaces what was there
        self.tell(decisions)

    @precondition(lambda self: not self.over)
    @rule(digit=st.sampled_from("1#"))
    def key(self, digit: str) -> None:
        self.now += 0.001
        self.tell(self.machine.key(self.now, digit))

    @precondition(lambda self: not self.over and self.in_hand and not self.audible and not self.paused)
    @rule(interruptible=st.booleans(), filler=st.booleans())
    def agent_begins(self, interruptible: bool, filler: bool) -> None:
        self.now += 0.001
        self.audible, self.interruptible, self.filling = True, interruptible, filler
        self.tell(self.machine.audible(self.now, interruptible=interruptible))

    @precondition(lambda self: not self.over)
    @rule(interruptible=st.sampled_from([True, True, False]), filler=st.sampled_from([False, False, True]))
    def turn_and_answer(self, interruptible: bool, filler: bool) -> None:
        """A whole exchange up to the agent's first frame, so that much happens over its voice."""
        if not self.in_hand:
            self.frames(20, True, -25.0)
            self.transcript(2, False, True)
            self.frames(170, False, -60.0)
        if self.in_hand and not self.audible and not self.paused:
            self.agent_begins(interruptible, filler)
            self.frames(15, False, -60.0)

    @precondition(lambda self: not self.over)
    @rule(n=st.integers(3, 70), words=st.integers(0, 3), backchannel=st.booleans(), after=st.integers(0, 40))
    def speaks_over_the_agent(self, n: int, words: int, backchannel: bool, after: int) -> None:
        if not self.audible:
            self.turn_and_answer(True, False)
        self.frames(n, True, -15.0)
        self.transcript(words, backchannel, False)
        self.frames(after, False, -60.0)

    @precondition(lambda self: not self.over and self.audible and self.filling and not self.paused)
    @rule()
    def filler_ends(self) -> None:
        self.now += 0.001
        self.audible = self.filling = False
        self.tell(self.machine.filled(self.now))

    @precondition(lambda self: not self.over and self.in_hand and not self.paused)
    @rule(text=st.sampled_from(["", "Done.", "What is your order number?"]))
    def agent_ends(self, text: str) -> None:
        self.now += 0.001
        self.audible = self.filling = self.in_hand = False
        self.tell(self.machine.played(self.now, text))
        if not self.in_hand:
            self.listen()

    @precondition(lambda self: not self.over)
    @rule(pause=st.integers(0, 120), words=st.integers(0, 3), voiced=st.integers(0, 30))
    def goes_on_while_the_agent_thinks(self, pause: int, words: int, voiced: int) -> None:
        if not self.in_hand:
            self.frames(20, True, -25.0)
            self.transcript(2, False, True)
            self.frames(170, False, -60.0)
        self.frames(pause, False, -60.0) if pause else None
        self.frames(voiced, True, -25.0) if voiced else None
        self.transcript(words, False, True)

    @precondition(lambda self: not self.over)
    @rule(excused=st.booleans())
    def excuse(self, excused: bool) -> None:
        self.machine.excuse(self.now, excused)

    @precondition(lambda self: not self.over and self.now > 60.0)
    @rule()
    def hang_up(self) -> None:
        left = self.machine.end(self.now)
        assert [decision.kind for decision in left] in ([], [Kind.LEFT])
        for decision in left:
            assert decision.turn is not None
            self.accounted += " " + decision.turn.text
        self.over = True

    @precondition(lambda self: not self.over and self.now > 40.0)
    @rule(words=st.integers(1, 3), after=st.integers(0, 20))
    def says_something_and_hangs_up(self, words: int, after: int) -> None:
        self.frames(20, True, -15.0)
        self.transcript(words, False, True)
        self.frames(after, False, -60.0)
        self.hang_up()

    @precondition(lambda self: self.over)
    @rule()
    def nothing_follows(self) -> None:
        machine, now = self.machine, self.now + FRAME
        afterwards = [
            machine.frame(now, voiced=True), machine.transcript(now, "anything", final=True), machine.end(now),
            machine.signal(now, "end", "anything"), machine.key(now, "1"), machine.key(now, "#"),
            machine.waiting(now, 1.0), machine.handed(now),
            machine.audible(now, interruptible=True), machine.filled(now), machine.played(now, ""),
        ]  # fmt: skip
        assert not any(afterwards)

    # --- what must always be so ---------------------------------------------------------------------------------------

    @invariant()
    def held_is_held(self) -> None:
        if hasattr(self, "machine") and not self.over:
            assert self.paused == (self.machine.floor in (Floor.HELD_ANSWER, Floor.HELD_SPEECH))

    @invariant()
    def the_state_prints(self) -> None:
        if hasattr(self, "machine"):
            assert json.loads(json.dumps(self.machine.snapshot()))["floor"] == self.machine.floor.name

    def teardown(self) -> None:
        """Never stuck: the caller falls silent, the agent answers, and all ends with the caller having the floor."""
        if not hasattr(self, "machine"):
            return
        if not self.over:
            for _ in range(40):
                self.frames(25, False, -60.0)
                if self.in_hand and not self.paused:
                    self.agent_ends("")
            assert self.machine.floor is Floor.LISTENING
            assert not self.machine.undecided and not self.paused and not self.turns
        for word in self.finals:
            assert word in self.accounted, f"{word} was lost"


Conversation.TestCase.settings = settings(max_examples=250, stateful_step_count=50, deadline=None)
TestConversation = Conversation.TestCase
