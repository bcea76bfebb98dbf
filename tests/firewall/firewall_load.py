"""Applying and guarding while connections arrive: no packet wrongly accepted or refused."""

import contextlib
import json
import select
import socket
import statistics
import subprocess
import sys
import tempfile
import time

from firewall_lab import nft
from firewall_shop import Shop, daemon

from sentinel.firewall import apply, netlink
from sentinel.firewall.apply import Confirm


def under_load(spaces, policies, per_second):
    """A port that every policy allows and one that every policy refuses; SYNs sent and answers counted as they come.

    The client sends SYN after SYN from ever new ports without waiting; the host's kernel answers with SYN-ACK where
    it accepts. A connection of the allowed port without an answer was wrongly refused, one of the other with an
    answer wrongly accepted.
    """
    with tempfile.TemporaryDirectory() as folder:
        shop = Shop(spaces, folder)
        with spaces.inside(shop.host), _loading(shop, per_second) as finish:
            for number in range(policies):
                path = shop.policy(_loaded(number), f"p{number}.yml")
                apply.apply(path, shop.state, shop.ledger, confirm=Confirm.NOW)
            result = finish()
        shop.state.close()
    rate = result["sent"] / result["seconds"]
    wrong = result["refused"] + result["resent"] + result["accepted"]
    return not wrong and rate >= per_second * 0.95, (
        f"{policies} policies in {result['seconds']:.1f} s under {rate:.0f} connections/s:"
        f" {result['sent']} made, {result['refused']} wrongly refused, {result['accepted']} wrongly accepted,"
        f" {result['resent']} first packets lost (0, 0, 0)"
    )


