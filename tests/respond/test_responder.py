import ipaddress
import json
import threading

import pytest
from waiting import until

from sentinel.capture.settings import LogFile
from sentinel.config import BlastSettings, ResponseSettings
from sentinel.errors import InvalidInputError
from sentinel.ledger import Ledger
from sentinel.respond.blast import BlastRadius
from sentinel.respond.responder import Outcome, Responder
from sentinel.yamlfile import parse


def eve(address="192.0.2.7", level="high", rule="r1", second=0):
    return {
        "timestamp": f"2026-03-02T08:00:{second:02d}.000000+0000",
        "event_type": "alert",
        "src_ip": address,
        "alert": {"rule_id": rule, "level": level, "signature": "something bad"},
    }


def responder(state, settings=None, journals=(), bans=None, **more):
    bans = [] if bans is None else bans
    return Responder(
        settings or ResponseSettings(), journals, state, lambda *ban: bans.append(ban), **{"own": ()} | more
    )


@pytest.mark.parametrize(
    ("alert", "outcome"),
    [
        (eve(), Outcome.ASKED),
        (eve(level="critical"), Outcome.ASKED),
        (eve(level="medium"), Outcome.BELOW),
        (eve(level="no such level"), Outcome.BELOW),
        (eve(address="198.51.100.9"), Outcome.NEVER),
        (eve(address="2001:db8:1::5"), Outcome.NEVER),
        (eve(address="::ffff:198.51.100.9"), Outcome.NEVER),
        (eve(address="127.0.0.1"), Outcome.NEVER),
        (eve(address="shop.example"), Outcome.NO_ADDRESS),
        ({"event_type": "alert", "alert": "text", "src_ip": 5}, Outcome.BELOW),
    ],
)
def test_decisions(state, alert, outcome):
    settings = ResponseSettings(never_ban=["198.51.100.0/24", "2001:db8:1::/48"])

    assert responder(state, settings).decide(alert).outcome is outcome


def test_this_hosts_own_address_is_never_banned(state):
    """A rule on the shop's answers has the shop as its source."""
    asked = responder(state, own={ipaddress.ip_address("198.51.100.7")})
    assert asked.decide(eve(address="198.51.100.7")).outcome is Outcome.NEVER


def test_the_same_address_and_rule_asks_once_a_minute(state):
    one = responder(state)

    assert one.decide(eve(second=0)).outcome is Outcome.ASKED
    assert one.decide(eve(second=50)).outcome is Outcome.REPEATED
    assert one.decide(eve(second=50, rule="r2")).outcome is Outcome.ASKED
    assert one.decide(eve(second=50, address="192.0.2.8")).outcome is Outcome.ASKED
    later = eve() | {"timestamp": "2026-03-02T08:01:01.000000+0000"}
    assert one.decide(later).outcome is Outcome.ASKED


def test_a_never_ban_entry_that_is_no_network_is_an_error_with_its_line():
    with pytest.raises(InvalidInputError) as caught:
        parse("minimum_level: high\nnever_ban:\n  - 10.0.0.0/8\n  - office\n", ResponseSettings, "s.yml")

    assert "'office' is no address, network or DNS name" in str(caught.value)


def shop_log(path, address, sessions, orders=0, status=200, pages=3):
    """So many visitors that each see some pages; the first of them order."""
    line = '{} - {} [02/Mar/2026:07:5{}:00 +0000] "{} HTTP/1.1" {} 5 "-" "Browser {}"\n'
    lines = [
        line.format(address, "-", page, f"GET /p/{page}", status, i)
        for i in range(sessions)
        for page in range(pages)
    ]
    lines += [line.format(address, "-", 9, "POST /checkout", 302, i) for i in range(orders)]
    path.write_text("".join(lines))


@pytest.mark.parametrize(
    ("sessions", "orders", "status", "spared"),
    [
        (21, 2, 200, True),
        (20, 2, 200, False),
        (200, 1, 200, False),  # sessions alone are had for the asking
        (4, 4, 200, True),
        (3, 3, 200, False),
        (50, 50, 404, False),
    ],
)
def test_an_address_with_many_customers_behind_it_is_spared(
    state, tmp_path, sessions, orders, status, spared
):
    log = tmp_path / "access.log"
    shop_log(log, "192.0.2.7", sessions, orders, status)
    blast = BlastRadius(BlastSettings(), [LogFile(path=str(log), format="nginx-access")])

    decision = responder(state, blast=blast).decide(eve())

    assert decision.outcome is (Outcome.SPARED if spared else Outcome.ASKED)
    assert decision.seen.sessions == (sessions if status == 200 else 0)


REQUEST = '192.0.2.7 - {} [02/Mar/2026:08:00:00 +0000] "{} HTTP/1.1" {} 5 "-" "{}" "{}"\n'


def seen_behind(tmp_path, lines):
    log = tmp_path / "access.log"
    log.write_text("".join(lines))
    form = (
        '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent '
        '"$http_referer" "$http_user_agent" "$http_cookie"'
    )
    return BlastRadius(BlastSettings(), [LogFile(path=str(log), format=form)]).behind("192.0.2.7")


def test_a_client_that_changes_its_name_or_its_cookie_with_every_request_is_not_a_crowd(tmp_path):
    agents = [REQUEST.format("-", f"GET /p/{i}", 200, f"Browser {i}", "-") for i in range(500)]
    cookies = [REQUEST.format("-", f"GET /p/{i}", 200, "curl", f"PHPSESSID={i:x}") for i in range(500)]
    orders = [REQUEST.format("-", "POST /checkout", 302, f"Browser {i}", "-") for i in range(500)]
    seen = seen_behind(tmp_path, agents + cookies + orders)
    assert (seen.sessions, seen.orders, seen.too_many) == (0, 0, False)


