"""What the caller's sound and words mean: are they meant for an agent that speaks, how long is their end waited for.

Pure functions, each answer with its reason. When they are asked, and what follows, is told by the rules in `turns.py`.
"""

from __future__ import annotations

from voxtrad.conversation.floor import TurnPolicy
from voxtrad.conversation.hearing import SLACK, Utterance

UNDENIABLE = 1.0
"""Seconds of speech that are an interruption, whatever is said, and to which a recogniser has something to say."""


def meant(policy: TurnPolicy, *, words: int, text: str, lasting: float, over_agent: bool) -> str | None:
    """Why what the caller does is meant for the agent; None as long as it may be nothing.

    `words` are those of `text` that are more than backchannel, `lasting` the seconds of speech that goes on, negative
    where none does. `over_agent`: the agent is heard meanwhile, and not only awaited.
    """
    if words >= (max(1, policy.min_words) if over_agent else 1):
        return f"{words} word{'s' * (words != 1)}: '{text}'"
    if not policy.partials and lasting >= policy.min_speech - SLACK:
        return f"{milliseconds(lasting)} of speech, no partial transcripts to wait for"
    if over_agent and not policy.min_words and lasting >= policy.min_speech - SLACK:
        return f"{milliseconds(lasting)} of speech, no words demanded"
    if over_agent and lasting >= UNDENIABLE - SLACK:
        return f"{milliseconds(lasting)} of speech"
    return None


def patience(policy: TurnPolicy, utterance: Utterance, *, dictation_asked: bool) -> tuple[float, str, bool]:
    """Seconds of silence after which what was said is a turn, the reason, and whether it sounds finished."""
    more = utterance.unfinished(policy.language, punctuates=policy.punctuates, dictation_asked=dictation_asked)
    if policy.end_of_turn:
        return policy.max_silence, "the recogniser did not tell the end of the turn", False
    if more is None:
        return policy.min_silence, f"{milliseconds(policy.min_silence)} of silence", True
    wait = min(policy.max_silence, 3 * policy.min_silence) if more.dictating else policy.max_silence
    return wait, f"{wait:g} s of silence, although {more.reason}", False


def patience_with_noise(policy: TurnPolicy) -> float:
    """Seconds after the last word for which a line that does not become silent is listened to."""
    return max(policy.max_silence, policy.min_silence) + policy.final_delay


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"
