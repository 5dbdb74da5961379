"""check, explain, schema, init and the entry itself, as a person runs them: in a process, by exit code and output."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from voxtrad import __version__
from voxtrad.cli.common import load_config
from voxtrad.cli.main import COMMANDS, main

ROOT = Path(__file__).parents[3]
AGENT = "{stt: sphinx, llm: scripted, tts: espeak}"


def voxtrad(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "import sys; from voxtrad.cli.main import main; sys.exit(main())", *arguments],
        cwd=cwd, capture_output=True, text=True, timeout=60, check=False,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **environment},
    )  # fmt: skip


def write(folder: Path, text: str) -> Path:
    path = folder / "config" / "voxtrad.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


# --- the entry --------------------------------------------------------------------------------------------------------


def test_help_names_every_command(tmp_path: Path) -> None:
    done = voxtrad("--help", cwd=tmp_path)
    assert done.returncode == 0
    for command in COMMANDS:
        assert command.name in done.stdout


@pytest.mark.parametrize("name", [command.name for command in COMMANDS])
def test_every_command_has_help_with_an_example(name: str, tmp_path: Path) -> None:
    done = voxtrad(name, "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert f"example:\n  voxtrad {name}" in done.stdout


def test_help_imports_no_command(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom voxtrad.cli.main import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'pydantic', 'yaml', 'aiohttp', 'jinja2', 'phonenumbers'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        check=False, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_version_and_wrong_commands(tmp_path: Path) -> None:
    assert voxtrad("--version", cwd=tmp_path).stdout == f"voxtrad {__version__}\n"
    done = voxtrad("chek", cwd=tmp_path)
    assert done.returncode == 2
    assert "there is no command 'chek' (did you mean 'check'?)" in done.stderr
    assert voxtrad(cwd=tmp_path).returncode == 2
    done = voxtrad("-c", "voxtrad.yaml", "check", cwd=tmp_path)
    assert done.returncode == 2
    assert "options come after the command" in done.stderr


# --- nobody sees a traceback ------------------------------------------------------------------------------------------

READERS = ["serve", "check", "explain", "call a", "calls", "events"]
"""Commands that read a configuration."""


def untroubled(done: subprocess.CompletedProcess[str]) -> str:
    """What a failed command said, which has nothing of Python in it."""
    assert done.returncode == 1, done
    said = done.stdout + done.stderr
    for never in ("Traceback", "pydantic", "ValidationError", 'File "'):
        assert never not in said
    return said


@pytest.mark.parametrize("command", [*READERS, "chat a", "doctor", "reload", "drain"])
def test_a_broken_configuration_is_told_by_every_command(command: str, tmp_path: Path) -> None:
    write(tmp_path, f"agents: {{a: {AGENT}}}\nserver: {{max_cals: 1}}\n")
    said = untroubled(voxtrad(*command.split(), cwd=tmp_path))
    assert "config/voxtrad.yaml:2:10: server.max_cals: unknown key (did you mean 'max_calls'?)" in said


@pytest.mark.parametrize("command", READERS)
def test_a_missing_configuration_is_told_by_every_command(command: str, tmp_path: Path) -> None:
    said = untroubled(voxtrad(*command.split(), cwd=tmp_path))
    assert "cannot read config/voxtrad.yaml: no such file or directory" in said
    assert "voxtrad init config" in said


def test_a_configuration_that_is_here_and_not_where_it_is_looked_for_is_named(tmp_path: Path) -> None:
    (tmp_path / "voxtrad.yaml").write_text(f"agents: {{a: {AGENT}}}\n", encoding="utf-8")
    assert "name the one that is here: -c voxtrad.yaml" in untroubled(voxtrad("explain", cwd=tmp_path))


@pytest.mark.parametrize("command", READERS)
def test_a_broken_setting_is_told_by_every_command(command: str, tmp_path: Path) -> None:
    write(tmp_path, f"agents: {{a: {AGENT}}}\n")
    said = untroubled(voxtrad(*command.split(), cwd=tmp_path, VOXTRAD_LOG_FORMAT="xml"))
    assert said == "voxtrad: VOXTRAD_LOG_FORMAT: must be 'auto', 'console' or 'json'\n"


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (["call", "a", "--wav", "nothing.wav"], "voxtrad: nothing.wav: no such file or directory\n"),
        (["call", "a", "--wav", "config"], "voxtrad: config: is a directory\n"),
        (["call", "b"], "voxtrad: there is no agent 'b'\n         there are: a\n"),
        (["explain", "b"], "voxtrad: there is no agent 'b'\n         there are: a\n"),
        (["init", "config/voxtrad.yaml/x"], "voxtrad: cannot write to config/voxtrad.yaml/x: not a directory\n"),
    ],
)
def test_what_a_command_line_names_and_is_not_there(command: list[str], told: str, tmp_path: Path) -> None:
    write(tmp_path, f"agents: {{a: {AGENT}}}\n")
    assert untroubled(voxtrad(*command, cwd=tmp_path)) == told


def faulty(folder: Path, raising: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command that raises."""
    (folder / "faulty.py").write_text(
        "from voxtrad.errors import VoxtradError\nEXAMPLE = 'x'\ndef configure(parser): pass\n"
        f"def run(arguments): raise {raising}\n",
        encoding="utf-8",
    )
    code = (
        "import sys\nfrom voxtrad.cli.main import Command, main\n"
        "sys.exit(main(['faulty'], [Command('faulty', 'faulty', 'fail')]))\n"
    )
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env={"PYTHONPATH": f"{ROOT}:{folder}", **environment},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def test_a_fault_of_our_own_is_told_in_two_lines(tmp_path: Path) -> None:
    said = untroubled(faulty(tmp_path, "KeyError('secret')"))
    assert said.startswith("voxtrad: internal error: KeyError in faulty.py:4\n") and "secret" not in said
    assert "Traceback" in faulty(tmp_path, "KeyError('secret')", VOXTRAD_LOG_LEVEL="debug").stderr


