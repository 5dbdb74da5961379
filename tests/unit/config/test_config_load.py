"""Configurations that are valid: what they become, where their values came from, and that any text is answered."""

from __future__ import annotations

import copy
import functools
import operator
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator
from provider_models import TYPES, Chat
from pydantic import SecretStr, ValidationError

from voxtrad.config.diagnostics import ConfigError, as_github, as_json, as_text
from voxtrad.config.loader import Loaded, load
from voxtrad.config.models import BuiltinTool, Config, DialDestination, EndCallTool, HttpTool, WebhookTool
from voxtrad.config.reading import read_document
from voxtrad.config.schema import json_schema
from voxtrad.config.tree import values
from voxtrad.config.written import plain

SECRET = "whsec_dGhlLXN0YXJ0ZXItc2VjcmV0LW9mLXZveHRyYWQ="
MINIMAL = "agents: {support: {stt: sphinx, llm: scripted, tts: espeak}}\n"


def loaded(folder: Path, text: str, /, environment: dict[str, str] | None = None, **files: str) -> Loaded:
    for name, content in files.items():
        path = folder / name.replace("__", "/").replace("_yaml", ".yaml").replace("_md", ".md")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    path = folder / "voxtrad.yaml"
    path.write_text(text, encoding="utf-8")
    return load(path, provider_types=TYPES, environment=environment or {})


def test_the_least_configuration(tmp_path: Path) -> None:
    config = loaded(tmp_path, MINIMAL).config
    agent = config.agents["support"]
    assert agent.name == "support"
    assert agent.greeting.text == ""
    assert agent.stt[0].provider == agent.stt[0].type == "sphinx"
    assert agent.vad.provider == "webrtc"
    assert agent.on_failure.continue_ is not None
    assert config.asterisk is None
    assert config.server.listen == "127.0.0.1:8090"


def test_text_stays_as_it_was_written(tmp_path: Path) -> None:
    text = """
routes:
  - {to: +442071234567, from: 0123, agent: support}
  - {to: 600, variables: {CODE: 007, AT: 12:30:00, ON: 2026-05-04, YES: yes, PI: 3.10}, agent: support}
destinations:
  billing: {continue: {context: 1, extension: 600, priority: 1}}
agents:
  support: {stt: sphinx, llm: scripted, tts: espeak, variables: {count: 7, code: 007, big: 123456789012345678901}}
"""
    config = loaded(tmp_path, text).config
    assert config.routes[0].to == ("+442071234567",)
    assert config.routes[0].from_ == ("0123",)
    assert config.routes[1].to == ("600",)
    assert dict(config.routes[1].variables or {}) == {
        "CODE": "007", "AT": "12:30:00", "ON": "2026-05-04", "YES": "yes", "PI": "3.10",
    }  # fmt: skip
    assert config.destinations["billing"].model_dump(by_alias=True)["continue"]["extension"] == "600"
    variables = config.agents["support"].variables
    assert variables == {"count": 7, "code": "007", "big": "123456789012345678901"}


@pytest.mark.parametrize("key", sorted(Config.model_fields.keys() - {"agents"}))
@pytest.mark.parametrize("nothing", ["", "null", "~"])
def test_nothing_behind_a_key_at_the_top_is_as_good_as_leaving_it_out(tmp_path: Path, key: str, nothing: str) -> None:
    agents = "agents: {a: {stt: sphinx, llm: scripted, tts: espeak}}\n"
    text = f"{key}: {nothing}\n{agents}"
    assert loaded(tmp_path, text).config == loaded(tmp_path, agents).config
    schema = Draft7Validator(json_schema(TYPES, not_yet=()))
    assert list(schema.iter_errors(yaml.safe_load(text))) == []
    included = loaded(tmp_path, "include: more.yaml\n" + agents, more_yaml=f"{key}: {nothing}\n").config
    assert included.model_copy(update={"include": ()}) == loaded(tmp_path, agents).config


