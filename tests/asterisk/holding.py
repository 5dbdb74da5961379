"""A telephone that calls, puts the far side on hold as soon as it has answered, takes it back and hangs up.

SIPp, because baresip breaks when it is told the next thing before the PBX has answered the one before.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from pbx import Pbx
from sipp import Sipp, sipp

_HEADERS = """\
    {via}
    From: <sip:100@[local_ip]:[local_port]>;tag=[pid]holds[call_number]
    To: <sip:1000@[remote_ip]:[remote_port]>{tag}
    Call-ID: [call_id]
    CSeq: [cseq] {method}
    Contact: <sip:100@[local_ip]:[local_port]>
    Max-Forwards: 70"""
_BODY = """\
    Content-Type: application/sdp
    Content-Length: [len]

    v=0
    o=- 1 [cseq] IN IP4 [local_ip]
    s=-
    c=IN IP4 [media_ip]
    t=0 0
    m=audio [media_port] RTP/AVP 0
    a=rtpmap:0 PCMU/8000
    a={direction}
"""
_OWN_VIA = "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]"
_PROVISIONAL = "".join(f'  <recv response="{status}" optional="true"/>\n' for status in (100, 180, 183))


def _request(method: str, direction: str = "", *, via: str = _OWN_VIA, first: bool = False) -> str:
    """A request of the dialogue; with a direction it offers media that way."""
    headers = _HEADERS.format(method=method, via=via, tag="" if first else "[peer_tag_param]")
    end = _BODY.format(direction=direction) if direction else "    Content-Length: 0\n"
    retransmitted = "" if method == "ACK" else ' retrans="500"'
    line = f"    {method} sip:1000@[remote_ip]:[remote_port] SIP/2.0"
    return f"  <send{retransmitted}><![CDATA[\n{line}\n{headers}\n{end}\n  ]]></send>\n"


def _offer(step: int, direction: str) -> str:
    """An INVITE until it is acknowledged; while the PBX has not done with the one before (491) it is sent again."""
    again, answered = 2 * step, 2 * step + 1
    return (
        f'  <label id="{again}"/>\n{_request("INVITE", direction, first=step == 0)}{_PROVISIONAL}'
        f'  <recv response="200" optional="true" next="{answered}"/>\n  <recv response="491"/>\n'
        f'{_request("ACK", via="[last_Via:]")}  <pause milliseconds="200" next="{again}"/>\n'
        f'  <label id="{answered}"/>\n{_request("ACK")}'
    )


SCENARIO = f"""\
<?xml version="1.0" encoding="ISO-8859-1"?>
<scenario name="holds">
{_offer(0, "sendrecv")}{_offer(1, "sendonly")}{_offer(2, "sendrecv")}{_request("BYE")}  <recv response="200"/>
</scenario>
"""


@contextlib.asynccontextmanager
async def holding(pbx: Pbx) -> AsyncIterator[Sipp]:
    """Calls extension 1000 as user 100."""
    async with sipp(pbx, SCENARIO, "-m", "1", f"127.0.0.1:{pbx.sip_port}") as telephone:
        yield telephone
