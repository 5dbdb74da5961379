"""Which network addresses voxtrad may be made to talk to: pure decisions, no look-ups.

A host that an administrator wrote may be private, as most back-ends are; one that arrives while calls run must be
public. Link-local and cloud metadata addresses are refused for both, however they are spelled in IPv6. Sources:
IANA special-purpose address registries; RFC 4291 (mapped), 3056 (6to4), 4380 (Teredo), 5214 (ISATAP), 6052 and 8215
(NAT64), 2765 (translated).
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Literal

Trust = Literal["configured", "public"]
"""Where an address came from: `configured` by the administrator, or at run time, when it must be `public`."""

_METADATA4 = frozenset(map(IPv4Address, ("169.254.169.254", "100.100.100.200", "168.63.129.16", "192.0.0.192")))
_METADATA6 = frozenset(map(IPv6Address, ("fd00:ec2::254", "fd20:ce::254")))
_NAT64 = IPv6Network("64:ff9b::/96")
_LOCAL_NAT64 = IPv6Network("64:ff9b:1::/48")
_ISATAP = frozenset((0x00005EFE, 0x02005EFE))
_IPV4_IN_LOW_BITS = (IPv6Network("::/96"), IPv6Network("::ffff:0:0/96"), IPv6Network("::ffff:0:0:0/96"), _NAT64)
# What older Pythons of one minor version still call global.
_NOT_PUBLIC4 = tuple(map(IPv4Network, ("192.0.0.0/24", "192.88.99.0/24", "100.64.0.0/10")))
_NOT_PUBLIC6 = (_LOCAL_NAT64, *map(IPv6Network, ("100::/64", "2001:db8::/32", "3fff::/20", "5f00::/16", "fec0::/10")))


def refusal(address: str, trust: Trust) -> str | None:
    """Why voxtrad must not connect to this numeric address (with or without an IPv6 scope id); None when it may."""
    try:
        spelled = list(_spellings(ip_address(address)))
    except ValueError:
        return "is not an IP address"
    if any(map(_never, spelled)):
        return "is a link-local or metadata address"
    if trust == "public" and not all(map(_public, spelled)):
        return "is not a public address"
    return None


def _never(address: IPv4Address | IPv6Address) -> bool:
    if address.is_link_local:
        return True
    if isinstance(address, IPv4Address):
        return address in _METADATA4
    # An operator's own NAT64 prefix cannot be known; it mostly ends in the plain IPv4 address.
    return address in _METADATA6 or IPv4Address(int(address) & 0xFFFFFFFF) in _METADATA4


def _public(address: IPv4Address | IPv6Address) -> bool:
    if not address.is_global or address.is_multicast or (address.is_reserved and address not in _NAT64):
        return False
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC4)
    return not any(address in network for network in _NOT_PUBLIC6)


def _spellings(address: IPv4Address | IPv6Address) -> Iterator[IPv4Address | IPv6Address]:
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
    if address in _LOCAL_NAT64:  # RFC 6052: the IPv4 address follows a prefix of any of these lengths
        yield IPv4Address(bits & 0xFFFFFFFF)
        without_octet_8 = bits >> 64 << 56 | bits & (1 << 56) - 1
        for prefix in (48, 56, 64):
            yield IPv4Address(without_octet_8 >> (120 - prefix - 32) & 0xFFFFFFFF)
