"""Addresses that voxtrad never talks to, whoever wrote them: link-local ones and those of cloud metadata services, in
every spelling. Pure decisions, no look-ups; `check` asks for what was written, `outbound` for what a name stands for.

Sources: RFC 4291 (mapped), 3056 (6to4), 4380 (Teredo), 5214 (ISATAP), 6052 and 8215 (NAT64), 2765 (translated).
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from unicodedata import normalize

IPAddress = IPv4Address | IPv6Address

_METADATA4 = frozenset(map(IPv4Address, ("169.254.169.254", "100.100.100.200", "168.63.129.16", "192.0.0.192")))
_METADATA6 = frozenset(map(IPv6Address, ("fd00:ec2::254", "fd20:ce::254")))
_METADATA_NAMES = frozenset(
    ("metadata.google.internal", "metadata.goog", "instance-data.ec2.internal", "metadata.tencentyun.com")
)
"""What the clouds' own name servers lead there."""
NAT64 = IPv6Network("64:ff9b::/96")
LOCAL_NAT64 = IPv6Network("64:ff9b:1::/48")
_ISATAP = frozenset((0x00005EFE, 0x02005EFE))
_IPV4_IN_LOW_BITS = (IPv6Network("::/96"), IPv6Network("::ffff:0:0/96"), IPv6Network("::ffff:0:0:0/96"), NAT64)


def is_never_asked(host: str) -> bool:
    """Whether a host of a URL is or names such an address, as far as can be told without a look-up."""
    host = normalize("NFKC", host).replace("\u3002", ".").rstrip(".").lower()
    address = _numeric(host)
    return host in _METADATA_NAMES if address is None else any(map(is_never_asked_address, spellings(address)))


def _numeric(host: str) -> IPAddress | None:
    """The address that resolvers read from a host without asking anybody: `2852039166` and `0xa9.0xfe.43518` too."""
    try:
        return ip_address(host)
    except ValueError:
        pass
    try:
        return IPv4Address(socket.inet_aton(host))
    except (OSError, UnicodeError, ValueError):
        return None


def is_never_asked_address(address: IPAddress) -> bool:
    """Of one spelling."""
    if address.is_link_local:
        return True
    if isinstance(address, IPv4Address):
        return address in _METADATA4
    # An operator's own NAT64 prefix cannot be known; it mostly ends in the plain IPv4 address.
    return address in _METADATA6 or IPv4Address(int(address) & 0xFFFFFFFF) in _METADATA4


def spellings(address: IPAddress) -> Iterator[IPAddress]:
    """The address, and each IPv4 address that a translator or tunnel on the way would read out of it."""
    if isinstance(address, IPv4Address):
        yield address
        return
    bits = int(address)
    address = IPv6Address(bits)  # without its scope id, which only says by which interface
    if address.ipv4_mapped is None:  # a mapped address is nothing but its IPv4 address
        yield address
    if any(address in network for network in _IPV4_IN_LOW_BITS) or bits >> 32 & 0xFFFFFFFF in _ISATAP:
        yield IPv4Address(bits & 0xFFFFFFFF)
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield from address.teredo
    if address in LOCAL_NAT64:  # RFC 6052: the IPv4 address follows a prefix of any of these lengths
        yield IPv4Address(bits & 0xFFFFFFFF)
        without_octet_8 = bits >> 64 << 56 | bits & (1 << 56) - 1
        for prefix in (48, 56, 64):
            yield IPv4Address(without_octet_8 >> (120 - prefix - 32) & 0xFFFFFFFF)
