"""Health, reload, drain, TLS, and what no client can break; on a real server."""

from __future__ import annotations

import asyncio
import http.client
import json
import re
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.api.running_server import TOKEN, TOKENS, in_thread, running, write_config
from voxtrad.api.listener import CannotListen, seen_from_outside
from voxtrad.cli.main import main
from voxtrad.config.diagnostics import ConfigError
from voxtrad.config.server import ServerConfig
from voxtrad.daemon import Server
from voxtrad.events.types import AgentSpeechEnded
from voxtrad.lease import address_of_living

PBX = 'asterisk: {url: "http://127.0.0.1:1", password: x}'


# --- health -----------------------------------------------------------------------------------------------------------


async def test_ready_without_a_pbx_to_wait_for(tmp_path: Path) -> None:
    async with running(write_config(tmp_path)) as house:
        assert (await house.ask("GET", "/live")).json == {"alive": True}
        assert (await house.ask("GET", "/ready")).json == {"ready": True}
        for path in ("/live", "/ready", "/metrics", "/openapi.json"):
            assert (await house.ask("HEAD", path)).status == 200, path


async def test_not_ready_without_the_pbx(tmp_path: Path) -> None:
    async with running(write_config(tmp_path, top=PBX)) as house:
        assert house.server.telephony is not None
        await house.server.telephony.wait_state("disconnected")
        answer = await house.ask("GET", "/ready")
        assert (answer.status, answer.type) == (503, "application/problem+json")
        (reason,) = answer.json["reasons"]
        assert reason not in answer.json["detail"], "it is said once"
        assert (await house.ask("GET", "/live")).status == 200
        assert await house.metric("voxtrad_ari_connected") == 0
        status = await house.ask("GET", "/v1/status")
        assert (status.status, status.json["ready"], status.json["pbx"]) == (200, False, True)
        assert status.json["reasons"] == answer.json["reasons"]


async def test_draining(tmp_path: Path) -> None:
    async with running(write_config(tmp_path)) as house:
        async with house.call():
            await house.happened(AgentSpeechEnded)
            assert (await house.ask("GET", "/v1/drain")).json == {"draining": False, "live": 1}
            for _ in range(2):
                assert (await house.ask("POST", "/v1/drain")).json == {"draining": True, "live": 1}
            answer = await house.ask("GET", "/ready")
            assert (answer.status, answer.json["reasons"]) == (503, ["the server is draining"])
            async with house.call() as refused:
                pass
            assert refused.proceeded is not None
            assert refused.variables["VOXTRAD_STATUS"] == "BUSY"
            assert await house.metric('voxtrad_calls_rejected_total{reason="draining"}') == 1
            assert len(house.server.core.switchboard.calls) == 1, "the live one goes on"
        assert (await house.ask("GET", "/v1/drain")).json == {"draining": True, "live": 0}
        assert (await house.ask("GET", "/live")).status == 200, "the server stays until it is stopped"


# --- reload -----------------------------------------------------------------------------------------------------------