def test_short_forms(tmp_path: Path) -> None:
    text = f"""
agents:
  support:
    greeting: Hello
    stt: [sphinx, {{provider: sphinx}}]
    llm: {{provider: openai, model: m, temperature: 1}}
    tts: espeak
    filler: One moment.
    tools: end_call
    on_failure: hangup
    max_duration: 1h30m
    idle: {{after: 500ms, then: {{continue: {{}}}}}}
tools:
  t:
    description: x
    parameters: {{id: {{type: string, required: true}}, note: {{type: string}}}}
    webhook: {{url: "http://127.0.0.1:9/t", secret: [{SECRET}, {SECRET}]}}
  w: {{description: w, http: {{url: "https://api.example/w?q={{{{ args.q }}}}"}}, parameters: {{q: {{type: string}}}}}}
destinations: {{r: {{dial: Local/200@from-internal}}}}
"""
    config = loaded(tmp_path, text).config
    agent = config.agents["support"]
    assert agent.greeting.text == "Hello"
    assert [choice.provider for choice in agent.stt] == ["sphinx", "sphinx"]
    assert agent.filler == ("One moment.",)
    assert agent.max_duration == 5400
    assert agent.idle.after == 0.5
    assert agent.idle.then.continue_ is not None
    assert agent.on_failure.hangup
    tool = config.tools["t"]
    assert isinstance(tool, WebhookTool)
    assert tool.parameters == {
        "type": "object",
        "properties": {"id": {"type": "string"}, "note": {"type": "string"}},
        "required": ["id"],
        "additionalProperties": False,
    }
    assert len(tool.webhook.secret) == 2
    assert isinstance(config.tools["w"], HttpTool)
    assert isinstance(config.tools["end_call"], EndCallTool)
    assert isinstance(config.tools["end_call"], BuiltinTool)
    assert isinstance(config.destinations["r"], DialDestination)


def test_several_providers_of_one_type(tmp_path: Path) -> None:
    text = """
providers:
  openai: {api_key: one}
  ollama: {type: openai, base_url: http://ollama:11434/v1}
agents:
  support: {stt: sphinx, tts: espeak, llm: [{provider: openai, model: a}, {provider: ollama, model: b}]}
"""
    first, second = loaded(tmp_path, text).config.agents["support"].llm
    assert (first.provider, first.type, second.provider, second.type) == ("openai", "openai", "ollama", "openai")
    assert isinstance(first.connection, Chat)
    assert isinstance(second.connection, Chat)
    assert first.connection.api_key == SecretStr("one")
    assert second.connection.base_url == "http://ollama:11434/v1"


