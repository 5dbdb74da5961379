"""Whose silence it is, and when it has lasted too long: the caller's is told to the dialogue, the agent's is filled.

Pure, as all of turn taking: it is told what was heard when, and asked on every frame.
"""

from __future__ import annotations

from voxtrad.conversation.floor import Kind, TurnDecision, TurnPolicy

FILL_LEAD = 0.75
"""Seconds before dead air at which the agent fills, or asks who was not understood, at the latest."""
_TINY = 1e-9


class Quiet:
    """Silence belongs to the caller while the dialogue waits for a turn, and to the agent otherwise."""

    def __init__(self, policy: TurnPolicy) -> None:
        self._policy = policy
        self._waiting = True
        self._asked_at = 0.0
        self._after: float | None = None
        self._last_sound = 0.0
        """When either side was last heard."""
        self._busy_since = 0.0
        self._excused = False
        self._may_fill = False
        self._filled_at: float | None = None
        self._dead = False
        self._cut_by_noise = False
        self._unanswered = False
        self._was_unanswered = False
        """It was told already, and there were no words since."""

    # --- what happens -------------------------------------------------------------------------------------------------

    def begin(self, t: float) -> None:
        """The call was answered: from now on silence is somebody's."""
        self._waiting = False
        self._last_sound = self._busy_since = t

    def waiting(self, t: float, after: float | None) -> None:
        """The dialogue listens, and wants to know when the caller has been silent for so many seconds."""
        self._waiting = True
        self._asked_at = t
        self._after = after

    def busy(self, t: float) -> None:
        """The dialogue listens no longer."""
        if self._waiting:
            self._busy_since = t
        self._waiting = False
        self._after = None

    def heard(self, at: float) -> None:
        """Somebody was heard."""
        if at > self._last_sound:
            self._last_sound, self._dead = at, False

    def turn(self, t: float) -> None:
        """The caller has finished: what follows is the agent's."""
        self._busy_since = t
        self._filled_at = None
        self._may_fill = True
        self._cut_by_noise = self._unanswered = self._was_unanswered = False

    def agent_finished(self, t: float, *, heard: bool) -> None:
        self._busy_since = t
        if heard:
            self.heard(t)
            self._filled_at = None
            self._may_fill = True

    def excuse(self, t: float, excused: bool) -> None:
        """Silence is not the agent's for the time being: keys are awaited, or others talk with the caller."""
        self._excused = excused
        self._busy_since = t
        self.heard(t)

    def cut(self, by_noise: bool) -> None:
        """The agent was interrupted; by noise, until there are words in it."""
        self._cut_by_noise = by_noise

    def unanswered(self) -> None:
        """The caller has spoken, and the recogniser has said nothing to it."""
        self._unanswered = self._policy.nudges and not self._was_unanswered

    def answered(self) -> None:
        """It has, late: there were no words."""
        self._unanswered = False

    def left(self, t: float) -> float:
        """Seconds until silence is dead air."""
        return self._last_sound + self._policy.dead_air - t

    # --- what follows -------------------------------------------------------------------------------------------------

    def judge(self, t: float, *, listening: bool) -> list[TurnDecision]:
        """What follows from the silence now. `listening`: nothing of the caller is undecided."""
        if not self._waiting:
            return [] if self._excused else self._agents(t)
        return self._callers(t) if listening and self._after is not None else []

    def _callers(self, t: float) -> list[TurnDecision]:
        after, reason = self._after or 0.0, "nobody spoke for {:.1f} s"
        if self._cut_by_noise and self._policy.resume_after < after:
            after, reason = self._policy.resume_after, "a sound has cut the agent off, and nobody spoke for {:.1f} s"
        if self._unanswered and self._policy.dead_air - FILL_LEAD < after:
            after, reason = self._policy.dead_air - FILL_LEAD, "what was said was not understood, {:.1f} s ago"
        quiet = t - max(self._last_sound, self._asked_at)
        if quiet < after - _TINY:
            return []
        self.busy(t)
        self._was_unanswered = self._was_unanswered or self._unanswered
        self._cut_by_noise = self._unanswered = False
        self._last_sound = t  # what follows is another silence
        return [TurnDecision(Kind.SILENCE, t, reason.format(quiet), seconds=quiet)]

    def _agents(self, t: float) -> list[TurnDecision]:
        quiet = t - self._last_sound
        decisions: list[TurnDecision] = []
        if quiet >= self._policy.dead_air - _TINY and not self._dead:
            self._dead = True
            decisions.append(TurnDecision(Kind.DEAD_AIR, t, f"nobody was heard for {quiet:.1f} s", seconds=quiet))
        if self._may_fill and t >= self._due() - _TINY:
            self._filled_at = t
            decisions.append(TurnDecision(Kind.FILL, t, f"nothing to hear for {quiet:.1f} s", seconds=quiet))
        return decisions

    def _due(self) -> float:
        """When the agent is to fill the silence."""
        policy = self._policy
        silent_since = max(self._busy_since, self._last_sound)
        latest = max(self._last_sound + policy.dead_air, self._busy_since + 1.0) - FILL_LEAD
        if self._filled_at is None:
            return min(silent_since + policy.fill_after, latest)
        due = max(silent_since + policy.fill_after, self._filled_at + policy.fill_every)
        return max(min(due, latest), self._filled_at + policy.fill_after)

    def snapshot(self) -> dict[str, object]:
        """The whole state, to print."""
        return {name.strip("_"): value for name, value in vars(self).items() if name != "_policy"}
