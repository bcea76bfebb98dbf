"""Bits and counters between packets, through real conversations."""

from sentinel.detect.datasets import DataSets
from sentinel.detect.reputation import Reputation
from sentinel.detect.state import HOST_LIMIT, Memory
from sentinel.model import Flow, Packet


def test_flowbits_order_and_scope(conversation, fired):
    rules = (
        'alert tcp any any -> any any (content:"first"; flowbits:set,seen; flowbits:noalert; sid:1;)\n'
        'alert tcp any any -> any any (content:"second"; flowbits:isset,seen; sid:2;)\n'
        'alert tcp any any -> any any (content:"second"; flowbits:isnotset,seen; sid:3;)\n'
        'alert tcp any any -> any any (content:"second"; flowbits:isset,other|seen; sid:4;)\n'
    )
    both = conversation(dport=4444).request(b"first").response(b"ok").request(b"second").close()
    alone = conversation(sport=40001, dport=4444).request(b"second").close()
    assert sorted(fired(rules, both)) == [2, 4]
    assert fired(rules, alone) == [3]


def test_flowint_counts(conversation, fired):
    rules = (
        'alert tcp any any -> any any (content:"GO"; flowint:n,+,1; noalert; sid:1;)\n'
        'alert tcp any any -> any any (content:"GO"; flowint:n,==,2; sid:2;)\n'
        'alert tcp any any -> any any (content:"GO"; flowint:n,notset; sid:3;)\n'
    )
    talk = conversation(dport=4444)
    for _ in range(3):
        talk.request(b"GO").response(b"ok")
    assert fired(rules, talk.close()).count(2) <= 1


def memory():
    return Memory(DataSets())


def packet(time=0, src=b"\x0a\0\0\1", dst=b"\x0a\0\0\2"):
    return Packet(1, time, b"", 4, src, dst, 6)


def test_host_bits_expire_and_pairs_have_no_direction():
    here = memory()
    here.change_bits(packet(), "set", ("a",), "ip_pair", 10)
    back = packet(9_000_000_000, src=b"\x0a\0\0\2", dst=b"\x0a\0\0\1")
    assert here.has_bits(back, "isset", ("a",), "ip_pair", 0)
    assert not here.has_bits(packet(11_000_000_000), "isset", ("a",), "ip_pair", 0)
    here.change_bits(packet(), "toggle", ("b",), "ip_src", 0)
    assert here.has_bits(packet(10**18), "isset", ("b",), "ip_src", 0)
    here.change_bits(packet(), "toggle", ("b",), "ip_src", 0)
    assert here.has_bits(packet(), "isnotset", ("b",), "ip_src", 0)


def test_host_table_is_bounded(monkeypatch):
    monkeypatch.setattr("sentinel.detect.state.HOST_LIMIT", 10)
    here = memory()
    for number in range(20):
        here.change_bits(packet(src=bytes([1, 1, 1, number])), "set", ("x",), "ip_src", 0)
    assert not here.has_bits(packet(src=bytes([1, 1, 1, 0])), "isset", ("x",), "ip_src", 0)
    assert here.has_bits(packet(src=bytes([1, 1, 1, 19])), "isset", ("x",), "ip_src", 0)
    assert HOST_LIMIT > 10


def test_captured_variables():
    here, seen = memory(), packet()
    seen.flow = Flow(1, 6, b"", b"", 0, 0, 0, 0)
    here.capture(seen)("flow", "ua", b"curl/8")
    assert here.has_variable(seen, "ua", b"curl")
    assert not here.has_variable(packet(), "ua", b"curl")


def test_reputation_and_country():
    here = Memory(DataSets(), lambda address: {b"\x0a\0\0\1": "DE"}.get(address, ""))
    here.reputation = Reputation({"scanner": 1})
    here.reputation.add("10.0.0.1", 1, 40)
    assert here.has_reputation(packet(), "src", "scanner", ">", 30)
    assert not here.has_reputation(packet(), "dst", "scanner", "isset", 0)
    assert here.has_reputation(packet(), "dst", "scanner", "isnotset", 0)
    assert here.in_country(packet(), "src", False, ("DE", "FR"))
    assert here.in_country(packet(), "any", False, ("DE",))
    assert not here.in_country(packet(), "both", False, ("DE",))
    assert not here.in_country(packet(), "src", True, ("DE",))
