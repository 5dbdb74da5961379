"""What becomes of what a dead server left: decided without a PBX."""

from hypothesis import given, settings
from hypothesis import strategies as st

from voxtrad.telephony.asterisk.orphans import Bridge, Verdict, judge

DEAD = {"d1", "d2"}


def test_a_caller_with_the_agent_goes_on_in_the_dialplan() -> None:
    verdict = judge(["1.1", "voxtrad-d1-media-a"], ["1.1"], [Bridge("voxtrad-d1-bridge-a", ("1.1",))], DEAD)
    assert verdict == Verdict(("1.1",), ("voxtrad-d1-media-a",), ("voxtrad-d1-bridge-a",))


def test_people_who_talk_are_left_in_peace_until_one_leaves() -> None:
    bridge = Bridge("voxtrad-d1-bridge-a", ("1.1", "voxtrad-d1-dial-b"))
    channels = ["1.1", "voxtrad-d1-dial-b", "voxtrad-d1-dial-b;2"]
    assert judge(channels, ["1.1"], [bridge], DEAD) == Verdict(in_peace=(bridge.id,))
    alone = Bridge(bridge.id, ("1.1",))
    assert judge(["1.1"], ["1.1"], [alone], DEAD) == Verdict(("1.1",), (), (bridge.id,))
    forsaken = Bridge(bridge.id, ("voxtrad-d1-dial-b",))
    assert judge(channels[1:], [], [forsaken], DEAD) == Verdict((), ("voxtrad-d1-dial-b",), (bridge.id,))


def test_a_telephone_that_rings_for_nobody_stops() -> None:
    assert judge(["voxtrad-d2-dial-a"], [], [], DEAD) == Verdict((), ("voxtrad-d2-dial-a",))


names = st.sampled_from(["d1", "d2", "alive", "d"])
ids = st.one_of(
    st.builds("voxtrad-{}-{}-{}".format, names, st.sampled_from(["media", "dial", "bridge"]), st.integers(0, 3)),
    st.builds("17.{}".format, st.integers(0, 5)),
)


@settings(deadline=None)
@given(st.lists(ids, unique=True), st.lists(st.builds(Bridge, ids, st.lists(ids).map(tuple)), unique_by=lambda b: b.id))
def test_what_the_living_own_is_never_touched(channels: list[str], bridges: list[Bridge]) -> None:
    verdict = judge(channels, [c for c in channels if c.startswith("17.")], bridges, DEAD)
    for touched in (*verdict.hang_up, *verdict.destroy, *verdict.in_peace):
        assert touched.startswith(("voxtrad-d1-", "voxtrad-d2-"))
    assert not set(verdict.destroy) & set(verdict.in_peace)
    peaceful = {channel for bridge in bridges if bridge.id in verdict.in_peace for channel in bridge.channels}
    assert not peaceful & {*verdict.hang_up, *verdict.lead_on}
