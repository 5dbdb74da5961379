"""check --online and doctor without a PBX: providers and URLs are asked, and what they say is told with its place."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.fakes.openai_server import FakeOpenAI, Text, fake_openai

ROOT = Path(__file__).parents[3]
COMMAND = "import sys; from voxtrad.cli.main import main; sys.exit(main())"
KEY = "sk-the-right-key-of-the-online-tests"
WRONG = "sk-the-wrong-key-of-the-online-tests"
SECRET = "whsec_dGhlIHNlY3JldCBvZiB0aGUgb25saW5lIHRlc3Rz"


async def voxtrad(*arguments: str, folder: Path) -> tuple[int, str]:
    """Exit code and all that was printed; the loop runs on, so that servers of the test can answer."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", COMMAND, *arguments, cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    async with asyncio.timeout(60):
        output, _ = await process.communicate()
    said = output.decode()
    assert "Traceback" not in said
    assert KEY not in said and WRONG not in said and SECRET not in said
    assert process.returncode is not None
    return process.returncode, said


@pytest.fixture
async def openai() -> AsyncIterator[FakeOpenAI]:
    async with fake_openai(Text("Hello."), key=KEY) as fake:
        yield fake


@pytest.fixture
async def tools() -> AsyncIterator[str]:
    """The URL of a server that knows its tools by POST alone, and one path that is broken."""

    async def broken(request: web.Request) -> web.Response:
        return web.Response(status=503)

    async def works(request: web.Request) -> web.Response:
        return web.json_response({})

    app = web.Application()
    app.router.add_post("/tool", works)
    app.router.add_route("*", "/broken", broken)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield "http://{}:{}".format(*runner.addresses[0][:2])
    await runner.cleanup()


def configured(
    folder: Path, openai: FakeOpenAI, tools: str, *, key: str, tool: str = "/tool", stt: str = "sphinx"
) -> Path:
    path = folder / "voxtrad.yaml"
    path.write_text(
        f"""\
server: {{data_dir: ./data}}
providers:
  openai: {{api_key: {key}, base_url: "{openai.url}"}}
agents:
  a:
    stt: {stt}
    llm: {{provider: openai, model: gpt-4o-mini}}
    tts: espeak
    tools: [t]
tools:
  t:
    description: x
    webhook:
      url: {tools}{tool}
      secret: {SECRET}
""",
        encoding="utf-8",
    )
    return path


async def test_all_is_well(tmp_path: Path, openai: FakeOpenAI, tools: str) -> None:
    configured(tmp_path, openai, tools, key=KEY)
    code, said = await voxtrad("check", "-c", "voxtrad.yaml", "--online", folder=tmp_path)
    assert code == 0, said
    for line in (
        "  ✓ agents.a.stt: sphinx (STT) answers", "  ✓ agents.a.llm: openai (LLM) answers",
        "  ✓ agents.a.tts: espeak (TTS) answers", f"  ✓ tools.t.webhook.url: {tools} answers", "voxtrad.yaml: valid",
    ):  # fmt: skip
        assert f"{line}\n" in said
    assert [tool["function"]["name"] for tool in openai.requests[0]["tools"]] == ["hang_up"]  # as its agent has one
    code, said = await voxtrad("doctor", "-c", "voxtrad.yaml", folder=tmp_path)
    assert code == 0, said
    assert "✓ agents.a.llm: openai (LLM) answers" in said
    assert not (tmp_path / "data").exists()


async def test_a_key_that_is_refused_is_called_that(tmp_path: Path, openai: FakeOpenAI, tools: str) -> None:
    configured(tmp_path, openai, tools, key=WRONG)
    code, said = await voxtrad("check", "-c", "voxtrad.yaml", "--online", folder=tmp_path)
    assert code == 1
    assert (
        "voxtrad.yaml:7:5: agents.a.llm: openai (LLM): the key is refused: the credentials were refused (401)" in said
    )
    assert "    7 |     llm: {provider: openai, model: gpt-4o-mini}\n      |     ^^^\n" in said
    assert said.endswith("voxtrad.yaml: 1 error\n")
    assert said.count("the key is refused") == 1