async def test_reload(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    async with running(config) as house:
        assert [agent["name"] for agent in (await house.ask("GET", "/v1/agents")).json["items"]] == ["support"]
        before = await hash_of(house.ask)
        config.write_text(config.read_text().replace("support:", "sales:").replace("max_calls: 4", "max_calls: 9"))
        done = await house.ask("POST", "/v1/reload")
        assert (done.status, done.json) == (200, {"restart": []})
        assert [agent["name"] for agent in (await house.ask("GET", "/v1/agents")).json["items"]] == ["sales"]
        assert await house.metric("voxtrad_calls_limit") == 9
        assert await hash_of(house.ask) != before
        series = 'voxtrad_calls_total{agent="%s",direction="inbound",outcome="completed"}'
        assert await house.metric(series % "sales") == 0
        assert await house.metric(series % "support") == 0, "a counter does not vanish"
        good = config.read_text()
        config.write_text(good.replace("greeting:", "greating:"))
        refused = await house.ask("POST", "/v1/reload")
        assert (refused.status, refused.type) == (409, "application/problem+json")
        assert "greating" in refused.json["errors"][0]
        assert await house.metric("voxtrad_config_last_reload_successful") == 0
        config.write_text(good.replace('listen: "127.0.0.1:0"', 'listen: "127.0.0.1:1"'))
        assert (await house.ask("POST", "/v1/reload")).json == {"restart": ["server.listen"]}
        assert await house.metric("voxtrad_config_last_reload_successful") == 1


async def hash_of(ask: object) -> str:
    text = (await ask("GET", "/metrics")).json  # type: ignore[operator]  # Running.ask
    (line,) = (line for line in text.splitlines() if line.startswith("voxtrad_config_info{"))
    return str(line)


async def test_agents_show_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTE", "a-secret-of-the-environment")
    async with running(write_config(tmp_path)) as house:
        answer = await house.ask("GET", "/v1/agents")
        (agent,) = answer.json["items"]
        values = {setting["path"]: setting for setting in agent["settings"]}
        assert values["greeting.text"]["value"] == "Hello."
        assert re.search(r"voxtrad\.yaml:\d+$", values["greeting.text"]["source"])
        assert values["max_duration"]["source"] is None
        assert "hush" not in json.dumps(answer.json) and "a-secret" not in json.dumps(answer.json)


# --- commands ---------------------------------------------------------------------------------------------------------


def test_reload_and_drain_from_the_shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_config(tmp_path, server=TOKENS)
    with in_thread(config) as server:
        here = write_config(_folder(tmp_path / "shell"), listen=server.url.removeprefix("http://"), server=TOKENS)
        assert main(["reload", "-c", str(here)]) == 0
        assert "reloaded" in capsys.readouterr().out
        good = config.read_text()
        config.write_text(good.replace("greeting:", "greating:"))
        assert main(["reload", "-c", str(here)]) == 1
        told = capsys.readouterr().err
        assert "the old configuration runs on" in told and "greating" in told
        assert main(["drain", "-c", str(here)]) == 0
        assert "no call is left" in capsys.readouterr().out
        assert server.core.switchboard.draining
    assert main(["drain", "-c", str(here)]) == 1
    assert "does not answer" in capsys.readouterr().err


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


# --- where it listens -------------------------------------------------------------------------------------------------


def certificate(folder: Path) -> tuple[Path, Path]:
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
         "-keyout", str(key), "-out", str(cert)],
        check=True, capture_output=True,
    )  # fmt: skip
    return cert, key


