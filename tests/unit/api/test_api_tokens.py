"""Who may do what: tokens and scopes as values, and at the door of a real server."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from tests.unit.api.running_server import READER, TOKEN, TOKENS, Running, running, write_config
from voxtrad.api.gate import LINES
from voxtrad.api.tokens import ALL, Client, Guesses, TokenError, Tokens, is_loopback, made_token
from voxtrad.config.server import ServerConfig, TokenConfig
from voxtrad.lease import address_of_living

# --- values -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "ours"),
    [
        ("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("localhost", True), ("a.localhost", True),
        ("0.0.0.0", False), ("::", False), ("192.0.2.1", False), ("localhost.example", False), ("", False),
    ],
)  # fmt: skip
def test_loopback(host: str, ours: bool) -> None:
    assert is_loopback(host) is ours


@pytest.mark.parametrize("listen", ["0.0.0.0:8090", "[::]:8090", "192.0.2.1:80", "voice.example:443"])
def test_an_open_address_without_a_token_is_refused(listen: str, tmp_path: Path) -> None:
    with pytest.raises(TokenError, match="no token is demanded"):
        Tokens.of(ServerConfig.model_validate({"listen": listen}))
    with pytest.raises(TokenError):
        Tokens.of(ServerConfig(), listen=listen)
    config = TokenConfig(name="crm", token=SecretStr("sixteen-letters!"))
    assert Tokens.of(ServerConfig(tokens=(config,)), listen=listen).demanded
    automatic = ServerConfig(tokens="auto").model_copy(update={"data_dir": tmp_path})
    assert Tokens.of(automatic, listen=listen).demanded
    assert not Tokens.of(ServerConfig()).demanded


@settings(deadline=None)
@given(st.lists(st.text(min_size=1), unique=True, max_size=5), st.text())
def test_only_a_known_token_is_known(tokens: list[str], given_: str) -> None:
    known = Tokens([(Client(str(index), ALL), token) for index, token in enumerate(tokens)])
    found = known.find(given_)
    assert (found is not None) == (given_ in tokens)
    if found is not None:
        assert tokens[int(found.name)] == given_


def test_the_automatic_token_is_made_once_and_nobody_else_reads_it(tmp_path: Path) -> None:
    data = tmp_path / "deep" / "data"
    token = made_token(data)
    assert len(token) >= 43
    assert stat.S_IMODE((data / "token").stat().st_mode) == 0o600
    (data / "token").chmod(0o644)
    assert made_token(data) == token
    assert stat.S_IMODE((data / "token").stat().st_mode) == 0o600
    (data / "token").write_text("\n")
    with pytest.raises(TokenError, match="is empty"):
        made_token(data)
    (tmp_path / "file").write_text("")
    with pytest.raises(TokenError, match="cannot be kept"):
        made_token(tmp_path / "file")


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["192.0.2.1", "192.0.2.2", "2001:db8::1", ""]), st.floats(0, 30)), max_size=60)
)
def test_guessing_is_bounded(tries: list[tuple[str, float]]) -> None:
    """Within any window no more than `most` wrong tokens are looked at from one place."""
    guesses, now, looked = Guesses(most=3, window=20.0), 0.0, dict[str, list[float]]()
    for source, later in tries:
        now += later
        if not guesses.wait(source, now):
            guesses.wrong(source, now)
            looked.setdefault(source, []).append(now)
    for times in looked.values():
        for index, first in enumerate(times[:-6]):
            assert times[index + 6] - first >= 20.0  # two windows side by side at the worst


def test_networks_guess_together_and_memory_is_bounded() -> None:
    guesses = Guesses(most=2, sources=3)
    guesses.wrong("2001:db8::1", 0.0)
    guesses.wrong("2001:db8::2", 0.0)
    assert guesses.wait("2001:db8::ffff", 1.0) == 59.0
    assert guesses.wait("2001:db8:0:1::1", 1.0) == 0
    for last in range(3):
        guesses.wrong(f"192.0.2.{last}", 2.0)
    assert guesses.wait("2001:db8::1", 2.0) == 0, "the oldest is forgotten"
    assert guesses.wait("192.0.2.0", 99.0) == 0


# --- at the door ------------------------------------------------------------------------------------------------------


async def test_tokens_and_scopes(tmp_path: Path) -> None:
    async with running(write_config(tmp_path, server=TOKENS)) as house:
        for path in ("/live", "/ready", "/metrics", "/openapi.json"):
            assert (await house.ask("GET", path, token="")).status == 200
        for token in ("", "wrong", f"{TOKEN}x", TOKEN[:-1]):
            refused = await house.ask("GET", "/v1/agents", token=token)
            assert (refused.status, refused.type) == (401, "application/problem+json")
            assert refused.headers["WWW-Authenticate"].startswith("Bearer")
        assert await house.metric("voxtrad_auth_failures_total") == 3
        basic = await house.ask("GET", "/v1/agents", token="", headers={"Authorization": f"Basic {TOKEN}"})
        assert basic.status == 401
        assert (await house.ask("GET", "/v1/calls", token=READER)).status == 200
        for method, path in (
            ("POST", "/v1/reload"),
            ("POST", "/v1/drain"),
            ("GET", "/v1/drain"),
            ("GET", "/v1/events"),
            ("DELETE", "/v1/calls/x"),
        ):
            refused = await house.ask(method, path, token=READER)
            assert (refused.status, "scope" in refused.json["detail"]) == (403, True)
        assert not house.server.core.switchboard.draining


async def test_who_guesses_is_not_heard_any_more_and_locks_out_nobody_else(tmp_path: Path) -> None:
    """Behind a proxy, and on this machine, who guesses and who is known have the same address."""
    async with running(write_config(tmp_path, server=TOKENS)) as house:
        with structlog.testing.capture_logs() as lines:
            for number in range(10):
                assert (await house.ask("GET", "/v1/calls", token=f"guess {number}")).status == 401
            for token in ("another guess", "", "and another"):
                refused = await house.ask("GET", "/v1/calls", token=token)
                assert refused.status == 429
                assert 0 < int(refused.headers["Retry-After"]) <= 61
            assert (await house.ask("GET", "/v1/calls")).status == 200
            assert (await house.ask("POST", "/v1/reload", token=READER)).status == 403
            assert (await house.ask("GET", "/ready", token="")).status == 200
            address = await asyncio.to_thread(address_of_living, tmp_path / "var")
            assert address is not None
            assert (await house.ask("GET", "/v1/drain", token=address.key)).status == 200, "the run's own key"
            assert (await house.ask("GET", "/v1/calls", token="and yet another")).status == 429
        audit = [(line["who"], line["status"]) for line in lines if line["event"] == "api"]
        assert audit == [*[("nobody", 401)] * 10, ("nobody", 429), ("eye", 403)]
        assert await house.metric("voxtrad_auth_failures_total") == 10


async def test_strangers_cannot_fill_the_log(tmp_path: Path) -> None:
    async with running(write_config(tmp_path, server=TOKENS)) as house:
        with structlog.testing.capture_logs() as lines:
            for _ in range(LINES + 5):
                assert (await house.ask("DELETE", "/v1/calls/x", token="")).status == 401
        assert len([line for line in lines if line["event"] == "api"]) == LINES


async def test_without_tokens_no_page_of_another_site_is_served(tmp_path: Path) -> None:
    async with running(write_config(tmp_path)) as house:
        own = {"Origin": house.url}
        assert (await house.ask("GET", "/v1/calls", token="", headers=own)).status == 200
        for headers in (
            {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Host": "evil.example"},
            {"Host": "evil.example", "Origin": "http://evil.example"}, {"Host": "[::1"}, {"Origin": "http://[::1"},
        ):  # fmt: skip
            refused = await house.ask("POST", "/v1/drain", token="", headers=headers)
            assert (refused.status, refused.type) == (403, "application/problem+json"), headers
        assert not house.server.core.switchboard.draining


async def test_what_changes_something_is_written_down(tmp_path: Path) -> None:
    async with running(write_config(tmp_path, server=TOKENS)) as house:
        with structlog.testing.capture_logs() as lines:
            await house.ask("GET", "/v1/calls")
            await house.ask("POST", "/v1/drain")
            await house.ask("POST", "/v1/reload", token=READER)
            await house.ask("POST", "/v1/reload", token="wrong")
        audit = [(l["who"], l["method"], l["path"], l["status"]) for l in lines if l["event"] == "api"]  # noqa: E741
        assert audit == [
            ("crm", "POST", "/v1/drain", 200), ("eye", "POST", "/v1/reload", 403),
            ("nobody", "POST", "/v1/reload", 401),
        ]  # fmt: skip
        assert not any(TOKEN in str(line) or READER in str(line) or "wrong" in str(line) for line in lines)


async def test_the_automatic_token_opens_the_door(tmp_path: Path) -> None:
    async def ask(house: Running) -> tuple[int, int]:
        token = (tmp_path / "var" / "token").read_text().strip()
        right, wrong = await house.ask("GET", "/v1/calls", token=token), await house.ask("GET", "/v1/calls", token="")
        return right.status, wrong.status

    config = write_config(tmp_path, server="tokens: auto")
    for _ in range(2):
        with structlog.testing.capture_logs() as lines:
            async with running(config) as house:
                assert await ask(house) == (200, 401)
        assert any(str(tmp_path / "var" / "token") in str(line) for line in lines), "it is said where the token is"


async def test_new_tokens_hold_from_the_reload_on(tmp_path: Path) -> None:
    config = write_config(tmp_path, server=TOKENS)
    async with running(config) as house:
        write_config(tmp_path, server=TOKENS.replace(TOKEN, "another-token-as-long"))
        assert (await house.ask("POST", "/v1/reload")).status == 200
        assert (await house.ask("GET", "/v1/calls")).status == 401
        assert (await house.ask("GET", "/v1/calls", token="another-token-as-long")).status == 200


async def test_tokens_of_an_open_server_cannot_be_lost_by_a_reload(tmp_path: Path) -> None:
    async with running(write_config(tmp_path, listen="0.0.0.0:0", server=TOKENS)) as house:
        url = house.url.replace("0.0.0.0", "127.0.0.1")
        write_config(
            tmp_path
        )  # listens on loopback, says the file; the server listens everywhere until it is restarted
        async with house.http.post(f"{url}/v1/reload", headers={"Authorization": f"Bearer {TOKEN}"}) as answer:
            assert answer.status == 409
            assert "no token is demanded" in (await answer.json(content_type=None))["errors"][0]
        async with house.http.get(f"{url}/v1/calls") as answer:
            assert answer.status == 401