async def test_a_recogniser_that_is_asked_for_each_utterance_is_asked_for_one(
    tmp_path: Path, openai: FakeOpenAI, tools: str
) -> None:
    configured(tmp_path, openai, tools, key=KEY, stt="openai")
    code, said = await voxtrad("check", "-c", "voxtrad.yaml", "--online", folder=tmp_path)
    assert code == 0, said
    assert "  ✓ agents.a.stt: openai (STT) answers\n" in said
    assert len(openai.uploads) == 1
    configured(tmp_path, openai, tools, key=WRONG, stt="openai")
    code, said = await voxtrad("check", "-c", "voxtrad.yaml", "--online", folder=tmp_path)
    assert code == 1
    assert "agents.a.stt: openai (STT): the key is refused: the credentials were refused (401)" in said
    gone = FakeOpenAI(url="http://127.0.0.1:1/v1")
    configured(tmp_path, gone, tools, key=KEY, stt="openai")
    code, said = await voxtrad("check", "-c", "voxtrad.yaml", "--online", folder=tmp_path)
    assert code == 1
    assert "agents.a.stt: openai (STT): the connection failed" in said


async def test_a_voice_that_its_vendor_ends_is_a_warning(tmp_path: Path, openai: FakeOpenAI, tools: str) -> None:
    path = configured(tmp_path, openai, tools, key=KEY)
    own = path.read_text(encoding="utf-8").replace("tts: espeak", "tts: openai")
    path.write_text(own, encoding="utf-8")
    code, said = await voxtrad("check", "-c", "voxtrad.yaml", folder=tmp_path)
    assert (code, "2027-01-06" in said) == (0, False), said  # a compatible server's models are its own
    path.write_text(own.replace(f', base_url: "{openai.url}"', ""), encoding="utf-8")
    code, said = await voxtrad("check", "-c", "voxtrad.yaml", folder=tmp_path)
    assert code == 0, said
    assert "agents.a.tts: warning: openai (TTS): OpenAI ends its speech models for this on 2027-01-06" in said


async def test_what_does_not_answer_is_told_to_programs(tmp_path: Path, openai: FakeOpenAI, tools: str) -> None:
    gone = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    port = gone.sockets[0].getsockname()[1]
    gone.close()
    await gone.wait_closed()
    configured(tmp_path, openai, f"http://127.0.0.1:{port}", key=KEY)
    code, said = await voxtrad("check", "-c", "voxtrad.yaml", "--online", "--format", "json", folder=tmp_path)
    (error,) = json.loads(said)
    assert (code, error["severity"], error["line"], error["path"]) == (1, "error", 14, "tools.t.webhook.url")
    assert error["message"] == f"cannot connect to 127.0.0.1:{port}: connection refused"
    code, said = await voxtrad("doctor", "-c", "voxtrad.yaml", "--json", folder=tmp_path)
    remarks: list[dict[str, Any]] = json.loads(said)
    assert code == 1
    assert [remark["path"] for remark in remarks if remark["level"] == "error"] == ["tools.t.webhook.url"]


async def test_a_server_in_trouble_is_a_warning(tmp_path: Path, openai: FakeOpenAI, tools: str) -> None:
    configured(tmp_path, openai, tools, key=KEY, tool="/broken")
    code, said = await voxtrad("check", "-c", "voxtrad.yaml", "--online", folder=tmp_path)
    assert code == 0
    assert f"tools.t.webhook.url: warning: {tools} answers with an error (503)" in said


async def test_no_pbx_is_one_line_and_the_rest_goes_on(tmp_path: Path, openai: FakeOpenAI, tools: str) -> None:
    path = configured(tmp_path, openai, tools, key=KEY)
    with path.open("a", encoding="utf-8") as file:
        file.write("asterisk: {url: 'http://127.0.0.1:9', password: hunter2-of-the-pbx}\n")
    code, said = await voxtrad("doctor", "-c", "voxtrad.yaml", folder=tmp_path)
    assert code == 1
    assert "  ✗ asterisk.url: no answer from Asterisk at http://127.0.0.1:9: connection refused\n" in said
    assert "✓ agents.a.llm: openai (LLM) answers" in said
    assert "Stasis(voxtrad)" in said and "hunter2" not in said