def test_expected_failures_of_several_tasks_are_told_each(tmp_path: Path) -> None:
    group = "ExceptionGroup('', [VoxtradError('one'), ExceptionGroup('', [VoxtradError('two', hint='do it')])])"
    assert untroubled(faulty(tmp_path, group)) == "voxtrad: one\nvoxtrad: two\n         do it\n"
    mixed = "ExceptionGroup('', [VoxtradError('one'), KeyError('x')])"
    assert untroubled(faulty(tmp_path, mixed)).startswith("voxtrad: one\nvoxtrad: internal error: KeyError")


# --- check ------------------------------------------------------------------------------------------------------------


def test_the_starter_is_valid_without_any_environment() -> None:
    done = voxtrad("check", cwd=ROOT)
    assert (done.returncode, done.stdout, done.stderr) == (0, "config/voxtrad.yaml: valid\n", "")


def test_check_says_all_and_exits_with_1(tmp_path: Path) -> None:
    write(tmp_path, f"agents: {{a: {AGENT}}}\nroutes: [{{agent: b}}]\nserver: {{max_cals: 1}}\n")
    done = voxtrad("check", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout.startswith("config/voxtrad.yaml:2:18: routes[0].agent: unknown agent 'b'\n")
    assert "config/voxtrad.yaml:3:10: server.max_cals: unknown key (did you mean 'max_calls'?)" in done.stdout
    assert done.stdout.endswith("config/voxtrad.yaml: 2 errors\n")


def test_check_formats(tmp_path: Path) -> None:
    path = write(tmp_path, f"agents: {{a: {AGENT}, b: {AGENT}}}\n")
    done = voxtrad("check", "-c", str(path), "--format", "json", cwd=tmp_path)
    (warning,) = json.loads(done.stdout)
    assert done.returncode == 0
    assert (warning["severity"], warning["line"], warning["path"]) == ("warning", 1, "agents")
    done = voxtrad("check", "--format", "github", cwd=tmp_path, VOXTRAD_CONFIG=str(path))
    assert done.stdout.startswith("::warning file=config/voxtrad.yaml,line=1,col=1,")
    path.write_text(f"agents: {{a: {AGENT}}}\n", encoding="utf-8")
    assert json.loads(voxtrad("check", "--format", "json", cwd=tmp_path).stdout) == []
    assert voxtrad("check", "--format", "github", cwd=tmp_path).stdout == ""


MISSING = """\
agents:
  a:
    stt: {provider: deepgram}
    llm:
      - scripted
      - {provider: mine, model: claude}
    tts: deepgram
providers: {mine: {type: anthropic, api_key: a-key-that-is-not-shown}, deepgram: {api_key: another-key-not-shown}}
tools: {crm: {mcp: {command: [crm]}}}
"""


def test_check_names_packages_that_are_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, MISSING)
    monkeypatch.chdir(tmp_path)
    for package in ("anthropic", "deepgram", "mcp"):
        monkeypatch.setitem(sys.modules, package, None)
    assert main(["check"]) == 1
    assert (
        capsys.readouterr().out
        == """\
config/voxtrad.yaml:3:5: agents.a.stt: deepgram (STT): needs the package 'deepgram', which is not installed
    3 |     stt: {provider: deepgram}
      |     ^^^
      = pip install 'voxtrad[deepgram]'
config/voxtrad.yaml:6:9: agents.a.llm[1]: mine (LLM): needs the package 'anthropic', which is not installed
    6 |       - {provider: mine, model: claude}
      |         ^
      = pip install 'voxtrad[anthropic]'
config/voxtrad.yaml:7:10: agents.a.tts: deepgram (TTS): needs the package 'deepgram', which is not installed
    7 |     tts: deepgram
      |          ^^^^^^^^
      = pip install 'voxtrad[deepgram]'
config/voxtrad.yaml:9:15: tools.crm.mcp: the tool 'crm' needs the package 'mcp', which is not installed
    9 | tools: {crm: {mcp: {command: [crm]}}}
      |               ^^^
      = pip install 'voxtrad[mcp]'
config/voxtrad.yaml: 4 errors
"""
    )
    write(tmp_path, MISSING.partition("tools:")[0])
    assert main(["serve"]) == 1
    said = capsys.readouterr().err.splitlines()[-2:]
    assert said == [
        "voxtrad: deepgram (STT): needs the package 'deepgram', which is not installed",
        "         pip install 'voxtrad[deepgram]'",
    ]