async def test_tls(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    config = write_config(tmp_path, server=f"tls: {{cert: {cert}, key: {key}}}")
    async with running(config) as house:
        assert house.url.startswith("https://")
        trusting = ssl.create_default_context(cafile=str(cert))
        assert (await house.ask("GET", "/live", ssl=trusting)).status == 200
    key.write_text("no key")
    with pytest.raises(ConfigError, match="the certificate cannot be used"):
        async with running(config):
            pass


async def test_a_renewed_certificate_serves_the_connections_to_come(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    config = write_config(tmp_path, server=f"{TOKENS}\n  tls: {{cert: {cert}, key: {key}}}")
    async with running(config) as house:
        assert {cert, key} <= house.server.reloader.loaded.files, "both are watched"
        address = tuple(house.url.removeprefix("https://").split(":"))
        old = cert.read_text()
        assert await asyncio.to_thread(ssl.get_server_certificate, address) == old
        certificate(tmp_path)
        renewed = cert.read_text()
        assert renewed != old
        result = await house.server.reloader.reload("the test")
        assert (result.ok, result.restart) == (True, ())
        assert await asyncio.to_thread(ssl.get_server_certificate, address) == renewed
        found = address_of_living(tmp_path / "var")
        assert found is not None and found.certificate == renewed.strip()
        key.write_text("no key")
        result = await house.server.reloader.reload("the test")
        assert not result.ok and "the certificate cannot be used" in result.errors[0]
        assert await asyncio.to_thread(ssl.get_server_certificate, address) == renewed
        write_config(tmp_path, server=TOKENS)
        assert (await house.server.reloader.reload("the test")).restart == ("server.tls",)


async def test_an_address_in_use(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        config = write_config(tmp_path, listen=f"127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(CannotListen, match="cannot listen at 127"):
            async with running(config):
                pass


def test_what_others_call_it() -> None:
    public = ServerConfig(public_url="https://voice.example")
    assert seen_from_outside(public, "http://127.0.0.1:8090") == "https://voice.example"
    assert seen_from_outside(ServerConfig(), "http://192.0.2.1:80") == "http://192.0.2.1:80"
    for everywhere in ("http://0.0.0.0:8090", "http://[::]:8090"):
        assert seen_from_outside(ServerConfig(), everywhere) == f"http://{socket.gethostname()}:8090"


# --- whatever comes ---------------------------------------------------------------------------------------------------


async def test_every_error_is_a_problem(tmp_path: Path) -> None:
    async with running(write_config(tmp_path)) as house:
        say = "/v1/calls/c_1/say"
        for method, path, more, status in (
            ("GET", "/v1/nothing", {}, 404),
            ("PUT", "/v1/calls", {}, 405),
            ("POST", say, {"data": b"x" * 70_000, "headers": {"Content-Type": "application/json"}}, 413),
            ("POST", say, {"data": b'{"text": "x"}', "headers": {"Content-Type": "text/plain"}}, 415),
            ("POST", say, {"data": b'{"text":', "headers": {"Content-Type": "application/json"}}, 400),
            ("POST", say, {"data": b"[" * 60_000, "headers": {"Content-Type": "application/json"}}, 400),
            ("POST", say, {"data": b'{"text": NaN}', "headers": {"Content-Type": "application/json"}}, 400),
            ("POST", say, {"data": b"[]", "headers": {"Content-Type": "application/json"}}, 422),
            ("POST", say, {"body": {"text": " "}}, 422),
            ("POST", say, {"body": {"text": "x", "loud": True}}, 422),
            ("POST", say, {}, 422),
            ("POST", say, {"body": {"text": "x"}}, 404),
        ):
            answer = await house.ask(method, path, **more)
            assert (answer.status, answer.type) == (status, "application/problem+json"), (path, more)
            assert answer.json["status"] == status and answer.json["title"] and answer.json["detail"]
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert (await house.ask("PUT", "/v1/calls")).headers["Allow"] == "GET,POST"


async def test_a_bug_shows_nothing_of_its_insides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(server: Server) -> list[str]:
        raise RuntimeError("the insides")

    monkeypatch.setattr(Server, "not_ready", broken)
    async with running(write_config(tmp_path)) as house:
        answer = await house.ask("GET", "/ready")
        assert (answer.status, answer.type) == (500, "application/problem+json")
        assert "insides" not in json.dumps(answer.json)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with in_thread(write_config(tmp_path_factory.mktemp("served"), server=TOKENS)) as server:
        yield server


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Without tokens."""
    with in_thread(write_config(tmp_path_factory.mktemp("local"))) as server:
        yield server


BODY = st.one_of(
    st.binary(max_size=300),
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    ).map(lambda value: json.dumps(value).encode()),
    st.dictionaries(
        st.sampled_from(
            ["text", "destination", "reason", "to", "agent", "variables", "endpoint", "id", "action", "say"]
        ),
        st.none() | st.text() | st.integers() | st.dictionaries(st.text(), st.text(), max_size=2),
    ).map(lambda value: json.dumps(value).encode()),
)
PATHS = [
    "/v1/calls", "/v1/calls/c_1/say", "/v1/calls/c_1/transfer", "/v1/calls/c_1/hangup", "/v1/events/replay",
    "/v1/calls/c_1/tools/tc_1/result", "/v1/reload", "/v1/events/endpoints/x/enable",
]  # fmt: skip
HEADER = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=60)


@settings(deadline=None, max_examples=150)
@given(
    path=st.sampled_from(PATHS), body=BODY, type_=st.sampled_from(["application/json", "text/plain", "", "a/b;c"]),
    query=st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20),
)  # fmt: skip
def test_no_body_breaks_it(served: Server, path: str, body: bytes, type_: str, query: str) -> None:
    answer = ask(served, "POST", f"{path}?{query}", body, {"Content-Type": type_, "Authorization": f"Bearer {TOKEN}"})
    assert answer.status < 500
    if answer.status >= 400:
        assert answer.getheader("Content-Type", "").startswith("application/problem+json")


@settings(deadline=None, max_examples=150)
@given(
    method=st.sampled_from(["GET", "POST", "DELETE", "TRACE", "OPTIONS"]),
    path=st.sampled_from(["/v1/calls", "/live", "/metrics", "/ready", "/v1/agents"]),
    headers=st.dictionaries(
        st.sampled_from(["Authorization", "Host", "Origin", "Accept", "Last-Event-ID", "Content-Type", "Cookie"]),
        HEADER,
    ),
)
def test_no_header_breaks_it(local: Server, method: str, path: str, headers: dict[str, str]) -> None:
    assert ask(local, method, path, b"", headers).status < 500


def test_no_answer_tells_what_the_server_is_made_with(local: Server) -> None:
    for path in ("/live", "/", "/v1/agents", "/nothing/here"):
        assert ask(local, "GET", path, b"", {}).headers["Server"] == "voxtrad", path


@settings(deadline=None, max_examples=60)
@given(st.binary(min_size=1, max_size=200))
def test_no_bytes_break_it(served: Server, raw: bytes) -> None:
    answer = answer_to(served, raw + b"\r\n\r\n", leaving=True)
    assert not answer or b" 500 " not in answer.split(b"\r\n")[0]
    assert ask(served, "GET", "/live", b"", {}).status == 200


HEAD = (
    f"POST /v1/calls HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {TOKEN}\r\n"
    "Content-Type: application/json\r\n"
)
BROKEN = {
    "no HTTP": (400, b"hello\r\n\r\n"),
    "TLS": (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
    "no host": (400, b"GET /live HTTP/1.1\r\n\r\n"),
    "a header without a colon": (400, b"GET /live HTTP/1.1\r\nHost: x\r\nbad header\r\n\r\n"),
    "a long path": (431, b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n"),
    "a long header": (431, b"GET /live HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 9000 + b"\r\n\r\n"),
    "an unknown expectation": (417, HEAD.encode() + b"Expect: wonders\r\nContent-Length: 0\r\n\r\n"),
    "one where nothing is": (417, b"GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: wonders\r\n\r\n"),
    "no chunk": (400, HEAD.encode() + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n"),
    "two lengths": (400, HEAD.encode() + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}"),
    "no gzip": (400, HEAD.encode() + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}"),
}


@pytest.mark.parametrize(("status", "raw"), BROKEN.values(), ids=BROKEN)
def test_what_is_no_request_gets_a_problem(
    served: Server, status: int, raw: bytes, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    head, _, body = answer_to(served, raw).partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0].split()[1] == str(status)
    assert {"Content-Type: application/problem+json; charset=utf-8", "Server: voxtrad"} <= set(lines)
    problem = json.loads(body)
    assert problem["status"] == status and problem["title"] and problem["detail"]
    assert not caplog.records and "[error" not in capsys.readouterr().out, "strangers do not fill the log"


def test_who_leaves_in_the_middle_of_a_body_is_no_failure_of_the_server(
    served: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    answer_to(served, HEAD.encode() + b"Content-Length: 50\r\n\r\n{}", leaving=True)
    assert ask(served, "GET", "/live", b"", {}).status == 200
    assert "a request failed" not in capsys.readouterr().out


def answer_to(server: Server, raw: bytes, *, leaving: bool = False) -> bytes:
    """All that comes of these bytes, until the server closes; `leaving`, no more of them can come."""
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(raw)
        if leaving:
            connection.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    return answer


def ask(server: Server, method: str, path: str, body: bytes, headers: dict[str, str]) -> http.client.HTTPResponse:
    host, port = server.url.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    try:
        connection.putrequest(method, path, skip_host="Host" in headers)
        for name, value in headers.items():
            connection.putheader(name, value.encode("latin-1").strip())
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        answer.read()
        return answer
    finally:
        connection.close()
