"""Whom a response never bans."""

import ipaddress

import pytest

from sentinel.respond import never
from sentinel.respond.never import NeverBan


class Answers:
    """A resolver whose answers the test sets; `None` is a failed lookup."""

    def __init__(self):
        self.answer, self.asked = (["203.0.113.7", "2001:db8:1:2::7"], 60), 0

    def __call__(self, name):
        assert name == "api.pay.example"
        self.asked += 1
        if self.answer is None:
            raise OSError("no answer")
        return self.answer


@pytest.fixture
def answers():
    return Answers()


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(never.time, "monotonic", lambda: now[0])
    return now


def covers(never_ban, text):
    return never_ban.covers(ipaddress.ip_address(text))


def test_networks_and_the_64_of_an_address(answers):
    one = NeverBan(["198.51.100.0/24", "2001:db8:9:9::1"], answers)
    assert covers(one, "198.51.100.9")
    assert not covers(one, "198.51.101.9")
    assert covers(one, "2001:db8:9:9::ffff"), "banning it would ban the /64 that the protected one is in"
    assert not covers(one, "2001:db8:9:a::1")
    assert answers.asked == 0


def test_names_are_looked_up_again_by_their_ttl(answers, clock):
    one = NeverBan(["api.pay.example"], answers)
    assert covers(one, "203.0.113.7")
    assert covers(one, "2001:db8:1:2::99")
    assert not covers(one, "203.0.113.8")
    assert answers.asked == 1
    clock[0] += 61
    answers.answer = (["203.0.113.8"], 0)
    assert covers(one, "203.0.113.8")
    assert covers(one, "203.0.113.7"), "it stays for a while: round robin"
    clock[0] += never.STAY_SECONDS + 31
    assert not covers(one, "203.0.113.7")


def test_a_failed_lookup_keeps_the_last_answer(answers, clock):
    one = NeverBan(["api.pay.example"], answers)
    assert covers(one, "203.0.113.7")
    answers.answer = None
    clock[0] += 10_000
    assert covers(one, "203.0.113.7")
    asked = answers.asked
    assert covers(one, "203.0.113.7")
    assert answers.asked == asked, "not again at once"
