"""Reload in a real process with real files: by signal and by change, whole or not at all, and no secret in its log."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from process import served

AGENT = "{stt: sphinx, llm: {provider: scripted, otherwise: hm}, tts: espeak, prompt_file: ../prompts/a.md}"
MAIN = """\
include: [agents/*.yaml]
server: {{listen: "127.0.0.1:0", data_dir: ./data, max_calls: {max_calls}, watch: {watch}}}
webhooks: [{{name: crm, url: "http://127.0.0.1:9/", secret: "${{file:secrets/crm}}"}}]
"""
BOUND = ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search")
"""What makes permissions apply to root, too."""
ONE = "whsec_b25lIHNlY3JldCBvZiB0aGUgcmVsb2FkIHRlc3Rz"
TWO = "whsec_YW5vdGhlciBzZWNyZXQgb2YgdGhlIHJlbG9hZCB0ZXN0cw=="


def write(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")


def replace(path: Path, text: str) -> None:
    """As editors do it: a new file takes the name of the old one."""
    temporary = path.with_name(f".{path.name}.swp")
    temporary.write_text(text, encoding="utf-8")
    temporary.rename(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "voxtrad.yaml", MAIN.format(max_calls=10, watch="true"))
    write(tmp_path / "agents/a.yaml", f"agents: {{a: {AGENT}}}\n")
    write(tmp_path / "prompts/a.md", "Be kind.\n")
    write(tmp_path / "secrets/crm", f"{ONE}\n")
    return tmp_path


async def test_sighup_all_or_nothing(folder: Path) -> None:
    main = folder / "voxtrad.yaml"
    write(main, MAIN.format(max_calls=10, watch="false"))
    async with served(main) as server:
        await server.reloaded(lambda: write(main, MAIN.format(max_calls=20, watch="false")))
        refused = await server.reloaded(
            lambda: write(main, MAIN.format(max_calls="many", watch="false") + "routes: [{agent: b}]\n"), "not reloaded"
        )
        assert refused["level"] == "error"
        assert [error.split(": ", 1)[1] for error in refused["errors"]] == [
            "server.max_calls: must be a whole number",
            "routes[0].agent: unknown agent 'b'",
        ]
        assert refused["errors"][0].startswith("voxtrad.yaml:2:")
        await server.reloaded(lambda: write(main, MAIN.format(max_calls=30, watch="false")))
        assert len(server.told("reloaded")) == 2


async def test_every_file_that_took_part_is_watched(folder: Path) -> None:
    async with served(folder / "voxtrad.yaml") as server:
        changes = [
            lambda: replace(folder / "agents/a.yaml", f"agents: {{a: {AGENT}}} # changed\n"),
            lambda: replace(folder / "prompts/a.md", "Be very kind.\n"),
            lambda: write(folder / "secrets/crm", f"{TWO}\n"),
            lambda: write(folder / "agents/b.yaml", f"agents: {{b: {AGENT}}}\nroutes: [{{agent: b}}]\n"),
            lambda: (folder / "agents/b.yaml").unlink(),
        ]
        names = ["a.yaml", "a.md", "crm", "b.yaml", "b.yaml"]
        for count, (change, name) in enumerate(zip(changes, names, strict=True), 1):
            change()
            assert name in (await server.until("reloaded", count))["why"]


async def test_a_folder_that_is_switched_as_a_whole(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """As Kubernetes and bind mounts have it: the files are links through a folder that is replaced."""
    mount = tmp_path_factory.mktemp("mount")
    for version, words in (("one", "Be kind."), ("two", "Be short.")):
        write(mount / version / "agent.yaml", f"agents: {{m: {AGENT.replace('../prompts/a.md', 'p.md')}}}\n")
        write(mount / version / "p.md", words)
    (mount / "data").symlink_to("one")
    for name in ("agent.yaml", "p.md"):
        (mount / name).symlink_to(f"data/{name}")
    main = folder / "voxtrad.yaml"
    write(main, f"include: [{mount}/agent.yaml]\nserver: {{listen: '127.0.0.1:0', data_dir: ./data}}\n")
    async with served(main) as server:
        (mount / "new").symlink_to("two")
        (mount / "new").rename(mount / "data")
        assert "agent.yaml" in (await server.until("reloaded"))["why"]
        assert len(server.told("not reloaded")) == 0


async def test_warnings_are_logged_at_the_start_and_with_a_reload(folder: Path) -> None:
    main = folder / "voxtrad.yaml"
    write(main, MAIN.format(max_calls=10, watch="false").replace("agents/*.yaml", "agents/*.yaml, none/*.yaml"))
    async with served(main) as server:
        assert server.told("about the configuration")[0]["what"] == "voxtrad.yaml:1:26: include[1]: no file matches"
        await server.reloaded(lambda: write(main, MAIN.format(max_calls=11, watch="false")))
        assert len(server.told("about the configuration")) == 1


async def test_a_broken_change_is_told_and_its_mending_seen(folder: Path) -> None:
    async with served(folder / "voxtrad.yaml") as server:
        replace(folder / "agents/a.yaml", "agents: {a: {stt: sphinx\n")
        (error,) = (await server.until("not reloaded"))["errors"]
        assert error.startswith("agents/a.yaml:1:")
        (folder / "prompts/a.md").unlink()
        replace(folder / "agents/a.yaml", f"agents: {{a: {AGENT}}}\n")
        (error,) = (await server.until("not reloaded", 2))["errors"]
        assert "cannot read prompts/a.md: no such file or directory" in error
        write(folder / "prompts/a.md", "Be kind again.\n")
        await server.until("reloaded")


async def test_the_file_that_a_new_pattern_lacked_is_seen_when_it_comes(folder: Path) -> None:
    main = folder / "voxtrad.yaml"
    lacking = MAIN.format(max_calls=10, watch="true").replace("agents/*.yaml", "agents/*.yaml, more/*.yaml")
    async with served(main) as server:
        (folder / "more").mkdir()
        replace(main, lacking + "routes: [{agent: late}]\n")
        (error,) = (await server.until("not reloaded"))["errors"]
        assert "unknown agent 'late'" in error
        replace(folder / "more/late.yaml", f"agents: {{late: {AGENT}}}\n")
        assert "late.yaml" in (await server.until("reloaded"))["why"]


async def test_a_file_that_a_refused_change_named_is_seen_when_it_comes(folder: Path) -> None:
    main = folder / "voxtrad.yaml"
    lacking = MAIN.format(max_calls=10, watch="true").replace("agents/*.yaml", "agents/*.yaml, extra/e.yaml")
    async with served(main) as server:
        replace(main, lacking)
        (error,) = (await server.until("not reloaded"))["errors"]
        assert "cannot read extra/e.yaml" in error
        (folder / "extra").mkdir()
        replace(folder / "extra/e.yaml", f"agents: {{extra: {AGENT}}}\n")
        assert "e.yaml" in (await server.until("reloaded"))["why"]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("voxtrad.yaml", "cannot read voxtrad.yaml: permission denied"),
        ("agents/a.yaml", "cannot read agents/a.yaml: permission denied"),
        ("agents", "voxtrad.yaml:1:11: include[0]: cannot look into agents: permission denied"),
        ("prompts/a.md", "cannot read prompts/a.md: permission denied"),
        ("prompts", "cannot read prompts/a.md: permission denied"),
        ("secrets/crm", "cannot read secrets/crm: permission denied"),
    ],
)
async def test_what_may_not_be_read_any_more_loses_nothing_and_comes_back(folder: Path, name: str, told: str) -> None:
    agents = f"agents: {{main: {AGENT.replace('../', '')}}}\n"
    write(folder / "voxtrad.yaml", MAIN.format(max_calls=10, watch="true") + agents)
    async with served(folder / "voxtrad.yaml", within=BOUND if os.geteuid() == 0 else ()) as server:
        path = folder / name
        mode = path.stat().st_mode
        path.chmod(0)
        errors = (await server.until("not reloaded"))["errors"]
        assert errors and all(told in error for error in errors)
        path.chmod(mode)
        await server.until("reloaded")


async def test_what_needs_a_restart_is_named(folder: Path) -> None:
    main = folder / "voxtrad.yaml"
    write(main, MAIN.format(max_calls=10, watch="false"))
    async with served(main) as server:
        changed = MAIN.format(max_calls=11, watch="true").replace("./data", "./elsewhere")
        await server.reloaded(lambda: write(main, changed))
        line = await server.until("some changes take effect only after a restart")
        assert line["values"] == ["server.data_dir", "server.watch"]


async def test_no_secret_is_logged_neither_old_nor_new(folder: Path) -> None:
    """Everything is at debug, and a far side that never answers makes it talk."""
    main = folder / "voxtrad.yaml"
    hostile = 'routes: [{agent: "${file:secrets/crm}"}]\n'
    async with served(main, VOXTRAD_LOG_LEVEL="debug") as server:
        await server.reloaded(lambda: write(folder / "secrets/crm", f"{TWO}\n"))
        write(main, MAIN.format(max_calls=10, watch="true") + hostile)
        server.hang_up_signal()
        refused = await server.until("not reloaded")
        assert "unknown agent '${file:secrets/crm}'" in str(refused["errors"])
        printed = "".join(server.printed)
        for secret in (ONE, TWO):
            assert secret not in printed and secret.removeprefix("whsec_") not in printed


async def test_the_data_directory_of_the_environment_is_the_one_in_use(folder: Path) -> None:
    other = folder / "elsewhere"
    async with served(folder / "voxtrad.yaml", VOXTRAD_DATA_DIR=str(other)) as server:
        await server.reloaded(lambda: os.utime(folder / "voxtrad.yaml"))
        assert server.told("some changes take effect only after a restart") == []
    assert (other / "voxtrad.db").exists()
    assert not (folder / "data").exists()