def test_check_of_a_file_that_is_not_there(tmp_path: Path) -> None:
    done = voxtrad("check", cwd=tmp_path)
    assert done.returncode == 1
    assert "cannot read config/voxtrad.yaml: no such file or directory" in done.stdout
    assert done.stderr == ""


def test_check_of_a_folder(tmp_path: Path) -> None:
    done = voxtrad("check", "-c", ".", cwd=tmp_path)
    assert (done.returncode, "voxtrad init" in done.stdout) == (1, True)
    write(tmp_path, f"agents: {{a: {AGENT}}}\n")
    done = voxtrad("serve", "-c", "config", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "cannot read config: is a directory",
        "      = name the file in it: -c config/voxtrad.yaml",
    ]


def test_settings_of_the_process_are_checked(tmp_path: Path) -> None:
    done = voxtrad("check", cwd=tmp_path, VOXTRAD_LOG_LEVEL="loud")
    assert done.returncode == 1
    assert "VOXTRAD_LOG_LEVEL: must be 'debug', 'info', 'warning' or 'error'" in done.stderr
    write(tmp_path, f"agents: {{a: {AGENT}}}\n")
    assert voxtrad("check", cwd=tmp_path, VOXTRAD_LOG_LEVEL="INFO").returncode == 0


def test_the_data_directory_of_the_environment_is_the_one_in_use(tmp_path: Path) -> None:
    write(tmp_path, f"agents: {{a: {AGENT}}}\nserver: {{data_dir: ./in-the-file}}\n")
    options = argparse.Namespace(config=tmp_path / "config/voxtrad.yaml")
    assert load_config(options).config.server.data_dir == tmp_path / "config/in-the-file"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VOXTRAD_DATA_DIR", str(tmp_path / "in-the-environment"))
        assert load_config(options).config.server.data_dir == tmp_path / "in-the-environment"


