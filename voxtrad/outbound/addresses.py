"""Which network addresses voxtrad may be made to talk to: pure decisions, no look-ups.

A host that an administrator wrote may be private, as most back-ends are; one that arrives while calls run must be
public. Link-local and cloud metadata addresses are refused for both, however they are spelled in IPv6: which those are,
`config.addresses` says. Sources: IANA special-purpose address registries.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Literal

from voxtrad.config.addresses import LOCAL_NAT64, NAT64, is_never_asked_address, spellings

Trust = Literal["configured", "public"]
"""Where an address came from: `configured` by the administrator, or at run time, when it must be `public`."""

# What older Pythons of one minor version still call global.
_NOT_PUBLIC4 = tuple(map(IPv4Network, ("192.0.0.0/24", "192.88.99.0/24", "100.64.0.0/10")))
_NOT_PUBLIC6 = (LOCAL_NAT64, *map(IPv6Network, ("100::/64", "2001:db8::/32", "3fff::/20", "5f00::/16", "fec0::/10")))


def refusal(address: str, trust: Trust) -> str | None:
    """Why voxtrad must not connect to this numeric address (with or without an IPv6 scope id); None when it may."""
    try:
        spelled = list(spellings(ip_address(address)))
    except ValueError:
        return "is not an IP address"
    if any(map(is_never_asked_address, spelled)):
        return "is a link-local or metadata address"
    if trust == "public" and not all(map(_public, spelled)):
        return "is not a public address"
    return None


def _public(address: IPv4Address | IPv6Address) -> bool:
    if not address.is_global or address.is_multicast or (address.is_reserved and address not in NAT64):
        return False
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC4)
    return not any(address in network for network in _NOT_PUBLIC6)
