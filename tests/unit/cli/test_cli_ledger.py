"""`voxtrad calls` and `voxtrad events`, on a real database, beside a running server and without one."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.ledger.support import SECRET, WHO, ended, said, started
from voxtrad.cli.main import main
from voxtrad.events.types import CallAnalyzed, RecordingReady, ToolCalled, ToolCompleted
from voxtrad.ledger.ledger import Ledger, open_ledger
from voxtrad.ledger.store import Settings
from voxtrad.outbound.delivery import Endpoint
from voxtrad.outbound.schedule import Dead, Gone

CRM = Endpoint("crm", "http://127.0.0.1:1/", (SECRET,), ("call.*",))


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("VOXTRAD_DATA_DIR", raising=False)
    path = tmp_path / "voxtrad.yaml"
    path.write_text(f"""
version: 1
server: {{data_dir: ./var, listen: "127.0.0.1:1", tokens: [{{name: cli, token: the-shells-token, scopes: [events]}}]}}
webhooks: [{{name: crm, url: "{CRM.url}", secret: {SECRET}, events: ["call.*"]}}]
agents:
  support: {{prompt: Help., stt: sphinx, tts: espeak, llm: {{provider: scripted, rules: [], otherwise: Yes.}}}}
routes: [{{agent: support}}]
""")
    return path


async def fill(ledger: Ledger) -> None:
    """Two calls; the first message of each is dead, and the endpoint gone."""
    ledger.record(started())
    ledger.record(said("where is my order?"))
    ledger.record(ToolCalled(**WHO, tool="lookup", tool_call_id="tc_1", arguments={"id": "A17"}))
    ledger.record(ToolCompleted(**WHO, tool="lookup", tool_call_id="tc_1", outcome="ok", duration=0.3, result="sent"))
    ledger.record(ended())
    ledger.record(RecordingReady(**WHO, location="/v1/calls/c_1/recording", seconds=61.5))
    ledger.record(started("c_2", caller="+353861234567"))
    ledger.record(CallAnalyzed(**WHO, summary="Wanted an order.", fields={"order": "A17"}, success=True, reason=""))
    await ledger.flush()
    due = await ledger.due("crm", now=4e9, limit=9, busy=())
    assert due.messages == (), "nothing is due long after it expired"
    ids = await ledger.read(lambda db: [row["message_id"] for row in db.execute("SELECT * FROM outbox ORDER BY id")])
    for verdict, message_id in ((Dead("HTTP 500"), ids[0]), (Dead("HTTP 500"), ids[2]), (Gone("HTTP 410"), ids[1])):
        await ledger.settle("crm", message_id, verdict, now=time.time())


@pytest.fixture
def filled(config: Path) -> Path:
    async def make() -> None:
        async with open_ledger(config.parent / "var", Settings((CRM,), retention=1e12)) as ledger:
            await fill(ledger)

    asyncio.run(make())
    return config


def test_listing_and_showing_calls(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calls", "-c", str(filled)]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["id", "started", "agent", "from", "to", "state", "outcome", "duration"]
    assert [row.split()[0] for row in rows] == ["c_2", "c_1"]
    assert main(["calls", "list", "--number", "353", "--json", "-c", str(filled)]) == 0
    assert [call["id"] for call in json.loads(capsys.readouterr().out)["items"]] == ["c_2"]
    assert main(["calls", "list", "--limit", "1", "-c", str(filled)]) == 0
    after = capsys.readouterr().out.split("--after ")[1].strip()
    assert main(["calls", "list", "--after", after, "-c", str(filled)]) == 0
    assert "c_1" in capsys.readouterr().out
    assert main(["calls", "show", "c_1", "-c", str(filled)]) == 0
    shown = capsys.readouterr().out
    assert "caller  where is my order?" in shown
    assert "order  A17" in shown and "summary  Wanted an order." in shown
    assert "61.5 s: GET /v1/calls/c_1/recording" in shown
    assert 'lookup({"id": "A17"}) -> ok in 0.3 s: "sent"' in shown
    assert main(["calls", "show", "c_1", "--json", "-c", str(filled)]) == 0
    assert json.loads(capsys.readouterr().out)["transcript"][0]["text"] == "where is my order?"


def test_what_is_not_there(filled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, told in (
        (["calls", "show", "c_9"], "no record of a call 'c_9'"),
        (["calls", "show"], "which call?"),
        (["calls", "--after", "nonsense"], "not a page's cursor"),
        (["events", "enable"], "which endpoint?"),
        (["events", "enable", "nobody"], "no endpoint 'nobody'"),
    ):
        assert main([*arguments, "-c", str(filled)]) == 1
        assert told in capsys.readouterr().err
    (tmp_path / "var" / "voxtrad.db").unlink()
    assert main(["calls", "-c", str(filled)]) == 1
    assert "there is no database" in capsys.readouterr().err


def test_dead_letters_are_shown_and_put_back_while_no_server_runs(
    filled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["events", "dead", "--json", "-c", str(filled)]) == 0
    dead = json.loads(capsys.readouterr().out)["items"]
    assert [(item["call_id"], item["answer"]) for item in dead] == [("c_2", "HTTP 500"), ("c_1", "HTTP 500")]
    assert main(["events", "list", "-c", str(filled)]) == 0
    table = capsys.readouterr().out
    assert "call.started" in table
    assert table.splitlines()[-1].split()[:2] == ["crm", "2"]
    assert main(["events", "replay", dead[0]["id"], "-c", str(filled)]) == 0
    assert capsys.readouterr().out == "1 put back\n"
    assert main(["events", "replay", "--endpoint", "crm", "--json", "-c", str(filled)]) == 0
    assert json.loads(capsys.readouterr().out) == {"replayed": 1}
    assert main(["events", "enable", "crm", "-c", str(filled)]) == 0
    capsys.readouterr()
    assert main(["events", "--json", "-c", str(filled)]) == 0
    (endpoint,) = json.loads(capsys.readouterr().out)["endpoints"]
    assert (endpoint["dead"], endpoint["disabled"]) == (0, None)


async def test_a_running_server_is_asked(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[tuple[str | None, Any]] = []

    def served(do: Callable[[Ledger, web.Request, Any], Any]) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.Response:
            body = await request.json()
            seen.append((request.headers.get("Authorization"), body))
            return web.json_response(await do(ledger, request, body))

        return handle

    async def replay(ledger: Ledger, _: web.Request, body: Any) -> dict[str, int]:
        return {"replayed": await ledger.replay(endpoint=body["endpoint"], message_id=body["id"])}

    async def enable(ledger: Ledger, request: web.Request, _: Any) -> dict[str, bool]:
        if not await ledger.enable(request.match_info["name"]):
            raise web.HTTPNotFound(text=json.dumps({"title": "Not Found", "detail": "there is no such endpoint"}))
        return {"enabled": True}

    async with open_ledger(config.parent / "var", Settings((CRM,), retention=1e12)) as ledger:
        await fill(ledger)
        assert await asyncio.to_thread(main, ["events", "replay", "-c", str(config)]) == 1
        assert "does not answer" in capsys.readouterr().err, "one runs, by its lock, but not where the file says"
        app = web.Application()
        app.router.add_post("/v1/events/replay", served(replay))
        app.router.add_post("/v1/events/endpoints/{name}/enable", served(enable))
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        text = config.read_text().replace('127.0.0.1:1"', f'127.0.0.1:{runner.addresses[0][1]}"', 1)  # noqa: ASYNC240
        config.write_text(text)  # noqa: ASYNC240  # nothing else runs
        assert await asyncio.to_thread(main, ["events", "replay", "-c", str(config)]) == 0
        assert capsys.readouterr().out == "2 put back\n"
        assert await asyncio.to_thread(main, ["events", "enable", "crm", "-c", str(config)]) == 0
        assert await asyncio.to_thread(main, ["events", "enable", "a/b", "-c", str(config)]) == 1
        assert "the server refused: there is no such endpoint" in capsys.readouterr().err
        assert await asyncio.to_thread(main, ["calls", "-c", str(config)]) == 0
        assert "c_1" in capsys.readouterr().out
        await runner.cleanup()
    assert {token for token, _ in seen} == {"Bearer the-shells-token"}
