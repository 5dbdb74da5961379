"""docker-compose.yml and what it mounts: valid by the specification's schema, pinned, hardened, wired to each other.

`compose-spec.json` is the schema of the compose specification as of compose-go 2.9.1 (Apache-2.0). The long lane has
docker compose itself read the file (tests/containers/build.sh).
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from voxtrad.config.loader import load
from voxtrad.config.models import Config
from voxtrad.providers.registry import provider_types
from voxtrad.telephony.asterisk import paste

ROOT = Path(__file__).parents[3]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, Any] = COMPOSE["services"]
ETC = ROOT / "deploy/asterisk/etc"
_REFERENCE = re.compile(r"(?<!\$)\$\{(\w+)(?::-([^}]*))?\}")
NAMES = list(SERVICES)


def resolved(value: str, **environment: str) -> str:
    """As compose does it, with what is not set taken from the default."""
    return _REFERENCE.sub(lambda found: environment.get(found[1]) or found[2] or "", value)


def configuration(monkeypatch: pytest.MonkeyPatch, stack: str = "voxtrad") -> Config:
    """What voxtrad loads inside its container."""
    for name, value in SERVICES["voxtrad"]["environment"].items():
        if value is not None:
            monkeypatch.setenv(name, resolved(value))
    return load(ROOT / f"deploy/compose/{stack}.yaml", provider_types=provider_types()).config


def test_it_is_valid_by_the_specification() -> None:
    schema = json.loads(Path(__file__).with_name("compose-spec.json").read_text(encoding="utf-8"))
    jsonschema.Draft7Validator(schema).validate(COMPOSE)


def test_what_starts_without_a_profile_needs_no_pbx_and_no_model() -> None:
    profiles = {name: service.get("profiles", []) for name, service in SERVICES.items()}
    assert [name for name, wanted in profiles.items() if not wanted] == ["voxtrad", "orders"]
    assert {profile for wanted in profiles.values() for profile in wanted} == {"pbx", "monitoring", "local"}


@pytest.mark.parametrize("name", NAMES)
def test_each_service_is_pinned_and_without_rights(name: str) -> None:
    service = SERVICES[name]
    assert re.search(r":v?\d+\.\d+\.\d+[\w.-]*$", service["image"]), service["image"]
    assert service["cap_drop"] == ["ALL"] and service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is (name != "speech")
    assert "privileged" not in service and service.get("network_mode") is None


@pytest.mark.parametrize("name", NAMES)
def test_each_is_published_on_this_machine_only(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        assert resolved(port).startswith("127.0.0.1:")


@pytest.mark.parametrize("name", NAMES)
def test_what_is_mounted_is_in_a_clean_clone(name: str) -> None:
    for volume in SERVICES[name].get("volumes", []):
        source, target, *options = volume.split(":")
        if source.startswith("."):
            assert (ROOT / source).is_dir() and any((ROOT / source).iterdir()), source
            assert options == ["ro"], target
        else:
            assert source in COMPOSE["volumes"]


@pytest.mark.parametrize("dockerfile", [ROOT / "Dockerfile", ROOT / "deploy/asterisk/Dockerfile"])
def test_base_images_are_pinned_and_what_is_copied_exists(dockerfile: Path) -> None:
    text = dockerfile.read_text(encoding="utf-8")
    bases = re.findall(r"^ARG BASE=(\S+)", text, re.MULTILINE)
    assert len(bases) == 1 and re.search(r":(3\.\d+\.\d+|forky-\d{8})-slim", bases[0])
    assert set(re.findall(r"^FROM (\S+)", text, re.MULTILINE)) == {"${BASE}"}
    for sources in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.MULTILINE):
        for source in sources.split():
            assert list(dockerfile.parent.glob(source)), source
    assert "\nUSER " in text and "\nHEALTHCHECK " in text


@pytest.mark.parametrize("stack", ["voxtrad", "local"])
def test_the_configurations_are_valid_and_wired(monkeypatch: pytest.MonkeyPatch, stack: str) -> None:
    config = configuration(monkeypatch, stack)
    assert config.server.tokens == "auto"
    assert config.server.listen == "0.0.0.0:8090"
    assert config.asterisk is not None and config.asterisk.url == "http://asterisk:8088"
    assert config.agents["support"].tools == ("lookup_order", "end_call")
    hosts = {
        config.asterisk.url,
        *re.findall(r"https?://\w+", str(config.tools)),
        *re.findall(r"http://\w+:", str(config.providers)),
    }
    for host in hosts:
        assert re.split(r"[/:]+", host)[1] in SERVICES, host


def test_callers_are_given_the_time_to_finish(monkeypatch: pytest.MonkeyPatch) -> None:
    minutes, seconds = re.fullmatch(r"(\d+)m(\d+)s", SERVICES["voxtrad"]["stop_grace_period"]).groups()  # type: ignore[union-attr]  # no match fails the test
    assert int(minutes) * 60 + int(seconds) > configuration(monkeypatch).server.drain_timeout


def test_every_setting_is_explained_and_every_explained_one_is_used() -> None:
    text = (ROOT / "deploy/compose/env.example").read_text(encoding="utf-8")
    explained = set(re.findall(r"^#([A-Z_]+)=", text, re.MULTILINE))
    for line in text.splitlines():
        assert not line or line.startswith("#"), "nothing is in effect in the example"
    used = {name for name, _ in _REFERENCE.findall((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))}
    used |= {name for name, value in SERVICES["voxtrad"]["environment"].items() if value is None}
    keys = {"OPENAI_API_KEY", "DEEPGRAM_API_KEY", "ELEVENLABS_API_KEY"}  # by the env_file, as agents name them
    assert explained - keys <= used
    assert used - explained == {"VOXTRAD_LOG_LEVEL", "ASTERISK_ARI_APP"}


def test_what_the_containers_configuration_reads_is_what_compose_gives() -> None:
    given = set(SERVICES["voxtrad"]["environment"])
    for file in ("server.yaml", "voxtrad.yaml", "local.yaml"):
        text = (ROOT / "deploy/compose" / file).read_text(encoding="utf-8")
        asked = set(re.findall(r"\$\{env:(\w+)", text))
        assert asked - {"VOXTRAD_LISTEN", "OLLAMA_URL", "SPEECH_URL"} <= given


# --- the PBX of the profile pbx ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "lines"),
    [
        ("http.conf", paste.http_conf(address="0.0.0.0")),
        ("ari.conf", paste.ari_conf(password="voxtrad")),
        ("extensions.conf", paste.extensions_conf()),
        ("extensions.conf", paste.transfer_conf()),
    ],
)
def test_asterisk_has_the_lines_that_administrators_are_told_to_paste(file: str, lines: str) -> None:
    """Where this fails paste.py has changed: put its lines into deploy/asterisk/etc."""
    assert lines in (ETC / file).read_text(encoding="utf-8")


def test_freepbx_is_told_the_same() -> None:
    told = (ROOT / "deploy/freepbx/README.md").read_text(encoding="utf-8")
    assert paste.extensions_conf(extension="s", context="from-ai-agent") in told


def test_asterisk_and_voxtrad_know_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    asterisk = configuration(monkeypatch).asterisk
    assert asterisk is not None
    assert f"[{asterisk.username}]\n" in (ETC / "ari.conf").read_text(encoding="utf-8")
    assert f"Stasis({asterisk.app})" in (ETC / "extensions.conf").read_text(encoding="utf-8")
    for name in ("ASTERISK_ARI_PASSWORD",):
        assert SERVICES["asterisk"]["environment"][name] == SERVICES["voxtrad"]["environment"][name]
    assert (
        resolved(SERVICES["asterisk"]["environment"]["ASTERISK_ARI_PASSWORD"]) == asterisk.password.get_secret_value()
    )


def test_the_ports_for_sound_are_those_that_are_published() -> None:
    rtp = (ETC / "rtp.conf").read_text(encoding="utf-8")
    first, last = re.findall(r"^rtp\w+ = (\d+)", rtp, re.MULTILINE)
    assert resolved(SERVICES["asterisk"]["ports"][1]) == f"127.0.0.1:{first}-{last}:{first}-{last}/udp"
    assert f"{first}-{last}/udp" in (ROOT / "deploy/asterisk/Dockerfile").read_text(encoding="utf-8")


# --- monitoring -------------------------------------------------------------------------------------------------------


def test_grafana_finds_its_dashboards_and_prometheus_its_target() -> None:
    mounts = dict(volume.split(":")[:2] for volume in SERVICES["grafana"]["volumes"])
    (providers,) = (ROOT / "deploy/grafana/provisioning/dashboards").glob("*.yml")
    provider = yaml.safe_load(providers.read_text(encoding="utf-8"))["providers"][0]
    assert provider["options"]["path"] == mounts["./deploy/grafana/dashboards"]
    (sources,) = (ROOT / "deploy/grafana/provisioning/datasources").glob("*.yml")
    assert yaml.safe_load(sources.read_text(encoding="utf-8"))["datasources"][0]["url"] == "http://prometheus:9090"
    scrape = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text(encoding="utf-8"))["scrape_configs"]
    assert scrape[0]["static_configs"][0]["targets"] == ["voxtrad:8090"]


def test_calls_that_voxtrad_makes_reach_the_two_telephones_alone() -> None:
    sections = re.split(
        r"^\[([^]]+)\](?:\(\+\))?$", (ETC / "extensions.conf").read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    within = dict(zip(sections[1::2], sections[2::2], strict=True))
    lines = [line for line in within["from-voxtrad"].splitlines() if line and not line.startswith(";")]
    assert lines == ["include => telephones"]
    assert re.findall(r"^exten => (\S+?),", within["telephones"], flags=re.MULTILINE) == ["_[12]00"]
