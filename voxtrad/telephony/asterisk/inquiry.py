"""Asks a PBX over ARI what it is and has."""

from __future__ import annotations

from collections.abc import Mapping

from voxtrad.telephony.asterisk.ari import Ari, AriError, AriRefused
from voxtrad.telephony.asterisk.facts import MODULES, Facts


async def facts_of(ari: Ari) -> Facts:
    """Raises `AriError`."""
    info = await ari.get("asterisk/info", {"only": "system"})
    system = info.get("system") if isinstance(info, Mapping) else None
    version = system.get("version") if isinstance(system, Mapping) else None
    if not isinstance(version, str):
        raise AriError("Asterisk does not tell its version", hint="load res_ari_asterisk.so")
    modules = {name for name in MODULES if await runs(ari, name)}
    return Facts(version, frozenset(modules))


async def runs(ari: Ari, module: str) -> bool:
    """Whether a module is loaded and running. Raises `AriError`."""
    try:
        answer = await ari.get(f"asterisk/modules/{module}")
    except AriRefused as error:
        if error.status in (404, 409):
            return False
        raise
    return isinstance(answer, Mapping) and answer.get("status") == "Running"