def test_one_client_that_orders_again_and_again_orders_once(tmp_path):
    lines = [REQUEST.format("-", "POST /checkout", 302, "Browser", "sid=1")] * 50
    seen = seen_behind(tmp_path, lines)
    assert (seen.sessions, seen.orders, seen.too_many) == (1, 1, False)


def test_who_probes_is_no_customer(tmp_path):
    lines = [REQUEST.format("-", "POST /checkout", 302, f"Browser {i % 9}", "-") for i in range(90)]
    lines += [REQUEST.format("-", "GET /.env", 404, f"Browser {i % 9}", "-") for i in range(90)]
    assert not seen_behind(tmp_path, lines).too_many


def test_a_name_counts_where_the_page_had_asked_for_one(tmp_path):
    unasked = [REQUEST.format(f"user{i}", "GET /", 200, "curl", "-") for i in range(9)]
    assert seen_behind(tmp_path, unasked).accounts == 0
    asked = [REQUEST.format("-", "GET /admin/", 401, "Browser", "-")]
    asked += [REQUEST.format(f"user{i}", "GET /admin/orders?page=2", 200, "Browser", "-") for i in range(9)]
    seen = seen_behind(tmp_path, asked)
    assert (seen.accounts, seen.too_many) == (9, True)


def test_other_addresses_and_old_lines_do_not_count(state, tmp_path):
    log = tmp_path / "access.log"
    shop_log(log, "192.0.2.77", 30)
    old = '192.0.2.7 - - [02/Mar/2026:05:00:00 +0000] "GET / HTTP/1.1" 200 5 "-" "Browser {}"\n'
    with log.open("a") as file:
        file.writelines(old.format(i) for i in range(30))
        file.write('192.0.2.7 - - [02/Mar/2026:08:00:00 +0000] "GET / HTTP/1.1" 200 5 "-" "Only one"\n' * 3)
    blast = BlastRadius(BlastSettings(), [LogFile(path=str(log), format="nginx-access")])

    assert blast.behind("192.0.2.7").sessions == 1


def test_ipv6_neighbours_in_the_same_64_count_together(tmp_path):
    log = tmp_path / "access.log"
    line = '2001:db8:17:b4::{:x} - - [02/Mar/2026:08:00:00 +0000] "GET / HTTP/1.1" 200 5 "-" "Phone {}"\n'
    order = line.replace("GET /", "POST /orders")
    log.write_text(
        "".join(line.format(i + 1, i) * 3 for i in range(25)) + order.format(1, 0) + order.format(2, 1)
    )
    blast = BlastRadius(BlastSettings(), [LogFile(path=str(log), format="nginx-access")])

    seen = blast.behind("2001:db8:17:b4::ffff")

    assert (seen.sessions, seen.too_many) == (25, True)


def run_until(one, done):
    stop = threading.Event()
    thread = threading.Thread(target=one.run, args=(stop,))
    thread.start()
    try:
        until(done)
    finally:
        stop.set()
        thread.join()
    return done()


def test_follows_the_journal_and_goes_on_after_a_restart(state, tmp_path):
    journal = tmp_path / "logs.jsonl"
    journal.touch()
    bans = []
    one = responder(state, journals=[journal], bans=bans)

    def append(address):
        with journal.open("a") as file:
            file.write("not json\n" + json.dumps(eve(address)) + "\n")

    append("192.0.2.1")  # there before the first start: history, not news
    stop = threading.Event()
    started = threading.Thread(target=one.run, args=(stop,))
    started.start()
    until(lambda: state.checkpoint(f"respond:{journal}") is not None)
    append("192.0.2.2")
    until(lambda: bans)
    stop.set()
    started.join()
    append("192.0.2.3")

    assert run_until(responder(state, journals=[journal], bans=bans), lambda: len(bans) == 2)
    assert bans == [("192.0.2.2", None, "something bad", "r1"), ("192.0.2.3", None, "something bad", "r1")]


def test_a_spared_address_is_written_to_the_ledger(state, tmp_path):
    log = tmp_path / "access.log"
    shop_log(log, "192.0.2.7", 40, 2)
    ledger = Ledger(tmp_path)
    blast = BlastRadius(BlastSettings(), [LogFile(path=str(log), format="nginx-access")])
    journal = tmp_path / "network.jsonl"
    journal.touch()
    state.save_checkpoint(f"respond:{journal}", {"device": 0, "inode": 0})
    journal.write_text(json.dumps(eve()) + "\n")
    bans = []
    one = responder(state, journals=[journal], bans=bans, blast=blast, ledger=ledger)

    assert run_until(one, lambda: one.status()["spared"] == 1)
    assert bans == []
    entry = (tmp_path / "ledger.jsonl").read_text()
    assert "respond.spared" in entry
    assert '"sessions":40' in entry.replace(" ", "")


def test_preview_bans_nobody(state, tmp_path):
    journal = tmp_path / "logs.jsonl"
    journal.write_text("".join(json.dumps(eve(f"192.0.2.{i}")) + "\n" for i in range(5)))
    bans = []

    decisions = list(responder(state, bans=bans).preview([journal]))

    assert [one.outcome for one in decisions] == [Outcome.ASKED] * 5
    assert bans == []
