"""The scalar types of the YAML language that say where something is on a network: addresses, hosts, ports, URLs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

from voxtrad.config.types import Matching, editor_form, read_text


class Address(str):
    """`host:port`, with the host in brackets where it is IPv6."""

    @property
    def host(self) -> str:
        return self.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        return int(self.rpartition(":")[2])


def _address(value: str) -> Address:
    address = Address(value)
    if address.port > 65535:
        raise PydanticCustomError("address", "must be an address and a port, and ports end at 65535")
    return address


_PORT = r"([0-9]{1,4}|[0-5][0-9]{4}|6([0-4][0-9]{3}|5([0-4][0-9]{2}|5([0-2][0-9]|3[0-5]))))"
_ADDRESS = r"^(\[[0-9A-Fa-f:.%\w]+\]|[^\s:/@\[\]]+)"

AddressText = Annotated[
    str,
    BeforeValidator(read_text),
    Matching(_ADDRESS + r":[0-9]{1,5}$", "an address and a port, like 127.0.0.1:8090"),
    AfterValidator(_address),
    editor_form(f"{_ADDRESS}:{_PORT}$", "must be an address and a port, like 127.0.0.1:8090"),
]
"""`host:port`; the value is an `Address`."""


_PORTS = re.compile(r"([0-9]{1,5})-([0-9]{1,5})")


@dataclass(frozen=True, slots=True)
class PortRange:
    """The first port and the last, both included."""

    first: int
    last: int

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"

    @property
    def calls(self) -> int:
        """How many it has room for: the odd ports are RTCP's."""
        return self.last // 2 - (self.first - 1) // 2


def _ports(value: object) -> object:
    if isinstance(value, PortRange):
        return value
    found = _PORTS.fullmatch(str.__str__(value).strip()) if isinstance(value, str) else None
    if not found or not 1 <= int(found[1]) < int(found[2]) <= 65535:
        raise PydanticCustomError("ports", "must be a range of ports, like 20000-20999")
    return PortRange(int(found[1]), int(found[2]))


Ports = Annotated[
    PortRange,
    BeforeValidator(_ports),
    PlainSerializer(str),
    WithJsonSchema({"type": "string", "pattern": f"^{_PORTS.pattern}$"}),
]
"""A range of ports, of two at least."""


def _ip(value: str) -> str:
    try:
        return str(ip_address(value))
    except ValueError:
        raise PydanticCustomError("ip", "must be an IP address, like 192.0.2.10") from None


IpText = Annotated[
    str,
    BeforeValidator(read_text),
    Matching(r"^[0-9A-Fa-f:.%\w]+$", "an IP address, like 192.0.2.10"),
    AfterValidator(_ip),
    editor_form(
        r"^([0-9]{1,3}(\.[0-9]{1,3}){3}|[0-9A-Fa-f]*:[0-9A-Fa-f:.]*(%\w+)?)$", "must be an IP address, like 192.0.2.10"
    ),
]
"""An address of this machine or another; IPv6 without brackets."""

HostText = Annotated[
    str,
    BeforeValidator(read_text),
    Matching(r"^([^\s:/@\[\]]+|[0-9A-Fa-f]*:[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*)$", "a host without a port, like 192.0.2.10"),
]
"""A name or an IP address; IPv6 without brackets."""


# --- URLs -------------------------------------------------------------------------------------------------------------


def check_url(value: str) -> str:
    """Whether what a regular expression takes for a URL has a host, and a port that is one."""
    try:
        parts = urlsplit(value)
        host = parts.hostname
    except ValueError:  # an IPv6 address without its bracket
        host = None
    if not host:
        raise PydanticCustomError("url", "must be a URL with a host, like http://host:8000/path")
    try:
        usable = parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise PydanticCustomError("url", "must be a URL whose port is a number from 1 to 65535")
    return value


URL_WITH_HOST = AfterValidator(check_url)

HttpUrl = Annotated[
    str,
    BeforeValidator(read_text),
    Matching(r"^https?://[^\s/?#{}]+([/?#]\S*)?$", "a URL that begins with http:// or https://"),
    URL_WITH_HOST,
]
"""An http:// or https:// URL, as text."""
