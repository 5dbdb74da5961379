"""The lines an administrator pastes into Asterisk's configuration: the ARI user and the dialplan.

README, `voxtrad doctor` and the tests take them from here, so that what is documented is what is tested.
"""

from __future__ import annotations

RETURNS = "voxtrad-returns"
"""An extension that marks a context as one that comes back: `transfer_conf` has it, and a context of one's own may."""
RETURNED = "VOXTRAD_RETURNED"
"""The channel variable in which such a context tells why it comes back: a `DIALSTATUS`, or `DECLINED`."""


def http_conf(port: int = 8088, address: str = "127.0.0.1") -> str:
    """`/etc/asterisk/http.conf`: ARI, its events and the media websockets all go through this one port.

    Asterisk's own limit is 100 sessions, and the media of each call takes one.
    """
    return f"[general]\nenabled = yes\nbindaddr = {address}\nbindport = {port}\nsessionlimit = 1000\n"


def ari_conf(username: str = "voxtrad", password: str = "CHANGE-ME") -> str:
    """`/etc/asterisk/ari.conf`."""
    return f"[general]\nenabled = yes\n\n[{username}]\ntype = user\nread_only = no\npassword = {password}\n"


def extensions_conf(extension: str = "1000", app: str = "voxtrad", context: str = "from-internal") -> str:
    """`/etc/asterisk/extensions.conf` (on FreePBX `extensions_custom.conf`).

    `VOXTRAD_STATUS` tells how voxtrad gave the call back: empty when the conversation ended as it should, `BUSY` when
    there was no room for it, `FAILED` when something broke, `UNROUTED` when no route matched, `REJECTED` when the
    lookup did not want it. `STASISSTATUS` is `FAILED` when no server is connected.
    """
    return f"""\
[{context}]
exten => {extension},1,NoOp(voxtrad)
 same => n,Stasis({app})
 same => n,GotoIf($["${{STASISSTATUS}}" = "FAILED"]?failed)
 same => n,GotoIf($["${{VOXTRAD_STATUS}}" = "BUSY"]?busy)
 same => n,GotoIf($["${{VOXTRAD_STATUS}}" != ""]?failed)
 same => n,Hangup()
 same => n(busy),Busy(20)
 same => n,Hangup()
 same => n(failed),Congestion(10)   ; or: Dial(Local/200@from-internal)
 same => n,Hangup()
"""


def transfer_conf(app: str = "voxtrad", context: str = "from-internal", seconds: int = 25) -> str:
    """A context for `continue` destinations that calls an extension and, when nobody takes the call, comes back.

    The same conversation goes on then: `reception: {continue: {context: voxtrad-transfer, extension: "200"}}`.
    """
    return f"""\
[voxtrad-transfer]
exten => {RETURNS},1,NoOp(voxtrad waits for who comes back from here)
exten => _[0-9*#+]!,1,Dial(Local/${{EXTEN}}@{context},{seconds})
 same => n,Set({RETURNED}=${{IF($["${{HANGUPCAUSE}}" = "21"]?DECLINED:${{DIALSTATUS}})}})
 same => n,Stasis({app})
 same => n,GotoIf($["${{STASISSTATUS}}" = "FAILED"]?failed)
 same => n,GotoIf($["${{VOXTRAD_STATUS}}" = "FAILED"]?failed)
 same => n,Hangup()
 same => n(failed),Congestion(10)
 same => n,Hangup()
"""


def outbound_conf(to: str = "PJSIP/${EXTEN}@trunk", context: str = "from-voxtrad", seconds: int = 60) -> str:
    """A context of its own for calls that voxtrad makes: `outbound: {endpoint: "Local/{number}@from-voxtrad", …}`.

    What this context does not dial cannot be reached, whatever anybody asks for. How it ended is told to voxtrad by the
    hang-up cause: 17 busy, 19 no answer.
    """
    lines = f"""\
,1,Dial({to},{seconds})
 same => n,ExecIf($["${{DIALSTATUS}}" = "BUSY"]?Hangup(17))
 same => n,ExecIf($["${{DIALSTATUS}}" = "NOANSWER"]?Hangup(19))
 same => n,Hangup(${{HANGUPCAUSE}})
"""
    return f"[{context}]\nexten => _+X!{lines}exten => _X!{lines}"
