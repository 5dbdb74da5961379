"""Names are free, modules come when asked for, third parties join by entry points."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from voxtrad.providers.registry import BUILT_IN, KINDS, BrokenProvider, provider_types

EVERY = [(kind, name) for kind in KINDS for name in BUILT_IN[kind]]


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_a_built_in_type_is_whole(kind, name):
    found = provider_types()[kind][name]
    assert found.kind == kind
    for model in (found.connection, found.options):
        assert issubclass(model, BaseModel)
        assert model.model_config.get("frozen") and model.model_config.get("extra") == "forbid"
        for field, info in model.model_fields.items():
            assert info.description, f"{model.__name__}.{field} has no description"
        with pytest.raises(ValidationError):
            model.model_validate({"nobody_has_this": 1})
        model.model_json_schema()


def test_listing_imports_no_provider_and_no_provider_module_imports_a_vendor_library():
    code = """
import sys
from voxtrad.providers.registry import provider_types
types = provider_types()
names = [name for kind in types for name in types[kind]]
assert names and not [m for m in sys.modules if m.startswith(("voxtrad.providers.stt.", "voxtrad.providers.llm."))]
for kind in types:
    for name in types[kind]:
        types[kind][name]
heavy = {"openai", "pocketsphinx", "deepgram", "elevenlabs", "anthropic", "onnxruntime", "piper", "httpx", "websockets"}
print(sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_unknown_name_is_a_key_error():
    with pytest.raises(KeyError):
        provider_types()["stt"]["nobody"]


@pytest.fixture
def installed_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A distribution with entry points, installed by standing on the path."""
    (tmp_path / "acme_voice.py").write_text(
        "from voxtrad.providers.base import ProviderType\n"
        "from voxtrad.config.types import ConfigModel\n"
        "from voxtrad.providers.options import Embedded\n"
        "class AcmeOptions(ConfigModel):\n    loud: bool = False\n"
        "PROVIDER = ProviderType(kind='vad', connection=Embedded, options=AcmeOptions, build=lambda n, c, o: n)\n"
        "NONSENSE = 7\n"
    )
    info = tmp_path / "acme_voice-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-voice\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[voxtrad.vad]\nacme = acme_voice:PROVIDER\nwebrtc = acme_voice:PROVIDER\nodd = acme_voice:NONSENSE\n"
        "gone = acme_voice:MISSING\nabsent = acme_absent:PROVIDER\n"
        "[voxtrad.stt]\nacme = acme_voice:PROVIDER\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.usefixtures("installed_package")
def test_a_third_party_adds_a_type_with_its_own_options():
    found = provider_types()["vad"]
    assert "acme" in found
    assert list(found["acme"].options.model_fields) == ["loud"]
    assert "acme_voice" in sys.modules


@pytest.mark.usefixtures("installed_package")
def test_a_built_in_name_cannot_be_taken():
    assert provider_types()["vad"]["webrtc"].options.__module__ == "voxtrad.providers.vad.webrtc"


@pytest.mark.usefixtures("installed_package")
@pytest.mark.parametrize(("kind", "name"), [("vad", "odd"), ("vad", "gone"), ("vad", "absent"), ("stt", "acme")])
def test_a_broken_type_says_who_and_why(kind, name):
    with pytest.raises(BrokenProvider, match=f"{kind} provider '{name}'"):
        provider_types()[kind][name]
