"""The chart's values and names. The long lane renders it and reads it into Kubernetes' own types (tests/containers)."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

import voxtrad
from voxtrad.cli.main import COMMANDS
from voxtrad.config.loader import load
from voxtrad.providers.registry import provider_types

CHART = Path(__file__).parents[3] / "deploy/helm/voxtrad"
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
SCHEMA = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
TEMPLATES = "".join(file.read_text(encoding="utf-8") for file in sorted((CHART / "templates").iterdir()))


def wrong(**changed: Any) -> list[str]:
    validator = jsonschema.Draft7Validator(SCHEMA)
    return [error.message for error in validator.iter_errors({**VALUES, **changed})]


def test_the_values_are_what_their_schema_says() -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    assert wrong() == []
    others = yaml.safe_load((CHART.parents[2] / "tests/containers/helm/all.yaml").read_text(encoding="utf-8"))
    assert wrong(**{key: others[key] for key in others if key not in ("image", "persistence", "apiToken")}) == []


@pytest.mark.parametrize(
    "changed",
    [
        {"replicas": 0}, {"replica": 2}, {"asterisk": {"url": "http://pbx", "username": "a", "secret": {"name": "a"}}},
        {"files": {}}, {"files": {"voxtrad.yaml": "version: 1"}}, {"files": {"../x.yaml": ""}}, {"drainSeconds": "5m"},
    ],
)  # fmt: skip
def test_wrong_values_are_refused_before_anything_is_installed(changed: dict[str, Any]) -> None:
    assert wrong(**changed)


def test_every_value_is_used_and_every_used_one_exists() -> None:
    used = set(re.findall(r"\.Values\.([\w.]+)", TEMPLATES))
    for path in used:
        value: Any = VALUES
        for part in path.split("."):
            value = value[part]
    assert {path.partition(".")[0] for path in used} == set(VALUES)
    assert set(VALUES) | {"global"} == set(SCHEMA["properties"])


def test_versions_and_commands_are_voxtrads() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert chart["appVersion"] == voxtrad.__version__
    commands = re.findall(r"command: \[voxtrad, (\w+)\]", TEMPLATES)
    assert commands == ["drain"]
    assert "drain" in {command.name for command in COMMANDS}


def test_each_replica_has_an_application_and_a_volume_of_its_own() -> None:
    assert "app: ${env:POD_NAME}" in TEMPLATES
    assert "kind: StatefulSet" in TEMPLATES and "volumeClaimTemplates:" in TEMPLATES
    assert "terminationGracePeriodSeconds: {{ add .Values.drainSeconds 30 }}" in TEMPLATES


def test_the_default_files_are_a_valid_configuration(tmp_path: Path) -> None:
    for name, text in VALUES["files"].items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    main = tmp_path / "voxtrad.yaml"
    main.write_text(f"include: [{', '.join(VALUES['files'])}]\n", encoding="utf-8")
    assert "support" in load(main, provider_types=provider_types()).config.agents
