"""The JSON Schema says the same as the loader, and what is generated from the models is not stale."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft7Validator
from provider_models import TYPES

from voxtrad.config.availability import NotYet, refusals
from voxtrad.config.diagnostics import ConfigError
from voxtrad.config.loader import load
from voxtrad.config.providers import ProviderTypes
from voxtrad.config.reading import read_document
from voxtrad.config.reference import not_available, reference
from voxtrad.config.schema import json_schema
from voxtrad.config.tree import values
from voxtrad.config.written import plain
from voxtrad.providers.registry import BUILT_IN, provider_types

ROOT = Path(__file__).parents[3]
BROKEN = Path(__file__).parent / "broken"
VALIDATOR = Draft7Validator(json_schema(TYPES, not_yet=()))

UNSEEN = (
    # in several files, or in what a file holds
    "duplicate-names", "empty", "no-agent", "no-agents-key", "no-routes", "file-empty", "file-missing",
    "include-folder", "include-missing", "include-name-twice", "include-other-version", "include-section-twice",
    "include-unclosed", "prompt-file-missing", "template-in-prompt-file", "tls-files-missing",
    "include-other-ending", "commas-for-lists",
    # what a reference stands for
    "env-as-number", "env-bare", "env-empty", "env-unclosed", "env-unset", "env-value-not-shown", "env-wrong-form",
    # names and values that stand elsewhere
    "open-without-token", "provider-no-entry", "provider-unknown", "provider-wrong-kind",
    "unknown-destination", "unknown-destination-agent", "language-english-texts", "unknown-route-agent",
    "unknown-rule-tool", "unknown-tool", "unknown-tool-in-rule-and-list", "unreachable-route", "tool-nobody-runs",
    # what no regular expression can tell
    "template-in-block", "template-in-rule", "template-in-tool", "template-include", "template-syntax",
    "tls-garbage", "template-unknown-call", "template-unknown-name", "template-unknown-variable",
    "tool-select", "tool-timeout", "wrong-url-port",
    "wrong-duration-range", "wrong-order-of-silences", "include-itself", "never-asked",
    "template-several", "template-many", "template-condition", "template-in-secret",
    "token-twice",
    "tool-built-in-without-entry", "unreachable-route-wider",
    "media-ports-backwards", "media-ports-few", "asterisk-url-with-ari",
)  # fmt: skip
"""Broken configurations whose error an editor cannot see. In all others it is in one value, and flagged."""


def as_loaded(path: Path) -> object:
    """What stands in a file, with scalars as voxtrad's own loader reads them."""
    document = read_document(path.read_bytes(), path)
    if document.tree is None:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    return plain(values(document.tree))


def test_it_is_a_schema() -> None:
    for schema in (json_schema(TYPES), json_schema(provider_types())):
        Draft7Validator.check_schema(schema)
        assert list(lists_without_anything(schema)) == []


def lists_without_anything(schema: object, path: str = "#") -> Iterator[str]:
    """Keywords whose list is empty: draft 7 lets them pass, and yaml-language-server refuses the whole schema."""
    if isinstance(schema, dict):
        for key, value in schema.items():
            if key in ("enum", "allOf", "anyOf", "oneOf") and value == []:
                yield f"{path}/{key}"
            yield from lists_without_anything(value, f"{path}/{key}")
    elif isinstance(schema, list):
        for index, item in enumerate(schema):
            yield from lists_without_anything(item, f"{path}/{index}")


@pytest.mark.parametrize("path", sorted((ROOT / "config").rglob("*.yaml")), ids=lambda path: path.name)
def test_the_starter_is_valid(path: Path) -> None:
    errors = list(Draft7Validator(json_schema(provider_types())).iter_errors(as_loaded(path)))
    assert errors == []


def test_the_whole_language_is_valid() -> None:
    errors = list(VALIDATOR.iter_errors(as_loaded(Path(__file__).parent / "whole" / "voxtrad.yaml")))
    assert errors == []