def test_interpolation(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("from-a-file\n", encoding="utf-8")
    text = """
server: {max_calls: "${env:MANY}", watch: "${env:WATCH:-false}", public_url: "https://${env:HOST:-a}.example"}
asterisk: {password: "${file:secret}", username: "$${x}${env:EMPTY:-y}"}
agents:
  support: {stt: sphinx, llm: scripted, tts: espeak, greeting: "${env:TEXT}", hints: "${env:NUMBER}"}
"""
    environment = {"MANY": "12", "TEXT": "a: [b], {{ 'c' }} # ${env:MANY}", "NUMBER": "600", "EMPTY": ""}
    config = loaded(tmp_path, text, environment).config
    assert config.server.max_calls == 12
    assert config.server.watch is False
    assert config.server.public_url == "https://a.example"
    assert config.asterisk is not None
    assert config.asterisk.password.get_secret_value() == "from-a-file"
    assert config.asterisk.username == "${x}y"
    assert config.agents["support"].greeting.text == "a: [b], {{ 'c' }} # ${env:MANY}"
    assert config.agents["support"].hints == ("600",)


def test_anchors_merge_keys_and_extensions(tmp_path: Path) -> None:
    text = """
x-base: &base {stt: sphinx, llm: scripted, tts: espeak, language: en}
x-more: &more {language: de, privacy: none}
agents:
  a: {<<: *base, language: fr}
  b: {<<: [*base, *more]}
routes: [{agent: a}]
"""
    config = loaded(tmp_path, text).config
    assert (config.agents["a"].language, config.agents["b"].language) == ("fr", "en")
    assert config.agents["b"].privacy == "none"


def test_includes_merge_and_paths_count_from_their_file(tmp_path: Path) -> None:
    result = loaded(
        tmp_path,
        "include: [agents/*.yaml, more.yaml]\nroutes: [{to: '1', agent: a}]\nserver: {max_calls: 3}\n",
        agents__a_yaml="agents: {a: {stt: sphinx, llm: scripted, tts: espeak, prompt_file: p.md}}\n",
        agents__p_md="You are {{ call.agent }}.\n",
        agents__b_yaml="agents: {b: {stt: sphinx, llm: scripted, tts: espeak}}\nserver: {data_dir: ./data}\n",
        more_yaml="routes: [{agent: b}]\ninclude: [voxtrad.yaml]\nversion: 1\nx-a: 1\n",
    )
    config = result.config
    assert list(config.agents) == ["a", "b"]
    assert [route.agent for route in config.routes] == ["a", "b"]
    assert config.agents["a"].prompt == "You are {{ call.agent }}.\n"
    assert config.server.data_dir == tmp_path / "agents" / "data"
    assert config.server.max_calls == 3
    names = {file.relative_to(tmp_path).as_posix() for file in result.files}
    assert names == {"voxtrad.yaml", "agents/a.yaml", "agents/p.md", "agents/b.yaml", "more.yaml"}
    assert result.patterns == {tmp_path / "agents/*.yaml"}


def test_origins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = "include: [a.yaml]\nasterisk:\n  password: ${env:P}\n  url: http://pbx:8088\n"
    a = (
        "agents:\n  support:\n    greeting: Hello\n    stt: sphinx\n    llm: scripted\n    tts: espeak\n"
        "    tools: [end_call]\n"
    )
    result = loaded(tmp_path, text, {"P": "password"}, a_yaml=a)
    assert str(result.origins["agents.support.tools[0]"]) == "a.yaml:7"
    assert str(result.origins["asterisk.url"]) == "voxtrad.yaml:4"
    assert result.origins["asterisk.password"].written == "${env:P}"
    assert str(result.origin(("agents", "support", "greeting", "text"), "Hello")) == "a.yaml:3"
    assert result.origin(("agents", "support", "greeting", "interruptible"), True) is None
    assert str(result.origin(("agents", "support", "stt", 0))) == "a.yaml:4"
    assert result.origin(("server", "max_calls")) is None


def test_frozen_and_without_secrets_in_print(tmp_path: Path) -> None:
    config = loaded(tmp_path, MINIMAL + "asterisk: {password: hidden-password}\n").config
    with pytest.raises(ValidationError):
        config.agents["support"].language = "de"  # type: ignore[misc]  # that it is refused is the test
    with pytest.raises(TypeError):
        config.agents["other"] = config.agents["support"]  # type: ignore[index]  # that it is refused is the test
    assert "hidden-password" not in repr(config)
    assert "hidden-password" not in config.model_dump_json()


def test_equal_when_nothing_changed(tmp_path: Path) -> None:
    assert loaded(tmp_path, MINIMAL).config == loaded(tmp_path, MINIMAL).config
    assert loaded(tmp_path, MINIMAL).config != loaded(tmp_path, MINIMAL + "server: {max_calls: 1}\n").config


def test_the_whole_language(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The example that the language was designed with."""
    whole = Path(__file__).parent / "whole"
    monkeypatch.chdir(tmp_path)
    certificate = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout v.key -out v.pem"
    subprocess.run(["openssl", *certificate.split(), "-subj", "/CN=v"], cwd=tmp_path, check=True, capture_output=True)
    environment = dict.fromkeys(("DEEPGRAM_API_KEY", "OPENAI_API_KEY", "ELEVENLABS_API_KEY"), "a-key")
    environment |= {"CRM_WEBHOOK_SECRET": SECRET, "TOOLS_SECRET": SECRET, "HERE": str(tmp_path)}
    result = load(whole / "voxtrad.yaml", provider_types=TYPES, environment=environment, not_yet=())
    assert result.warnings == ()
    assert set(result.config.tools) == {
        "lookup_order", "weather", "escalate_to_human", "pin", "crm", "end_call",
    }  # fmt: skip
    assert result.config.agents["support"].record is False


def test_a_missing_file_is_an_error_with_a_message(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load(tmp_path / "none.yaml", provider_types=TYPES)
    with pytest.raises(ConfigError, match="is a directory"):
        load(tmp_path, provider_types=TYPES)


def test_formats(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, MINIMAL + "server:\n  max_cals: 3\n")
    found = caught.value.diagnostics
    assert '"line": 3' in as_json(found)
    assert '"suggestion": "max_calls"' in as_json(found)
    github = as_github(found)
    assert github.startswith("::error file=")
    assert ",line=3,col=3," in github
    assert "\x1b[" in as_text(found, color=True)
    assert "\x1b[" not in as_text(found)


# --- anything at all --------------------------------------------------------------------------------------------------

WORDS = st.sampled_from(
    "agents support stt llm tts sphinx scripted espeak routes agent to from hours tools t description webhook url "
    "secret include server listen max_calls providers openai type asterisk password variables greeting text "
    "prompt_file rules match say destinations dial continue http://x 1000 +44 ${env:A} ${file:x} {{vars.x}} {{call.x}} "
    "null true yes 1s 1e9 * & << x-y {{%if%}} .inf 0x1 ~ '' -".split()
)
VALUES = st.recursive(
    WORDS | st.text(max_size=8) | st.integers() | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS | st.text(max_size=5), inner, max_size=5),
    max_leaves=25,
)
SNIPPETS = st.lists(
    st.sampled_from(
        ["agents:", "  a:", "    stt: sphinx", "    llm: ", "scripted", "\n", "\t", "- ", "{", "}", "[", "]", ": ",
         '"', "'", "|\n", "&x ", "*x", "<<: ", "!t ", "---\n", "# c", "${env:A}", "{{ x }}", "\r", "\u2028", "\0", ","]
    ),
    max_size=40,
).map("".join)  # fmt: skip


def answered(folder: Path, data: bytes) -> None:
    path = folder / "any.yaml"
    path.write_bytes(data)
    try:
        load(path, provider_types=TYPES, environment={"A": "a"})
    except ConfigError as error:
        found = error.diagnostics
    else:
        return
    assert found
    for diagnostic in found:
        assert diagnostic.place is not None
        assert diagnostic.place.line > 0
        assert diagnostic.place.column > 0
    as_text(found)
    as_json(found)
    as_github(found)


ANY = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)


@ANY
@given(data=st.binary(max_size=200))
def test_any_bytes_are_answered(tmp_path: Path, data: bytes) -> None:
    answered(tmp_path, data)


@ANY
@given(text=SNIPPETS)
def test_any_pieces_of_yaml_are_answered(tmp_path: Path, text: str) -> None:
    answered(tmp_path, text.encode())


@ANY
@given(value=st.dictionaries(WORDS, VALUES, max_size=6))
def test_any_values_are_answered(tmp_path: Path, value: dict[str, object]) -> None:
    answered(tmp_path, yaml.safe_dump(value, allow_unicode=True).encode("utf-8", "surrogatepass"))


def whole_language() -> object:
    """The example of the whole language, as values."""
    file = Path(__file__).parent / "whole" / "voxtrad.yaml"
    tree = read_document(file.read_bytes(), file).tree
    assert tree is not None
    return plain(values(tree))


def paths_in(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in inner:
        yield from paths_in(below, (*path, key))


WHOLE = whole_language()
PATHS = sorted(path for path in paths_in(WHOLE) if path)


@settings(ANY, max_examples=200)
@given(path=st.sampled_from(PATHS), other=VALUES | st.sampled_from(PATHS), remove=st.booleans())
def test_the_whole_language_with_one_value_changed_is_answered(
    tmp_path: Path, path: tuple[str | int, ...], other: object, remove: bool
) -> None:
    """Another value in the place of one, one of the example's own as well; or none at all."""
    changed = copy.deepcopy(WHOLE)
    holder: Any = changed
    for key in path[:-1]:
        holder = holder[key]
    if remove:
        del holder[path[-1]]
    else:
        holder[path[-1]] = functools.reduce(operator.getitem, other, WHOLE) if other in PATHS else other  # type: ignore[call-overload]  # paths of it
    answered(tmp_path, yaml.safe_dump(changed, allow_unicode=True).encode("utf-8", "surrogatepass"))


def test_aliases_do_not_explode(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, "\n".join(lines))
    assert any("more than 100000 values" in diagnostic.message for diagnostic in caught.value.diagnostics)


def test_a_file_that_is_too_large(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="larger than 4 MiB"):
        loaded(tmp_path, "#" * (4 * 1024 * 1024 + 1))


def test_the_environment_of_the_process_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOXTRAD_TEST_PASSWORD", "secret-of-the-process")
    path = tmp_path / "voxtrad.yaml"
    path.write_text(MINIMAL + "asterisk: {password: '${env:VOXTRAD_TEST_PASSWORD}'}\n", encoding="utf-8")
    config = load(path, provider_types=TYPES).config
    assert config.asterisk is not None
    assert config.asterisk.password.get_secret_value() == os.environ["VOXTRAD_TEST_PASSWORD"]


def test_what_is_no_file_is_refused_and_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    text = MINIMAL.replace("}}", ", greeting: '${file:/dev/zero}', prompt_file: pipe}}")
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, f"{text}include: [pipe]\n")
    told = [d for d in caught.value.diagnostics if "it is a pipe, a socket or a device" in d.message]
    assert [d.path for d in told] == ["agents.support.greeting", "agents.support.prompt_file", "include[0]"]
    with pytest.raises(ConfigError, match="is a directory"):
        load(tmp_path, provider_types=TYPES)


def test_what_the_shell_gives_is_read(tmp_path: Path) -> None:
    """As in `voxtrad check -c <(envsubst < voxtrad.yaml)`."""
    reading, writing = os.pipe()
    os.write(writing, MINIMAL.encode())
    os.close(writing)
    try:
        result = load(Path(f"/dev/fd/{reading}"), provider_types=TYPES)
    finally:
        os.close(reading)
    assert list(result.config.agents) == ["support"]


def test_a_number_is_no_boolean_and_nothing_is_no_mapping(tmp_path: Path) -> None:
    for text, message in (
        (MINIMAL.replace("}}", ", record: 1}}"), "must be one of false, true, on_answer, consent"),
        (f"{MINIMAL}version: true\n", "must be 1"),
        (f"{MINIMAL}tools: []\n", "must be a mapping"),
        (f"{MINIMAL}tools: false\n", "must be a mapping"),
        (f"{MINIMAL}tools: ''\n", "must be a mapping"),
    ):
        with pytest.raises(ConfigError, match=message):
            loaded(tmp_path, text)
    by_reference = loaded(tmp_path, MINIMAL.replace("}}", ", record: '${env:RECORD}'}}"), {"RECORD": "true"})
    assert by_reference.config.agents["support"].record is True
