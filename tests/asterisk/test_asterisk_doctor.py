"""`voxtrad doctor` beside a real Asterisk: what it sees, and that a running server and its calls do not notice it."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from office import Company, configuration, working
from pbx import PASSWORD, Pbx, PbxAri

from voxtrad.telephony.asterisk.examination import NEEDED

pytestmark = pytest.mark.asterisk
ROOT = Path(__file__).parents[2]
COMMAND = "import sys; from voxtrad.cli.main import main; sys.exit(main())"
AGENT = """
    greeting: "123"
    stt: sphinx
    tts: espeak
    llm: {provider: scripted, otherwise: "4"}
"""
PLACES = """
destinations:
  there: {continue: {context: from-internal, extension: "1000", priority: 1}}
  nowhere: {continue: {context: from-internal, extension: "4711", priority: 1}}
  local: {dial: Local/1000@from-internal}
  astray: {dial: Local/1000@no-such-context/n}
  phone: {dial: PJSIP/301}
  stranger: {dial: PJSIP/nobody}
"""


async def doctor(config: Path) -> tuple[int, dict[str, tuple[str, str]]]:
    """Exit code, and level and text by path."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", COMMAND, "doctor", "-c", str(config), "--json",
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(60):
        output, errors = await process.communicate()
    assert process.returncode is not None and errors == b""
    remarks: list[dict[str, Any]] = json.loads(output)
    return process.returncode, {remark["path"]: (remark["level"], remark["text"]) for remark in remarks}


@pytest.fixture
async def company() -> Any:
    async with Company().open() as company:
        yield company


@pytest.mark.parametrize("transport", ["websocket", "audiosocket", "rtp"])
async def test_everything_is_seen(pbx: Pbx, ari: PbxAri, company: Company, tmp_path: Path, transport: str) -> None:
    config = configuration(pbx, company, tmp_path, f"{AGENT}    record: on_answer\n", transport=transport)
    with config.open("a", encoding="utf-8") as file:
        file.write(PLACES)
    await ari.is_free(pbx.app)
    code, seen = await doctor(config)
    assert seen["asterisk.url"][1].startswith("Asterisk ")
    assert seen["asterisk.username"] == ("ok", "the ARI user may use calls")
    assert seen["asterisk"] == ("ok", "all modules are there that calls need")
    assert seen["asterisk.app"] == ("ok", "the application 'voxtrad' is free")
    assert seen["asterisk.media.transport"][0] == "ok"
    assert seen["asterisk.media.transport"][1].startswith(f"media flows over {transport}: ")
    assert seen["destinations.there.continue"] == ("ok", "the dialplan has 1000@from-internal")
    assert seen["destinations.nowhere.continue"] == ("error", "the dialplan has no 4711@from-internal")
    assert seen["destinations.local.dial"] == ("ok", "the dialplan has 1000@from-internal")
    assert seen["destinations.astray.dial"] == ("error", "the dialplan has no 1000@no-such-context")
    assert seen["destinations.phone.dial"] == ("warning", "PJSIP/301 is offline")
    assert seen["destinations.stranger.dial"] == ("error", "Asterisk knows no PJSIP/nobody")
    assert seen["tools.lookup_order.webhook.url"][0] == "ok"
    assert seen["agents.support.record"] == ("ok", "calls can be recorded")
    assert code == 1, seen  # for the places that are not there
    await ari.nothing_left()


async def test_rtp_that_does_not_come_is_found(
    pbx: Pbx, ari: PbxAri, company: Company, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("voxtrad.telephony.asterisk.examination.PATIENCE", 2.0)
    config = configuration(pbx, company, tmp_path, AGENT, transport="rtp", rtp="{advertise: 127.0.0.9}")
    await ari.is_free(pbx.app)
    code, seen = await doctor(config)
    assert code == 1
    assert seen["asterisk.media.transport"] == ("error", "over rtp nothing comes here from the PBX")
    await ari.nothing_left()


async def test_a_pbx_that_cannot_record_is_found(own_pbx: Pbx, company: Company, tmp_path: Path) -> None:
    (own_pbx.folder / "spool/recording").rmdir()
    (own_pbx.folder / "spool/recording").touch()
    code, seen = await doctor(configuration(own_pbx, company, tmp_path, f"{AGENT}    record: true\n"))
    assert code == 1 and seen["asterisk.media.transport"][0] == "ok", seen
    assert seen["agents.support.record"][0] == "error"
    assert seen["agents.support.record"][1].startswith("calls cannot be recorded: ")


async def test_a_running_server_does_not_notice(pbx: Pbx, ari: PbxAri, company: Company, tmp_path: Path) -> None:
    config = configuration(pbx, company, tmp_path, AGENT)
    async with working(config) as office:
        code, seen = await doctor(config)
        assert code == 0, seen
        assert seen["asterisk.app"][1].startswith("the application 'voxtrad' is connected")
        telephony = office.server.telephony
        assert telephony is not None
        assert telephony.connected and telephony.attempts == 1
        await ari.nothing_left()
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        code, seen = await doctor(configuration(pbx, company, elsewhere, AGENT))
        assert seen["asterisk.app"] == ("warning", "another client has the application 'voxtrad'")
        assert telephony.connected and telephony.attempts == 1


async def test_a_wrong_password_is_called_that(pbx: Pbx, ari: PbxAri, company: Company, tmp_path: Path) -> None:
    config = configuration(pbx, company, tmp_path, AGENT)
    text = config.read_text(encoding="utf-8")
    config.write_text(text.replace(f"password: {PASSWORD}", "password: not-the-password"), encoding="utf-8")
    code, seen = await doctor(config)
    assert code == 1
    assert seen["asterisk.url"] == ("error", "Asterisk refuses the ARI user name or password")
    assert "asterisk.media.transport" not in seen


def test_the_modules_it_asks_for_are_all_there_are(pbx: Pbx) -> None:
    running = pbx.cli("module show")
    for module in NEEDED:
        assert module in running
