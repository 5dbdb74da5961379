"""Every value of a configuration that uses every key is replaced by others: an editor and `check` judge alike.

What `check` refuses and no JSON Schema can express is named here; there is nothing that only the schema refuses.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from jsonschema import Draft7Validator

from voxtrad.config.diagnostics import ConfigError
from voxtrad.config.loader import load
from voxtrad.config.reading import read_document
from voxtrad.config.schema import json_schema
from voxtrad.config.tree import values
from voxtrad.config.written import plain
from voxtrad.providers.registry import provider_types

Path_ = tuple[str | int, ...]

TYPES = provider_types()
FILE = Path(__file__).parent / "every_key.yaml"
REPLACEMENTS: tuple[object, ...] = (
    None, "", " ", True, False, "x", "x y", 0, -1, 1, 1.5, 1000000, [], {}, [""], ["x", "x"], "10s", "-5s", "http://a/b",
    {"x": 1}, [None], [{}], "auto",
)  # fmt: skip
GONE = object()

ONLY_CHECK = re.compile(
    r"unknown (STT|LLM|TTS|VAD) provider|is no (STT|LLM|TTS|VAD) provider|needs an entry under providers"
    r"|unknown (agent|tool|destination) '|the agent has no|has no variable|there is no (call|vars|args)\.|has no tool"
    r"|the template |the condition |not a JMESPath|match\..* is used|max_silence must not|there is nowhere"
    r"|no call reaches|stands twice|there are no routes|there is no agent|'agents' is missing|nobody runs|cannot read"
    r"|there is no such file|is no known type of provider|clashes with the tools of|the certificate|cannot be used"
    r"|must have at least 16 characters|one key of a telephone"  # of a number, whose digits no schema counts
    r"|must be at (most|least) [0-9a-z]+(ms|s|m|h)$|not a JSON Schema|nobody carries|the configuration is not valid"
)


TOGETHER = ("agents", "tools", "destinations", "providers")
"""Sections that name each other."""


def document_around(section: str) -> dict[str, object]:
    """The section, and what it needs beside it: the less there is to read, the sooner thousands are judged."""
    whole = document()
    if section in TOGETHER:
        return {key: value for key, value in whole.items() if key in TOGETHER}
    agent = {"stt": "sphinx", "llm": "scripted", "tts": "espeak"}
    return {"agents": {"support": agent}, section: whole[section]}


def document() -> dict[str, object]:
    read = read_document(FILE.read_bytes(), FILE)
    assert read.tree is not None
    assert read.diagnostics == []
    return cast("dict[str, object]", plain(values(read.tree)))


def paths(value: object, path: Path_ = ()) -> Iterator[Path_]:
    if path:
        yield path
    if isinstance(value, dict):
        for key, item in value.items():
            yield from paths(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from paths(item, (*path, index))


def at(value: object, path: Path_) -> object:
    for part in path:
        value = value[part]  # type: ignore[index]  # the path was taken from it
    return value


def changed(whole: dict[str, object], path: Path_, new: object) -> dict[str, object]:
    result = copy.deepcopy(whole)
    holder = at(result, path[:-1])
    if new is GONE:
        del holder[path[-1]]  # type: ignore[attr-defined]  # a mapping or a list
    else:
        holder[path[-1]] = new  # type: ignore[index]
    return result


def changes(whole: dict[str, object], section: str) -> Iterator[tuple[Path_, object]]:
    for path in paths({section: whole[section]}):
        here = at(whole, path)
        for new in (*REPLACEMENTS, GONE):
            yield path, new
        if isinstance(here, str | int | float):
            yield path, [here]
        elif isinstance(here, list) and here:
            yield path, here[0]
        elif isinstance(here, dict):
            yield (*path, "zzz"), 1


def said_by_check(whole: dict[str, object]) -> list[str]:
    data = json.dumps(whole, ensure_ascii=False).encode()  # which is YAML

    def read(path: Path) -> bytes:
        if path.name == "x.yaml":
            return b"{}"
        return data if path.name == FILE.name else path.read_bytes()

    try:
        load(FILE, provider_types=TYPES, environment={}, read=read, not_yet=())
    except ConfigError as error:
        return [diagnostic.message for diagnostic in error.diagnostics if diagnostic.severity == "error"]
    return []


SECTIONS = tuple(document())


@pytest.mark.long
@pytest.mark.parametrize("section", SECTIONS)
def test_an_editor_and_check_judge_alike(section: str) -> None:
    whole = document_around(section)
    schema = json_schema(TYPES, not_yet=())
    properties = cast("dict[str, object]", schema["properties"])
    validator = Draft7Validator({"definitions": schema["definitions"], "properties": {section: properties[section]}})
    lax, strict = [], []
    for path, new in changes(whole, section):
        mutant = changed(whole, path, new)
        said = [message for message in said_by_check(mutant) if "there is no such file" not in message]
        flagged = [error.message for error in validator.iter_errors({k: v for k, v in mutant.items() if k == section})]
        where = f"{'.'.join(map(str, path))} = {'gone' if new is GONE else repr(new)}"
        if flagged and not said:
            strict.append(f"{where}: {flagged[0][:80]}")
        elif said and not flagged and not all(ONLY_CHECK.search(message) for message in said):
            lax.append(f"{where}: {said[0]}")
    assert strict == [], "the schema refuses what check accepts"
    assert lax == [], "check refuses what the schema accepts"


def test_what_is_changed_is_valid() -> None:
    assert [message for message in said_by_check(document()) if "there is no such file" not in message] == []
    assert list(Draft7Validator(json_schema(TYPES, not_yet=())).iter_errors(document())) == []
