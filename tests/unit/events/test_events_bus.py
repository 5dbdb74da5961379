import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from voxtrad.events.bus import Bus, Subscription
from voxtrad.events.types import Decision, DtmfReceived, Event, InternalEvent, PromisedEvent, UserSpeechStarted


def digit(pressed: str) -> DtmfReceived:
    return DtmfReceived(call_id="c_1", agent="support", digit=pressed)


def decision(what: str) -> Decision:
    return Decision(call_id="c_1", agent="support", at=0.0, what=what, reason="test")


async def everything(subscription: Subscription[DtmfReceived]) -> str:
    return "".join([event.digit async for event in subscription])


@pytest.fixture
def bus() -> Iterator[Bus]:
    bus = Bus()
    yield bus
    bus.close()


async def test_a_subscriber_gets_the_types_it_asked_for_and_their_subtypes(bus: Bus) -> None:
    with (
        bus.subscribe("promised", (PromisedEvent,)) as promised,
        bus.subscribe("two", (DtmfReceived, Decision)) as two,
        bus.subscribe("internal", (InternalEvent,)) as internal,
    ):
        speech = UserSpeechStarted(call_id="c_1", agent="support")
        events = [digit("1"), speech, decision("pause")]
        for event in events:
            bus.publish(event)
    assert [event async for event in promised] == events[:2]
    assert [event async for event in two] == [events[0], events[2]]
    assert [event async for event in internal] == events[2:]


async def test_events_arrive_while_the_subscriber_waits(bus: Bus) -> None:
    with bus.subscribe("digits", (DtmfReceived,)) as subscription:
        async with asyncio.TaskGroup() as group:
            reader = group.create_task(everything(subscription))
            for pressed in "12#":
                await asyncio.sleep(0)
                bus.publish(digit(pressed))
            subscription.close()
    assert reader.result() == "12#"


async def test_nothing_comes_before_the_subscription_or_after_its_end(bus: Bus) -> None:
    bus.publish(digit("1"))
    with bus.subscribe("digits", (DtmfReceived,)) as subscription:
        bus.publish(digit("2"))
    bus.publish(digit("3"))
    subscription.close()
    assert await everything(subscription) == "2"
    assert bus.subscriptions == ()


async def test_closing_ends_a_subscriber_that_waits(bus: Bus) -> None:
    subscription = bus.subscribe("digits", (DtmfReceived,))
    async with asyncio.TaskGroup() as group:
        reader = group.create_task(everything(subscription))
        await asyncio.sleep(0)
        bus.close()
    assert reader.result() == ""


async def test_a_cancelled_wait_loses_no_event(bus: Bus) -> None:
    subscription = bus.subscribe("digits", (DtmfReceived,))
    waiting = asyncio.ensure_future(anext(subscription))
    await asyncio.sleep(0)
    bus.publish(digit("7"))
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert (await anext(subscription)).digit == "7"


@given(st.text("0123456789", max_size=50), st.integers(1, 20))
def test_a_slow_subscriber_keeps_the_newest_and_counts_the_rest(keys: str, capacity: int) -> None:
    bus = Bus()
    slow, quick = bus.subscribe("slow", (Event,), capacity=capacity), bus.subscribe("quick", (Event,))
    for pressed in keys:
        bus.publish(digit(pressed))
    assert slow.dropped == max(0, len(keys) - capacity) and slow.waiting == min(len(keys), capacity)
    assert quick.dropped == 0 and quick.waiting == len(keys)

    async def read() -> str:
        bus.close()
        return "".join([event.digit async for event in slow if isinstance(event, DtmfReceived)])

    assert asyncio.run(read()) == keys[-capacity:]


def test_dropping_is_logged_less_and_less_often(bus: Bus) -> None:
    bus.subscribe("slow", (Event,), capacity=1)
    with capture_logs() as logs:
        for _ in range(101):
            bus.publish(digit("1"))
    assert [entry["dropped"] for entry in logs] == [1, 2, 4, 8, 16, 32, 64]
    assert all(entry["subscriber"] == "slow" for entry in logs)


def test_a_tap_is_called_on_the_spot_until_it_is_closed(bus: Bus) -> None:
    heard: list[str] = []
    with bus.tap("keys", (DtmfReceived,), lambda event: heard.append(event.digit)):
        bus.publish(digit("1"))
        assert heard == ["1"]
        bus.publish(decision("pause"))
    bus.publish(digit("2"))
    assert heard == ["1"] and bus.taps == ()


def test_a_broken_tap_disturbs_nobody_and_is_logged_and_counted(bus: Bus) -> None:
    heard: list[str] = []

    def broken(event: DtmfReceived) -> None:
        raise RuntimeError("no room for it")

    with capture_logs() as logs, bus.tap("broken", (DtmfReceived,), broken) as tap:
        bus.tap("healthy", (DtmfReceived,), lambda event: heard.append(event.digit))
        for pressed in "123":
            bus.publish(digit(pressed))
    assert heard == ["1", "2", "3"]
    assert tap.failures == 3
    assert [(entry["tap"], entry["failures"], entry["call_id"]) for entry in logs] == [
        ("broken", 1, "c_1"),
        ("broken", 2, "c_1"),
    ]


def test_what_a_tap_publishes_comes_after_what_it_heard_for_everybody(bus: Bus) -> None:
    heard: dict[str, list[str]] = {"first": [], "last": []}

    def echo(event: DtmfReceived) -> None:
        if event.digit == "1":
            bus.publish(digit("2"))

    bus.tap("first", (DtmfReceived,), lambda event: heard["first"].append(event.digit))
    bus.tap("echo", (DtmfReceived,), echo)
    bus.tap("last", (DtmfReceived,), lambda event: heard["last"].append(event.digit))
    bus.publish(digit("1"))
    assert heard == {"first": ["1", "2"], "last": ["1", "2"]}


def test_watchers_may_come_and_go_while_an_event_is_handed_out(bus: Bus) -> None:
    heard: list[str] = []

    def once(event: DtmfReceived) -> None:
        leaving.close()
        bus.tap("new", (DtmfReceived,), lambda event: heard.append("new " + event.digit))

    leaving = bus.tap("once", (DtmfReceived,), once)
    bus.tap("steady", (DtmfReceived,), lambda event: heard.append(event.digit))
    bus.publish(digit("1"))
    bus.publish(digit("2"))
    assert heard == ["1", "2", "new 2"]


def test_a_subscription_without_room_is_refused(bus: Bus) -> None:
    with pytest.raises(ValueError, match="room for one event"):
        bus.subscribe("none", (Event,), capacity=0)
    assert bus.subscriptions == ()