# --- explain ----------------------------------------------------------------------------------------------------------

OFFICE = "Mon-Fri 09:00-17:30 Europe/London"
ROUTED = f"""
server: {{country: GB}}
agents: {{support: {AGENT}, sales: {AGENT}}}
routes:
  - {{variables: {{TIER: gold}}, agent: sales}}
  - {{to: "+4420*", hours: "{OFFICE}", agent: sales}}
  - {{agent: support}}
asterisk: {{password: "${{env:PASSWORD:-hidden-password}}"}}
"""


def test_explain_says_who_and_why(tmp_path: Path) -> None:
    write(tmp_path, ROUTED)
    done = voxtrad("explain", "--to", "02071234567", "--at", "2026-05-04T20:00+01:00", cwd=tmp_path)
    assert done.returncode == 0
    first = done.stdout.splitlines()[:4]
    assert first == [
        "✗ routes[0] (config/voxtrad.yaml:5): the channel variable TIER is not set",
        f"✗ routes[1] (config/voxtrad.yaml:6): it is Mon 20:00 in Europe/London, outside of {OFFICE}",
        "✓ routes[2] (config/voxtrad.yaml:7): it takes every call",
        "→ support takes the call: routes[2]: it takes every call",
    ]
    assert "agents.support:" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "agent"),
    [
        (["--var", "TIER=gold"], "sales"),
        (["--to", "+442071234567", "--at", "2026-05-04T12:00:00+01:00"], "sales"),
        (["--var", "VOXTRAD_AGENT=support", "--var", "TIER=gold"], "support"),
        (["sales"], "sales"),
        ([], "support"),
    ],
)
def test_explain_as_json(tmp_path: Path, arguments: list[str], agent: str) -> None:
    write(tmp_path, ROUTED)
    record = json.loads(voxtrad("explain", "--json", *arguments, cwd=tmp_path).stdout)
    assert record["agent"] == agent
    values = {value["path"]: value for value in record["values"]}
    assert values[f"agents.{agent}.stt[0]"] == {
        "path": f"agents.{agent}.stt[0]", "value": "sphinx", "origin": "config/voxtrad.yaml:3",
    }  # fmt: skip
    assert values[f"agents.{agent}.max_duration"]["value"] == "30m"
    assert values[f"agents.{agent}.max_duration"]["origin"] is None


