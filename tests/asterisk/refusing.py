"""A far telephone that refuses a call with a status of one's choice, as baresip cannot: SIPp, answering as a UAS."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from pbx import Pbx
from sipp import Sipp, sipp

SCENARIO = """\
<?xml version="1.0" encoding="ISO-8859-1"?>
<scenario name="refuses">
  <recv request="INVITE" crlf="true"><action>
    <ereg regexp=".*" search_in="hdr" header="From:" assign_to="from"/>
    <log message="[$from]"/>
  </action></recv>
  <send><![CDATA[
    SIP/2.0 180 Ringing
    [last_Via:]
    [last_From:]
    [last_To:];tag=[pid]refuses[call_number]
    [last_Call-ID:]
    [last_CSeq:]
    Contact: <sip:[local_ip]:[local_port]>
    Content-Length: 0

  ]]></send>
  <send retrans="500"><![CDATA[
    SIP/2.0 {status}
    [last_Via:]
    [last_From:]
    [last_To:];tag=[pid]refuses[call_number]
    [last_Call-ID:]
    [last_CSeq:]
    Content-Length: 0

  ]]></send>
  <recv request="ACK"/>
</scenario>
"""


@dataclass(frozen=True)
class Refusing:
    """A telephone at `port` that was called, and refused, as often as `shown` has callers."""

    port: int
    log: Path

    def shown(self) -> list[str]:
        """Who called, as the `From` of each call says."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return [line.strip() for line in lines if "sip:" in line]


@contextlib.asynccontextmanager
async def refusing(pbx: Pbx, status: str) -> AsyncIterator[Refusing]:
    """Answers every call with 180 and then `status` (`603 Decline`)."""
    async with sipp(pbx, SCENARIO.format(status=status)) as telephone:
        await _listens(telephone)
        yield Refusing(telephone.port, telephone.log)


async def _listens(telephone: Sipp) -> None:
    """SIPp says nothing when it is ready: its port is taken then."""
    async with asyncio.timeout(10):
        while True:
            telephone.check()
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                try:
                    probe.bind(("127.0.0.1", telephone.port))
                except OSError:
                    return
            await asyncio.sleep(0.02)  # another process, seen from outside