@pytest.mark.parametrize("case", sorted(folder.name for folder in BROKEN.iterdir()))
def test_it_flags_what_check_flags(case: str) -> None:
    path = BROKEN / case / "voxtrad.yaml"
    document = read_document(path.read_bytes(), path)
    if document.tree is None or document.diagnostics:
        assert case.startswith(("syntax-", "indentation-")), "no YAML: an editor needs no schema to see that"
        return
    flagged = bool(list(VALIDATOR.iter_errors(plain(values(document.tree)))))
    assert flagged is (case not in UNSEEN), "an editor sees it; or it belongs in UNSEEN"


def test_it_allows_references_everywhere() -> None:
    text = b"""
server: {max_calls: "${env:N}", watch: "${env:W}", drain_timeout: "${env:D}", listen: "${env:L}", country: "${env:C}"}
agents: {a: {stt: sphinx, llm: scripted, tts: espeak, privacy: "${env:P}", turn: {speculate: "${env:S}"}}}
providers: {deepgram: {api_key: "${file:/run/k}"}, mine: {type: openai}}
"""
    document = read_document(text, Path("x.yaml"))
    assert document.tree is not None
    assert list(VALIDATOR.iter_errors(plain(values(document.tree)))) == []


_AGENT = "stt: sphinx, llm: scripted, tts: espeak"


@pytest.mark.parametrize(
    ("text", "flagged"),
    [
        ("providers: {sphinx: null}", False),
        (f"agents: {{a: {{{_AGENT}, on_failure: {{}}}}}}", True),
        (f"agents: {{a: {{{_AGENT}, on_failure: {{transfer: b, continue: {{}}}}}}}}", True),
        (f"agents: {{a: {{{_AGENT}, on_failure: {{continue: {{}}}}}}}}", False),
        (f"agents: {{a: {{{_AGENT}, on_failure: hangup}}}}", False),
        ("tools: {a: {mcp: {}}}", True),
        ("tools: {a: {mcp: {url: 'http://b/', command: [b]}}}", True),
        ("tools: {a: {mcp: {url: 'http://b/'}}}", False),
        ("server: {data_dir: ''}", True),
        ("server: {data_dir: x}", False),
        ("server: {drain_timeout: -1}", True),
        ("server: {drain_timeout: 0}", False),
        ("lookup: {webhook: {url: 'http://b/', secret: '${env:S}'}, timeout: -1}", True),
    ],
)
def test_it_says_the_same_as_check(text: str, flagged: bool) -> None:
    document = read_document(text.encode(), Path("x.yaml"))
    assert document.tree is not None
    assert bool(list(VALIDATOR.iter_errors(plain(values(document.tree))))) is flagged


@pytest.mark.parametrize(
    ("text", "flagged"),
    [
        ("rules: [{match: x}]", True),
        ("rules: [{match: x, say: null, tool: null}]", True),
        ("rules: [{match: x, say: y, arguments: {a: b}}]", True),
        ("rules: [{match: x, say: y, on_error: z}]", True),
        ("rules: [{match: '', say: y}]", True),
        ("rules: [{match: x, say: y, arguments: {}}]", False),
        ("rules: [{match: x, tool: y, arguments: {a: b}, on_error: z}]", False),
    ],
)
def test_rules_of_a_script(text: str, flagged: bool) -> None:
    document = read_document(
        f"agents: {{a: {{stt: sphinx, tts: espeak, llm: {{provider: scripted, {text}}}}}}}".encode(), Path("x")
    )
    assert document.tree is not None
    validator = Draft7Validator(json_schema(provider_types()))
    assert bool(list(validator.iter_errors(plain(values(document.tree))))) is flagged


@pytest.mark.parametrize(
    ("text", "flagged"),
    [
        ("providers: {openai: null}", True),
        ("providers: {openai: {api_key: null}}", True),
        ("providers: {openai: {base_url: 'http://b/v1'}}", False),
        ("providers: {mine: {type: openai}}", True),
        ("providers: {wyoming: null}", True),
        ("providers: {wyoming: {uri: 'tcp://b:10300'}}", False),
        ("providers: {openai: {api_key: b, base_url: 'ftp://b'}}", True),
        ("providers: {openai: {api_key: 'b '}}", True),
        ("providers: {openai: {api_key: 12345}}", False),
        ("providers: {openai: {api_key: '${env:KEY:-b c}'}}", False),
    ],
)
def test_connections(text: str, flagged: bool) -> None:
    validator = Draft7Validator(json_schema(provider_types()))
    document = read_document(text.encode(), Path("x"))
    assert document.tree is not None
    assert bool(list(validator.iter_errors(plain(values(document.tree))))) is flagged


