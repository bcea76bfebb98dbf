"""DNS names: both families, TTL within bounds, the last answer kept; against a small real DNS server."""

import socket
import struct
import threading

import pytest

from sentinel.firewall import names

SECOND = 1_000_000_000


def encoded(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


class Zone:
    """Answers A and AAAA over UDP from a table; an unknown name is SERVFAIL."""

    def __init__(self, records, ttl):
        self.records, self.ttl = records, ttl
        self.aliases = {}  # name -> (its target, TTL of the CNAME)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                query, peer = self.socket.recvfrom(512)
            except OSError:
                return
            if query == b"stop":
                return
            labels, at = [], 12
            while query[at]:
                labels.append(query[at + 1 : at + 1 + query[at]].decode())
                at += 1 + query[at]
            kind = struct.unpack(">H", query[at + 1 : at + 3])[0]
            name = ".".join(labels).lower()
            alias, alias_ttl = self.aliases.get(name, (name, 0))
            found = self.records.get((alias, kind))
            question = query[12 : at + 5]
            flags = 0x8180 if found is not None else 0x8182
            owner = b"\xc0\x0c" if alias == name else encoded(alias)
            answers = b"".join(
                owner + struct.pack(">HHIH", kind, 1, self.ttl, len(data)) + data for data in found or []
            )
            if alias != name:
                answers = struct.pack(">HHHIH", 0xC00C, 5, 1, alias_ttl, len(owner)) + owner + answers
            count = len(found or []) + (alias != name)
            head = query[:2] + struct.pack(">HHHHH", flags, 1, count, 0, 0)
            self.socket.sendto(head + question + answers, peer)

    def close(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
            one.sendto(b"stop", ("127.0.0.1", self.port))
        self.socket.close()


@pytest.fixture
def zone():
    v6 = socket.inet_pton(socket.AF_INET6, "2001:db8::5")
    found = Zone(
        {
            ("api.pay.example", 1): [bytes([203, 0, 113, 5])],
            ("api.pay.example", 28): [v6],
            ("four.example", 1): [bytes([192, 0, 2, 4])],
            ("four.example", 28): [],
        },
        77,
    )
    yield found
    found.close()


def test_asks_for_both_families(zone):
    resolve = names.dns("127.0.0.1", zone.port)
    assert resolve("api.pay.example") == (["203.0.113.5", "2001:db8::5"], 77)
    assert resolve("four.example") == (["192.0.2.4"], 77)
    with pytest.raises(OSError, match="broken"):
        resolve("broken.example")


def scripted(*answers):
    waiting = list(answers)

    def resolve(name):
        answer = waiting.pop(0)
        if answer is None:
            raise OSError("no answer")
        return answer

    return resolve


def test_keeps_the_last_answer_and_tells_its_age(state):
    found = names.Names(state, ["a.example"], scripted((["192.0.2.1"], 60), None))
    assert found.refresh(0)
    assert not found.refresh(59 * SECOND)  # not due
    assert not found.refresh(61 * SECOND)  # failed: nothing changes
    assert names.known(state) == {"a.example": ("192.0.2.1",)}
    assert names.ages(state, ["a.example"], 100 * SECOND) == {
        "a.example": None
    }  # resolved at 0 is "never" to the clock of this test


def test_a_zero_ttl_is_bounded_and_a_pool_is_collected(state):
    found = names.Names(
        state, ["a.example"], scripted((["192.0.2.1"], 0), (["192.0.2.2"], 0), (["192.0.2.3"], 0))
    )
    start = 1_000 * SECOND
    assert found.refresh(start)
    assert not found.refresh(start + 29 * SECOND)
    assert found.refresh(start + 30 * SECOND)
    assert found.answers()["a.example"] == ("192.0.2.1", "192.0.2.2")
    assert found.refresh(start + 640 * SECOND)  # the first two were last seen too long ago
    assert found.answers()["a.example"] == ("192.0.2.3",)
    assert names.ages(state, ["a.example"], start + 650 * SECOND) == {"a.example": 10}


def test_an_absurd_answer_is_bounded(state):
    many = [f"192.0.{i // 250}.{i % 250}" for i in range(5_000)]
    found = names.Names(state, ["a.example"], scripted((many, 60)))
    found.refresh(SECOND)
    assert len(found.answers()["a.example"]) == names.MOST_ADDRESSES


def test_answers_of_another_policy_are_kept_for_a_rollback(state):
    names.Names(state, ["a.example"], scripted((["192.0.2.1"], 60))).refresh(SECOND)
    names.Names(state, ["b.example"], scripted((["192.0.2.2"], 60))).refresh(SECOND)
    assert names.known(state) == {"a.example": ("192.0.2.1",), "b.example": ("192.0.2.2",)}


def test_answers_are_bounded(state, monkeypatch):
    monkeypatch.setattr(names, "MOST_NAMES", 3)
    for number in range(5):
        names.Names(state, [f"n{number}.example"], scripted((["192.0.2.1"], 60))).refresh(
            (number + 1) * SECOND
        )
    assert sorted(names.known(state)) == ["n2.example", "n3.example", "n4.example"]


def test_the_shortest_ttl_of_a_chain_of_aliases_counts(zone):
    zone.aliases = {"www.shop.example": ("api.pay.example", 9)}
    assert names.dns("127.0.0.1", zone.port)("www.shop.example") == (["203.0.113.5", "2001:db8::5"], 9)


def test_survives_a_restart(state):
    names.Names(state, ["a.example"], scripted((["192.0.2.1"], 60))).refresh(SECOND)
    again = names.Names(state, ["a.example"], scripted())
    assert not again.refresh(2 * SECOND)
    assert again.answers() == {"a.example": ("192.0.2.1",)}
