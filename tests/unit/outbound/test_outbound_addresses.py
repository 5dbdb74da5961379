"""Which addresses voxtrad may be made to talk to."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxtrad.config.addresses import is_never_asked
from voxtrad.outbound.addresses import refusal


def spellings(address: str) -> list[str]:
    """An IPv4 address in all the IPv6 forms that a stack, translator or tunnel would read it out of."""
    v4 = int(IPv4Address(address))
    high, low = v4 >> 16, v4 & 0xFFFF
    return [
        f"::ffff:{address}",
        f"::{address}",
        f"::ffff:0:{address}",
        f"2002:{high:x}:{low:x}::1",
        str(IPv6Address(0x20010000 << 96 | 0x01010101 << 64 | (v4 ^ 0xFFFFFFFF))),  # Teredo client
        str(IPv6Address(0x20010000 << 96 | v4 << 64 | (0x01010101 ^ 0xFFFFFFFF))),  # Teredo server
        f"2a00::5efe:{address}",
        f"2a00::200:5efe:{address}",
        f"64:ff9b::{address}",
        f"64:ff9b:1::{address}",
        f"64:ff9b:1:{high:x}:{low >> 8:x}:{(low & 0xFF) << 8:x}::",  # a /48 prefix
        str(IPv6Address(0x0064FF9B0001AB << 72 | (v4 >> 24) << 64 | (v4 & 0xFFFFFF) << 32)),  # a /56 prefix
        str(IPv6Address(0x0064FF9B0001ABCD << 64 | v4 << 24)),  # a /64 prefix
    ]


METADATA = ["169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16", "192.0.0.192"]


@pytest.mark.parametrize("trust", ["configured", "public"])
@pytest.mark.parametrize(
    "address",
    [
        *METADATA,
        "169.254.0.1",
        *(spelled for address in METADATA for spelled in spellings(address)),
        "fe80::1",
        "fe80::1%eth0",
        "fe80::1%1",
        "febf::1",
        "fd00:ec2::254",
        "fd00:ec2::254%lo",
        "fd20:ce::254",
        "::ffff:169.254.169.254%2",
        "2a00:1234:5678::a9fe:a9fe",  # behind an operator's own NAT64 prefix
        "not an address",
        "",
        "2852039166",
        "0xa9fea9fe",
    ],
)
def test_refused_whoever_asks(address: str, trust: str) -> None:
    assert refusal(address, trust)  # type: ignore[arg-type]  # parametrized literals


PRIVATE = ["127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "0.0.0.0"]


@pytest.mark.parametrize(
    "address",
    [
        *PRIVATE,
        *(spelled for address in PRIVATE for spelled in spellings(address)),
        "192.0.2.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fc00::1",
        "fd12:3456::1",
        "fec0::1",
        "ff02::1",
        "2001:db8::1",
        "64:ff9b:1::808:808",
    ],
)
def test_refused_for_what_arrives_at_run_time(address: str) -> None:
    assert refusal(address, "public") == "is not a public address"


@pytest.mark.parametrize("address", [*PRIVATE, "::1", "fd12:3456::1", "::ffff:10.0.0.1", "8.8.8.8", "2a00:1450::8a"])
def test_the_administrator_may_name_private_hosts(address: str) -> None:
    assert refusal(address, "configured") is None


@pytest.mark.parametrize("address", ["8.8.8.8", "2a00:1450:4001::8a", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_public_addresses_are_free(address: str) -> None:
    assert refusal(address, "public") is None


@settings(deadline=None)
@given(address=st.ip_addresses(), scope=st.sampled_from(["", "%1", "%eth0"]))
def test_run_time_trust_is_never_wider(address: IPv4Address | IPv6Address, scope: str) -> None:
    text = f"{address}{scope if address.version == 6 else ''}"
    if refusal(text, "public") is None:
        assert refusal(text, "configured") is None
        assert not address.is_private
        assert not address.is_multicast


@settings(deadline=None)
@given(address=st.ip_addresses(v=4).filter(lambda ip: not ip.is_global).map(str))
def test_no_spelling_makes_a_private_address_public(address: str) -> None:
    assert all(refusal(spelled, "public") for spelled in spellings(address))


@settings(deadline=None)
@given(text=st.text())
def test_what_is_no_address_is_refused(text: str) -> None:
    try:
        ip_address(text)
    except ValueError:
        assert refusal(text, "configured") == "is not an IP address"


@pytest.mark.parametrize(
    "host",
    [
        *METADATA,
        *(spelled for address in METADATA for spelled in spellings(address)),
        "fe80::1%eth0",
        "fe80::1%25eth0",
        "fd00:ec2::254",
        "2852039166",
        "0xa9fea9fe",
        "0251.0376.0251.0376",
        "169.254.43518",
        "\uff11\uff16\uff19.254.169.254",
        "169\u3002254.169.254",
        "metadata.google.internal",
        "Metadata.Google.Internal.",
    ],
)
def test_check_refuses_what_would_never_be_connected_to(host: str) -> None:
    assert is_never_asked(host)


@pytest.mark.parametrize(
    "host", ["", "crm", "metadata", "localhost", "127.0.0.1", "10.0.0.1", "::1", "x" * 300, "\u00e4.\u00e4", "."]
)
def test_check_leaves_all_others_to_the_look_up(host: str) -> None:
    assert not is_never_asked(host)


@given(address=st.ip_addresses())
@settings(deadline=None)
def test_check_and_connecting_judge_alike(address: IPv4Address | IPv6Address) -> None:
    assert is_never_asked(str(address)) is (refusal(str(address), "configured") is not None)
