"""The product in one screen: the loop of listening, thinking and speaking that an agent of the configuration runs."""

from __future__ import annotations

from voxtrad.conversation.call import Call
from voxtrad.conversation.consent import ask_consent
from voxtrad.conversation.handover import HandoverFailed, tell
from voxtrad.conversation.reply import Reply
from voxtrad.providers.base import MalformedAnswer
from voxtrad.tools.base import Transfer

TRANSFERS = 2
"""Transfers that may fail in a row; the caller is to have the word then."""


async def converse(call: Call) -> None:
    """The built-in dialogue. A handler of one's own is a coroutine like this one."""
    await call.answer()
    if call.config.record == "consent":
        await ask_consent(call)
    if call.greeting:
        await call.say(call.greeting, interruptible=call.config.greeting.interruptible)
    elif call.taking_over:
        await call.say(call.agent.stream(""))
    while call.in_progress:
        turn = await call.listen(timeout=call.config.idle.patience)
        if turn is None:
            await nudge(call)
            continue
        reply = call.agent.stream(turn.text)
        if turn.unasked:
            await say_or(call, reply, next(iter(call.config.idle.say), ""))
        else:
            await call.say(reply)
        if reply.then:
            await act(call, reply)


async def nudge(call: Call) -> None:
    """Nobody has spoken for a while: ask whether somebody is there, in the end hang up."""
    if call.idle_monitor.patient or not call.in_progress:
        return
    prompt = call.idle_monitor.silent()
    if prompt is not None:
        await call.say(call.render(prompt))
    elif call.config.idle.enabled:
        await give_up(call)


async def give_up(call: Call) -> None:
    """Nobody answers: end the call the way the agent's `idle.then` says. Raises `HandoverFailed`."""
    then, reason = call.config.idle.then, "the caller was silent"
    if then.transfer is not None:
        await call.transfer(then.transfer)
        call.prompt()
    elif (place := then.continue_) is not None:
        await call.proceed(
            context=place.context, extension=place.extension, priority=place.priority, outcome="idle", reason=reason
        )
    else:
        await call.hangup(reason, "idle")


async def act(call: Call, reply: Reply) -> None:
    """What a tool wanted to become of the call: after playout, here, nowhere else. Back here, the agent says why.

    A transfer that is wanted after `TRANSFERS` have failed is not tried, and the model is told so. What ends the call
    always comes about.
    """
    failures = refused = 0
    while reply.then:
        to = reply.then.destination if isinstance(reply.then, Transfer) else None
        instead = next(iter(call.config.idle.say), "")
        if to is not None and failures >= TRANSFERS:
            refused += 1
            tell(call.agent, to, {"error": "Not tried: too many transfers in a row. The caller is still here."})
            if refused > 1:  # a model that hears nothing else has had its say
                return
        else:
            try:
                await reply.then.perform(call)
            except HandoverFailed as failed:
                failures += 1
                tell(call.agent, to or "", {"error": f"{failed.message}. The caller is still here: tell them."})
                instead = call.config.apology
        if not call.in_progress:
            return
        reply = call.agent.stream("")
        await say_or(call, reply, instead)


async def say_or(call: Call, reply: Reply, instead: str) -> None:
    """Say what the caller has not asked for. A model of rules may have nothing for it."""
    try:
        await call.say(reply)
    except MalformedAnswer:
        await call.say(call.render(instead))


async def hand_over(call: Call, destination: str) -> None:
    """Somebody else, an operator, hands the caller over; if the caller stays, or comes back, the agent says so.

    Raises `HandoverFailed` when nobody took the caller, and `LegError`.
    """
    try:
        await call.transfer(destination)
    except HandoverFailed as failed:
        what = f"Somebody wanted to put the caller through: {failed.message}. The caller is with you again: tell them."
        tell(call.agent, destination, {"error": what})
        raise
    finally:
        call.prompt()