def test_explain_of_nobody(tmp_path: Path) -> None:
    write(tmp_path, ROUTED)
    done = voxtrad("explain", "suport", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "voxtrad: there is no agent 'suport'\n         did you mean 'support'?\n"
    write(tmp_path, f"agents: {{a: {AGENT}}}\nroutes: [{{to: '1', agent: a}}]\n")
    done = voxtrad("explain", "--to", "2", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout.endswith("→ no agent takes the call: no route matches\n")
    assert "is not a time" in voxtrad("explain", "--at", "noon", cwd=tmp_path).stderr
    assert "--var: 'TIER' has no '='" in voxtrad("explain", "--var", "TIER", cwd=tmp_path).stderr


def test_explain_says_that_the_lookup_may_decide_otherwise(tmp_path: Path) -> None:
    secret = "whsec_dGhlLXN0YXJ0ZXItc2VjcmV0LW9mLXZveHRyYWQ="
    lookup = f"lookup: {{webhook: {{url: 'http://127.0.0.1:1/', secret: {secret}}}}}\n"
    write(tmp_path, f"agents: {{a: {AGENT}}}\n{lookup}")
    done = voxtrad("explain", "--to", "1", cwd=tmp_path)
    assert done.returncode == 0
    assert "unless `lookup`" in done.stdout.splitlines()[2]


def test_check_names_programs_that_are_not_here(tmp_path: Path) -> None:
    write(tmp_path, f"agents: {{a: {AGENT}}}\ntools: {{crm: {{mcp: {{command: [no-such-program-here]}}}}}}\n")
    done = voxtrad("check", cwd=tmp_path)
    assert done.returncode == 1
    place = "config/voxtrad.yaml:2:21: tools.crm.mcp.command"
    assert f"{place}: there is no program 'no-such-program-here' on this machine" in done.stdout
    write(tmp_path, f"agents: {{a: {AGENT}}}\ntools: {{crm: {{mcp: {{command: {json.dumps(sys.executable)}}}}}}}\n")
    done = voxtrad("check", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "config/voxtrad.yaml: valid\n")


def test_reload_that_fails_is_json_where_asked_for(tmp_path: Path) -> None:
    write(tmp_path, f"agents: {{a: {AGENT}}}\nserver: {{listen: '127.0.0.1:1'}}\n")
    done = voxtrad("reload", "--json", cwd=tmp_path)
    assert done.returncode == 1
    assert "does not answer" in json.loads(done.stdout)["title"]


def test_explain_needs_a_valid_configuration(tmp_path: Path) -> None:
    write(tmp_path, "agents: {a: {}}\n")
    done = voxtrad("explain", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "the key 'stt' is missing" in done.stderr


def test_explain_hides_secrets_and_what_came_by_reference(tmp_path: Path) -> None:
    write(
        tmp_path,
        """
providers: {openai: {api_key: "${env:KEY}", base_url: https://ai.example/v1}}
agents:
  a:
    stt: sphinx
    llm: {provider: scripted, otherwise: "${env:WORDS}"}
    tts: espeak
    tools: [t]
tools:
  t:
    description: x
    http:
      url: https://user:hunter2@api.example/x
      headers: {X-Key: literal-secret}
      query: {key: "${env:KEY}"}
""",
    )
    for more in ([], ["--json"]):
        done = voxtrad("explain", "a", *more, cwd=tmp_path, KEY="sk-secret-of-the-test", WORDS="words of the env")
        assert done.returncode == 0, done.stdout + done.stderr
        for secret in ("sk-secret-of-the-test", "words of the env", "hunter2", "literal-secret"):
            assert secret not in done.stdout + done.stderr
        assert "${env:WORDS}" in done.stdout


# --- schema and init --------------------------------------------------------------------------------------------------


def test_schema_prints_a_schema(tmp_path: Path) -> None:
    done = voxtrad("schema", cwd=tmp_path)
    assert json.loads(done.stdout)["title"] == "voxtrad"
    assert voxtrad("schema", "--format", "markdown", cwd=tmp_path).stdout.startswith("# The configuration of voxtrad\n")


def test_init_writes_the_starter_and_overwrites_nothing(tmp_path: Path) -> None:
    done = voxtrad("init", "mine", cwd=tmp_path)
    assert done.returncode == 0
    assert "voxtrad check -c mine/voxtrad.yaml" in done.stdout
    written = {file.relative_to(tmp_path / "mine") for file in (tmp_path / "mine").rglob("*") if file.is_file()}
    starter = ROOT / "config"
    assert written == {
        file.relative_to(starter) for file in starter.rglob("*") if file.is_file() and "var" not in file.parts
    }
    for file in written:
        assert (tmp_path / "mine" / file).read_bytes() == (starter / file).read_bytes()
    assert voxtrad("check", "-c", "mine/voxtrad.yaml", cwd=tmp_path).returncode == 0
    done = voxtrad("init", "mine", cwd=tmp_path)
    assert done.returncode == 1
    assert "is there already" in done.stderr


def test_the_wheel_carries_the_starter() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    included = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    here = {entry.name for entry in (ROOT / "config").iterdir()} - {"var"}
    assert {Path(source).name for source in included if source.startswith("config/")} == here
    for source, target in included.items():
        assert target == f"voxtrad/config/starter/{Path(source).name}"


def test_a_reader_that_goes_away_is_no_crash(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Gone:
        @staticmethod
        def write(text: str) -> int:
            raise BrokenPipeError

        @staticmethod
        def isatty() -> bool:
            return False

        @staticmethod
        def flush() -> None:
            return None

    before = sys.stdout
    try:
        sys.stdout = Gone()  # type: ignore[assignment]  # as much of a stream as printing needs
        assert main(["schema"]) == 1
    finally:
        sys.stdout = before
