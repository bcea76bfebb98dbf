"""ICMP with real packets under a policy that drops all it can: IPv6 still works, errors of our connections arrive."""

import os
import socket
import struct

import firewall_lab
import firewall_shop
import pytest
from firewall_lab import checksum, sh, with_checksum

from sentinel import process
from sentinel.firewall import apply
from sentinel.firewall.apply import Confirm

pytestmark = pytest.mark.netns
CLOSED = "default: {inbound: drop, outbound: drop}\ninbound:\n  - {allow: tcp/443}\n"
OUT = "outbound:\n  - {allow: udp/9999}\n"
PING = "  - {allow: ping, rate: 1/second burst 3 per source}\n"


@pytest.fixture
def shop(spaces, tmp_path):
    found = firewall_shop.Shop(spaces, tmp_path)
    with spaces.inside(found.host):
        sh("ip -6 addr add fd90::1/64 dev shop0 nodad")
    with spaces.inside(found.client):
        sh("ip -6 addr add fd90::2/64 dev c0 nodad\nip -6 addr add fd90::3/64 dev c0 nodad")
    with spaces.inside(found.host):
        apply.apply(found.policy(CLOSED + PING + OUT), found.state, found.ledger, confirm=Confirm.NOW)
        sh("ip neigh flush dev shop0")
        yield found
    found.state.close()


@pytest.fixture(params=[("10.90.0.1", "10.90.0.2", "10.90.0.3"), ("fd90::1", "fd90::2", "fd90::3")])
def addresses(request):
    """The host's, a client's and another one of that client."""
    return request.param


def packed(address):
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


def family_of(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def too_big(here, peer, ports, mtu):
    """What a router says about a packet from `here` to `peer`: RFC 792 (with RFC 1191), RFC 4443."""
    udp = struct.pack(">HHHH", *ports, 1_480, 0)
    if ":" in here:
        quoted = struct.pack(">IHBB", 6 << 28, 8, 17, 64) + packed(here) + packed(peer) + udp
        body = struct.pack(">BBHI", 2, 0, 0, mtu) + quoted
        return with_checksum("icmpv6", body, packed(peer), packed(here))
    head = struct.pack(">BBHHHBBH", 0x45, 0, 1_500, 1, 0x4000, 64, 17, 0) + packed(here) + packed(peer)
    quoted = head[:10] + struct.pack(">H", checksum(head)) + head[12:] + udp
    return with_checksum("icmp", struct.pack(">BBHHH", 3, 4, 0, 0, mtu) + quoted, b"", b"")


def send(shop, source, here, message):
    family, kind = (
        (socket.AF_INET6, socket.IPPROTO_ICMPV6) if ":" in here else (socket.AF_INET, socket.IPPROTO_ICMP)
    )
    with shop.spaces.inside(shop.client), socket.socket(family, socket.SOCK_RAW, kind) as raw:
        raw.bind((source, 0))
        raw.sendto(message, (here, 0))


def route(peer):
    return process.run(["ip", "route", "get", peer]).stdout.decode()


def test_both_families_connect(shop, addresses):
    """For IPv6 this takes neighbour discovery in both directions."""
    here, there, _ = addresses
    with socket.create_server((here, 443), family=family_of(here)), shop.spaces.inside(shop.client):
        socket.create_connection((here, 443), 5, (there, 0)).close()


def test_path_mtu_is_learned_for_own_traffic_only(shop, addresses):
    here, there, other = addresses
    with socket.socket(family_of(here), socket.SOCK_DGRAM) as one:
        one.bind((here, 5_000))
        one.sendto(b"out", (there, 9_999))
        send(shop, other, here, too_big(here, other, (5_000, 9_999), 1_300))  # nothing was sent there
        send(shop, there, here, too_big(here, there, (5_000, 9_999), 1_400))
        assert firewall_shop.wait_for(lambda: "mtu 1400" in route(there), 3)
        assert "mtu" not in route(other)
        firewall_lab.nft("delete table inet sentinel")  # what would be learned without it
        send(shop, other, here, too_big(here, other, (5_000, 9_999), 1_300))
        assert firewall_shop.wait_for(lambda: "mtu 1300" in route(other), 3)


def test_pings_are_answered_within_their_limit(shop):
    for here, source, kind, protocol in (
        ("10.90.0.1", "10.90.0.2", 8, "icmp"),
        ("fd90::1", "fd90::2", 128, "icmpv6"),
    ):
        answers = pings(shop, here, source, kind, protocol, 20)
        assert 3 <= answers <= 6, protocol


def pings(shop, here, source, kind, protocol, count):
    family = socket.AF_INET6 if protocol == "icmpv6" else socket.AF_INET
    number = firewall_lab.PROTOCOLS[protocol]
    with shop.spaces.inside(shop.client), socket.socket(family, socket.SOCK_RAW, number) as raw:
        raw.bind((source, 0))
        raw.settimeout(0.5)
        for sequence in range(count):
            body = struct.pack(">BBHHH", kind, 0, 0, os.getpid() & 0xFFFF, sequence)
            raw.sendto(with_checksum(protocol, body, packed(source), packed(here)), (here, 0))
        return sum(1 for data in received(raw) if answer_type(data, protocol) == (0 if kind == 8 else 129))


def received(raw):
    while True:
        try:
            yield raw.recv(2_000)
        except TimeoutError:
            return


def answer_type(data, protocol):
    return data[20] if protocol == "icmp" else data[0]
