"""What `check` says of `outbound:`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.api.running_server import write_config
from voxtrad.config.diagnostics import ConfigError
from voxtrad.config.loader import load
from voxtrad.providers.registry import provider_types

PBX = 'asterisk: {url: "http://127.0.0.1:8088", username: voxtrad, password: secret-enough}'


@pytest.mark.parametrize(
    ("top", "allow", "warned"),
    [
        (PBX, '["+44", "2"]', []),
        ("", '["+44"]', ["nobody carries these calls: there is no PBX"]),
        (PBX, '"*"', ["any number of the world may be called, premium ones too"]),
    ],
)
def test_warnings(tmp_path: Path, top: str, allow: str, warned: list[str]) -> None:
    outbound = f'outbound: {{endpoint: "Local/{{number}}@from-voxtrad", allow: {allow}}}'
    loaded = load(write_config(tmp_path, top=top, more=outbound), provider_types=provider_types())
    assert [warning.message for warning in loaded.warnings if warning.path.startswith("outbound")] == warned


@pytest.mark.parametrize(
    ("outbound", "said"),
    [
        ('{endpoint: "Local/{number}@out", allow: [+44 20]}', "must be the beginning of a number"),
        ('{endpoint: "Local/100@out", allow: ["+44"]}', "must hold '{number}' once"),
        ('{endpoint: "Local/{number}@out"}', "allow"),
        ('{endpoint: "Local/{number}@out", allow: ["+44"], limits: {per_day: 0}}', "per_day"),
    ],
)
def test_errors(tmp_path: Path, outbound: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        load(write_config(tmp_path, top=PBX, more=f"outbound: {outbound}"), provider_types=provider_types())
    assert said in str(error.value)