NOT_YET = (
    NotYet("asterisk.media.transport", values=("rtp",)),
    NotYet("asterisk.media.buffer_size_ms"),
    NotYet("outbound"),
    NotYet("tools.*.mcp"),
    NotYet("agents.*.record", except_for=(False,)),
)


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("asterisk: {password: x, media: {transport: rtp}}", True),
        ("asterisk: {password: x, media: {transport: auto}}", False),
        ("asterisk: {password: x, media: {transport: '${env:T}'}}", False),
        ("asterisk: {password: x, media: {buffer_size_ms: 100}}", True),
        ("outbound: {endpoint: 'Local/{number}@a', allow: ['+44']}", True),
        ("outbound: null", False),
        ("tools: {a: {mcp: {url: 'http://b/'}}}", True),
        ("tools: {a: {builtin: end_call}}", False),
        ("agents: {a: {stt: sphinx, llm: scripted, tts: espeak, record: consent}}", True),
        ("agents: {a: {stt: sphinx, llm: scripted, tts: espeak, record: false}}", False),
    ],
)
def test_what_is_not_available_is_flagged_and_not_offered(text: str, refused: bool) -> None:
    document = read_document(text.encode(), Path("x.yaml"))
    assert document.tree is not None
    written = plain(values(document.tree))
    assert list(VALIDATOR.iter_errors(written)) == []
    schema = json_schema(TYPES, NOT_YET)
    Draft7Validator.check_schema(schema)
    assert bool(list(Draft7Validator(schema).iter_errors(written))) is refused
    assert bool(list(refusals(document.tree, NOT_YET))) is refused
    assert isinstance(schema["properties"], dict) and "outbound" not in schema["properties"]


def test_what_is_not_available_is_refused_where_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "voxtrad.yaml"
    path.write_text(
        "asterisk: {password: x, media: {transport: rtp, buffer_size_ms: 100}}\n"
        "agents: {a: {stt: sphinx, llm: scripted, tts: espeak}}\nroutes: [{agent: a}]\n"
    )
    with pytest.raises(ConfigError) as refused:
        load(path, provider_types=TYPES, environment={}, not_yet=NOT_YET)
    said = [(each.path, each.message) for each in refused.value.diagnostics]
    assert said == [
        ("asterisk.media.transport", "not available in this version"),
        ("asterisk.media.buffer_size_ms", "not available in this version"),
    ]
    load(path, provider_types=TYPES, environment={})  # this version has it


def test_what_is_not_available_stands_in_the_reference() -> None:
    assert list(not_available(())) == []
    assert list(not_available(NOT_YET))[-5:] == [
        "- `asterisk.media.transport`: `rtp`",
        "- `asterisk.media.buffer_size_ms`",
        "- `outbound`",
        "- `tools.NAME.mcp`",
        "- `agents.NAME.record`: anything but `false`",
    ]


def built_in() -> ProviderTypes:
    """Without what other packages in this environment bring."""
    types = provider_types()
    return {kind: {name: types[kind][name] for name in names} for kind, names in BUILT_IN.items()}


def test_the_schema_in_the_starter_is_fresh() -> None:
    written = json.loads((ROOT / "config/voxtrad.schema.json").read_text(encoding="utf-8"))
    assert written == json_schema(built_in()), "run: voxtrad schema > config/voxtrad.schema.json"


def test_the_reference_in_the_starter_is_fresh() -> None:
    written = (ROOT / "config/README.md").read_text(encoding="utf-8")
    assert written == reference(built_in()), "run: voxtrad schema --format markdown > config/README.md"


def test_every_key_is_documented() -> None:
    definitions = json_schema(built_in())["definitions"]
    assert isinstance(definitions, dict)
    undocumented = [
        f"{name}.{key}"
        for name, schema in definitions.items()
        if name not in ("json_schema", "parameter")  # whose keys are those of JSON Schema
        for key, item in schema.get("properties", {}).items()
        if "description" not in json.dumps(item) and "$ref" not in json.dumps(item) and key != "type"
    ]
    assert undocumented == []
