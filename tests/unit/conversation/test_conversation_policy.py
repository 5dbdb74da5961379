"""What an agent's configuration makes of a conversation: the defaults that are promised, and each of them changed."""

from __future__ import annotations

import pytest
from stage import agent_config

from voxtrad.conversation.floor import TurnPolicy
from voxtrad.conversation.line import policy_of
from voxtrad.providers.base import STTCapabilities

PLAIN = STTCapabilities(partials=True, final_delay=0.35)


def test_the_defaults_are_those_of_a_good_conversation() -> None:
    config = agent_config()
    assert policy_of(config, PLAIN) == TurnPolicy(
        language="en",
        min_silence=0.5,
        max_silence=3.0,
        speculate="eager",
        interrupt=True,
        pause_after=0.2,
        min_speech=0.5,
        min_words=1,
        ignore=None,
        resume_after=2.0,
        fill_after=1.5,
        fill_every=6.0,
        dead_air=4.0,
        nudges=True,
        partials=True,
        end_of_turn=False,
        punctuates=False,
        final_delay=0.35,
    )
    assert config.greeting.interruptible and config.greeting.lead_in == 0.3
    assert (config.idle.after, config.idle.max, config.idle.then.hangup) == (10.0, 2, True)
    assert len(config.filler) > 1 and config.apology and config.max_duration == 1800.0


@pytest.mark.parametrize(("section", "key", "written", "field", "value"), [
    ("turn", "min_silence", "800ms", "min_silence", 0.8), ("turn", "max_silence", "5s", "max_silence", 5.0),
    ("turn", "speculate", "partial", "speculate", "partial"), ("turn", "speculate", "off", "speculate", "off"),
    ("interrupt", "enabled", False, "interrupt", False), ("interrupt", "pause_after", "0.4s", "pause_after", 0.4),
    ("interrupt", "min_speech", "0.8s", "min_speech", 0.8), ("interrupt", "min_words", 3, "min_words", 3),
    ("interrupt", "ignore", ["roger"], "ignore", ("roger",)), ("interrupt", "ignore", [], "ignore", ()),
    ("interrupt", "resume_after", "1s", "resume_after", 1.0),
    ("fill", "after", "1s", "fill_after", 1.0), ("fill", "every", "9s", "fill_every", 9.0),
    ("fill", "dead_air", "5s", "dead_air", 5.0),
    ("idle", "max", 0, "nudges", False), ("idle", "say", [], "nudges", False),
])  # fmt: skip
def test_each_setting_changes_what_it_says_and_nothing_else(
    section: str, key: str, written: object, field: str, value: object
) -> None:
    usual = policy_of(agent_config(), PLAIN)
    changed = policy_of(agent_config(**{section: {key: written}}), PLAIN)
    assert getattr(changed, field) == value != getattr(usual, field)
    differ = [name for name in TurnPolicy.__slots__ if getattr(changed, name) != getattr(usual, name)]
    assert differ == [field]


@pytest.mark.parametrize(("capability", "value"), [
    ("partials", False), ("end_of_turn", True), ("punctuates", True), ("final_delay", 1.57),
])  # fmt: skip
def test_what_the_recogniser_can_do_counts(capability: str, value: object) -> None:
    known: dict[str, object] = {"partials": True, "final_delay": 0.35, capability: value}
    policy = policy_of(agent_config(), STTCapabilities(**known))  # type: ignore[arg-type]  # one capability changed
    assert getattr(policy, capability) == value


def test_the_agents_language_counts() -> None:
    assert policy_of(agent_config(language="de-AT"), PLAIN).language == "de-AT"
