"""The table of all endpoints."""

from __future__ import annotations

from voxtrad.api import calls, events, health, phone, results, server
from voxtrad.api.table import Endpoint, Nothing, endpoint

TABLE: tuple[Endpoint, ...] = (
    # --- open ---------------------------------------------------------------------------------------------------------
    endpoint(
        "GET", "/live", health.live, query=Nothing, body=Nothing, scope=None, answer=health.Alive,
        summary="Whether the process is alive.",
    ),
    endpoint(
        "GET", "/ready", health.ready, query=Nothing, body=Nothing, scope=None, answer=health.Ready, problems=(503,),
        summary="Whether calls can be taken: not while draining, and not without the PBX.",
    ),
    endpoint(
        "GET", "/metrics", health.metrics, query=Nothing, body=Nothing, scope=None, media="text/plain",
        summary="Figures for Prometheus.",
    ),
    # --- calls --------------------------------------------------------------------------------------------------------
    endpoint(
        "GET", "/v1/calls", calls.index, query=calls.CallsQuery, body=Nothing, scope="read", answer=calls.CallPage,
        problems=(404, 503), summary="Calls, newest first: those that run and those that were.",
    ),
    endpoint(
        "POST", "/v1/calls", calls.originate, query=Nothing, body=calls.Originate, scope="calls",
        answer=calls.Originated, status=201, problems=(404, 503), summary="Make a call.",
        headers={calls.IDEMPOTENCY_KEY: "Asking again with the same key within a day makes no other call."},
    ),
    endpoint(
        "GET", "/v1/calls/{id}", calls.show, query=Nothing, body=Nothing, scope="read", answer=calls.CallRecord,
        problems=(404, 503), summary="One call: transcript, tools, timeline, figures.",
    ),
    endpoint(
        "DELETE", "/v1/calls/{id}", calls.delete, query=Nothing, body=Nothing, scope="calls", status=204,
        problems=(404, 409, 503), summary="Forget an ended call.",
    ),
    endpoint(
        "GET", "/v1/calls/{id}/recording", calls.recording, query=Nothing, body=Nothing, scope="read",
        media="audio/wav", problems=(404,), summary="The recording of a call that is over.",
    ),
    endpoint(
        "POST", "/v1/calls/{id}/say", calls.say, query=Nothing, body=calls.Say, scope="calls", answer=calls.Said,
        problems=(404, 409, 502), summary="Say something to the caller.",
    ),
    endpoint(
        "POST", "/v1/calls/{id}/transfer", calls.transfer, query=Nothing, body=calls.TransferTo, scope="calls",
        status=204, problems=(404, 409, 502), summary="Hand the caller to a destination of the configuration.",
    ),
    endpoint(
        "POST", "/v1/calls/{id}/hangup", calls.hang_up, query=Nothing, body=calls.Hangup, scope="calls", status=204,
        problems=(404,), summary="End a live call.",
    ),
    endpoint(
        "POST", "/v1/calls/{id}/tools/{call_id}/result", results.deliver, query=Nothing, body=results.ToolResult,
        scope=None, own_token=True, status=204, problems=(404,), summary="A tool's late result.",
    ),
    endpoint(
        "GET", "/v1/phone", phone.phone, query=Nothing, body=Nothing, scope="calls", status=101,
        problems=(426, 503), summary="The test phone of the console: a websocket that is a call.",
    ),
    # --- events -------------------------------------------------------------------------------------------------------
    endpoint(
        "GET", "/v1/events", events.stream, query=events.StreamQuery, body=Nothing, scope="events", problems=(503,),
        media="text/event-stream", summary="What happens on calls, as server-sent events.",
    ),
    endpoint(
        "GET", "/v1/events/endpoints", events.endpoints, query=Nothing, body=Nothing, scope="events",
        answer=events.Endpoints, problems=(503,), summary="Webhook endpoints, and what waits for them.",
    ),
    endpoint(
        "POST", "/v1/events/endpoints/{name}/enable", events.enable, query=Nothing, body=Nothing, scope="events",
        answer=events.Enabled, problems=(404, 503), summary="Take back an endpoint that answered 410.",
    ),
    endpoint(
        "GET", "/v1/events/messages", events.messages, query=events.MessagesQuery, body=Nothing, scope="events",
        answer=events.Messages, problems=(404, 503), summary="What webhook endpoints were sent or are owed.",
    ),
    endpoint(
        "POST", "/v1/events/replay", events.replay, query=Nothing, body=events.Replay, scope="events",
        answer=events.Replayed, problems=(503,), summary="Deliver again what was given up.",
    ),
    # --- the server ---------------------------------------------------------------------------------------------------
    endpoint(
        "GET", "/v1/status", server.status, query=Nothing, body=Nothing, scope="read", answer=server.Status,
        summary="Whether calls can be taken, and how many there are.",
    ),
    endpoint(
        "GET", "/v1/agents", server.agents, query=Nothing, body=Nothing, scope="read", answer=server.Agents,
        summary="The agents as they are in effect, without secrets.",
    ),
    endpoint(
        "POST", "/v1/reload", server.reload, query=Nothing, body=Nothing, scope="reload", answer=server.Reloading,
        problems=(409,), summary="Load the configuration again.",
    ),
    endpoint(
        "GET", "/v1/drain", server.draining, query=Nothing, body=Nothing, scope="reload", answer=server.Draining,
        summary="Whether the server drains, and how many calls are left.",
    ),
    endpoint(
        "POST", "/v1/drain", server.drain, query=Nothing, body=Nothing, scope="reload", answer=server.Draining,
        summary="Take no more calls.",
    ),
)  # fmt: skip