@contextlib.contextmanager
def _loading(shop, per_second):
    """The first policy is in, both services listen, the client sends; call what is yielded to end and count."""
    listeners = [shop.serve(443), shop.serve(5432)]
    apply.apply(shop.policy(_loaded(0)), shop.state, shop.ledger, confirm=Confirm.NOW)
    with shop.spaces.inside(shop.client):  # a process of its own: it must not wait for our interpreter
        load = subprocess.Popen(
            [sys.executable, __file__, str(per_second)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
    load.stdout.readline()
    yield lambda: json.loads(load.communicate()[0])
    for listener in listeners:
        listener.close()


def _refilled(burst):
    return any(made.kind == "rule" and not made.deleted for _, changes in burst.commits for made in changes)


def flushes(spaces, count, per_second):
    """Somebody empties the inbound chain or opens its policy while the daemon guards it.

    An emptied chain is closed by its policy until it is repaired: nothing is accepted wrongly, and first packets of
    allowed connections are lost for as long as netlink says that the chain was empty.
    """
    with tempfile.TemporaryDirectory() as folder:
        shop = Shop(spaces, folder)
        with spaces.inside(shop.host), _loading(shop, per_second) as finish:
            events = netlink.Events()
            guard = daemon(shop)
            time.sleep(0.5)
            closed = []
            for _ in range(count):
                events.read()
                nft("flush chain inet sentinel inbound")
                started = time.monotonic()
                while not _refilled(events.read()) and time.monotonic() < started + 10:
                    select.select([events], [], [], 1)
                closed.append(time.monotonic() - started)
                time.sleep(0.05)
            result = finish()
            events.close()
            guard.terminate()
            guard.wait()
        shop.state.close()
    lost = result["resent"] + result["refused"]
    return not result["accepted"] and len(closed) == count, (
        f"{count} flushes of the inbound chain under {per_second} connections/s: {result['accepted']} wrongly accepted (0);"
        f" closed for a median of {statistics.median(closed) * 1_000:.0f} ms, at most {max(closed) * 1_000:.0f} ms,"
        f" {lost} of {result['sent']} first packets had to be sent again"
    )


def _loaded(number):
    extra = "\n".join(
        f"  - {{allow: tcp/{2_000 + number * 7 + i}, from: 10.{(number + i) % 80}.0.0/16}}"
        for i in range(number % 9)
    )
    default = ("drop", "reject", "accept")[number % 3]
    return f"""
default: {{inbound: {default}}}
groups: {{shoppers: [10.90.0.0/16], others: [{number + 1}.0.0.0/16]}}
inbound:
{extra}
  - {{allow: tcp/443, from: [shoppers, others]}}
  - {{deny: tcp/5432}}
"""


def load_main(per_second):
    """In the client's namespace: non-blocking connects at a steady rate until stdin closes; counts as JSON."""
    print("ready", flush=True)
    poll, waiting, counts = select.epoll(), {}, {"sent": 0, "refused": 0, "accepted": 0, "resent": 0}
    started = time.monotonic()
    ending = None
    while ending is None or time.monotonic() < ending:
        now = time.monotonic()
        if ending is None and select.select([sys.stdin], [], [], 0)[0]:
            seconds, ending = now - started, now + 1.5
        due = int((now - started) * per_second) if ending is None else 0
        while counts["sent"] < due:
            counts["sent"] += 1
            port = (443, 5432)[counts["sent"] % 4 == 0]
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(("10.90.0.1", port))
            waiting[one.fileno()] = (one, port, now)
            poll.register(one, select.EPOLLOUT | select.EPOLLERR | select.EPOLLHUP)
        for number, _ in poll.poll(0.002):
            one, port, _ = waiting.pop(number)
            error = one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            _settle(counts, port, error == 0)
            counts["resent"] += port == 443 and not error and _resent(one)
            poll.unregister(number)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            one.close()
        _give_up(waiting, poll, counts, now)
    for one, port, _ in waiting.values():
        _settle(counts, port, False)
        one.close()
    print(json.dumps(counts | {"seconds": seconds}))


def _resent(connection):
    """Was the first SYN lost, and only its retry answered? (tcp_info.tcpi_total_retrans)"""
    return (
        int.from_bytes(
            connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)[100:104], sys.byteorder
        )
        > 0
    )


def _settle(counts, port, connected):
    if port == 443 and not connected:
        counts["refused"] += 1
    if port != 443 and connected:
        counts["accepted"] += 1


def _give_up(waiting, poll, counts, now):
    """A dropped SYN of the forbidden port gets no answer; before its retry at one second it is settled."""
    for number in [
        n for n, (_, port, since) in waiting.items() if now - since > (0.9 if port != 443 else 3.0)
    ]:
        one, port, _ = waiting.pop(number)
        _settle(counts, port, False)
        poll.unregister(number)
        one.close()


# --- packets by the hundred thousand ----------------------------------------------------------------------------

COUNTERS = """table inet probe {
    chain before { type filter hook input priority -50; udp dport { 443, 444 } counter; udp dport 444 counter; }
    chain after { type filter hook input priority 50; udp dport { 443, 444 } counter; udp dport 444 counter; }
    chain unknown { type filter hook prerouting priority -400; udp dport { 443, 444 } notrack; }
}
"""


def switching(spaces, policies, rules):
    """Datagrams as fast as they go, each judged anew, while large policies with other sets take each other's place.

    A thousand connections a second seldom meet the microseconds of a switch; these do. One port is allowed from a
    group, the other is denied from it before everything is allowed: a set that is looked up before its elements are
    there shows in both.
    """
    with tempfile.TemporaryDirectory() as folder:
        shop = Shop(spaces, folder)
        with spaces.inside(shop.host):
            nft(COUNTERS)
            apply.apply(shop.policy(_large(0, rules)), shop.state, shop.ledger, confirm=Confirm.NOW)
            with spaces.inside(shop.client):
                flood = subprocess.Popen([sys.executable, __file__, "flood"])
            for number in range(policies):
                path = shop.policy(_large(number + 1, rules))
                apply.apply(path, shop.state, shop.ledger, confirm=Confirm.NOW)
            flood.kill()
            flood.wait()
            time.sleep(0.2)
            sent, denied, passed, wrong = _counts()
        shop.state.close()
    allowed = sent - denied
    lost = allowed - (passed - wrong)
    return not lost and not wrong and allowed > 1_000 * policies, (
        f"{policies} policies of {rules} rules: of {allowed} allowed datagrams {lost} refused,"
        f" of {denied} denied ones {wrong} accepted (0, 0)"
    )


def _large(number, rules):
    many = ", ".join(f"10.{i // 250}.{i % 250}.0/25" for i in range(rules))
    some = "\n".join(f"  - {{allow: tcp/{1_000 + i}, reason: r{number}}}" for i in range(rules))
    return f"""
groups: {{many: [10.90.0.0/16, {100 + number % 100}.0.0.0/16, {many}]}}
inbound:
  - {{allow: udp/443, from: many}}
  - {{deny: udp/444, from: many}}
{some}
  - {{allow: udp/444}}
"""


def _counts():
    listed = subprocess.run(["nft", "-j", "list", "table", "inet", "probe"], capture_output=True, check=True)
    rules = [item["rule"]["expr"] for item in json.loads(listed.stdout)["nftables"] if "rule" in item]
    return [part["counter"]["packets"] for expr in rules for part in expr if "counter" in part]


def flood_main():
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    while True:
        for port in (443, 443, 443, 444):
            with contextlib.suppress(OSError):  # an ICMP answer to an earlier one
                one.sendto(b"x", ("10.90.0.1", port))


if __name__ == "__main__":
    flood_main() if sys.argv[1] == "flood" else load_main(int(sys.argv[1]))
