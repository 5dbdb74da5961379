"""The unit file: hardened, and patient with callers."""

from __future__ import annotations

import re
from pathlib import Path

from voxtrad.cli.main import COMMANDS
from voxtrad.config.server import ServerConfig

UNIT = Path(__file__).parents[3] / "deploy/systemd/voxtrad.service"


def settings(section: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    here = ""
    for line in UNIT.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            here = line.strip("[]")
        elif here == section and "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


def test_it_runs_as_nobody_in_particular_and_may_do_little() -> None:
    service = settings("Service")
    hardened = """DynamicUser PrivateTmp PrivateDevices PrivateUsers ProtectHome ProtectClock ProtectControlGroups
        ProtectHostname ProtectKernelLogs ProtectKernelModules ProtectKernelTunables NoNewPrivileges LockPersonality
        MemoryDenyWriteExecute RemoveIPC RestrictNamespaces RestrictRealtime RestrictSUIDSGID""".split()
    for key in hardened:
        assert service[key] == ["yes"], key
    assert service["ProtectSystem"] == ["strict"]
    assert service["CapabilityBoundingSet"] == [""]
    assert service["SystemCallFilter"] == ["@system-service", "~@privileged"]
    assert service["StateDirectoryMode"] == ["0700"] and service["UMask"] == ["0077"]


def test_it_lets_callers_finish_before_it_is_killed() -> None:
    service = settings("Service")
    assert int(service["TimeoutStopSec"][0]) > ServerConfig.model_fields["drain_timeout"].default
    assert service["KillMode"] == ["mixed"], "the recognisers must outlive the first SIGTERM"
    assert service["ExecReload"] == ["/bin/kill -HUP $MAINPID"]


def test_its_commands_are_voxtrads() -> None:
    service = settings("Service")
    commands = [line.split() for key in ("ExecStartPre", "ExecStart") for line in service[key]]
    assert [words[0] for words in commands] == ["/opt/voxtrad/bin/voxtrad"] * 2
    assert {words[1] for words in commands} <= {command.name for command in COMMANDS}
    names = {value.partition("=")[0] for value in service["Environment"]}
    assert names == {"VOXTRAD_CONFIG", "VOXTRAD_DATA_DIR"}
    assert re.fullmatch(r"VOXTRAD_DATA_DIR=/var/lib/voxtrad", service["Environment"][1])
    assert service["StateDirectory"] == ["voxtrad"]
