"""The trials that the bench runs in full and the tests in small: each returns (passed, one line of figures)."""

import contextlib
import os
import random
import re
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import firewall_lab
from firewall_lab import nft
from firewall_shop import ACTIVE, Shop, daemon, wait_for

from sentinel.errors import FirewallError
from sentinel.firewall import apply, bans, component, kernel, listing, transaction, versions
from sentinel.firewall.apply import Confirm
from sentinel.ledger import Ledger
from sentinel.state import State


def differential(spaces, policies, tuples):
    wrong, total = 0, 0
    lab = firewall_lab.Lab(spaces)
    try:
        for seed in range(policies):
            found = firewall_lab.disagreements(lab, random.Random(1_000 + seed), tuples)
            for one in found:
                print(f"policy {seed}: {one}", file=sys.stderr)
            wrong += len(found)
            total += tuples
    finally:
        lab.close()
    return wrong == 0, f"{total} packets over {policies} policies, {wrong} disagreements (0)"


# --- 3: drift ---------------------------------------------------------------------------------------------------

KEPT_POLICY = """
groups: {office: [198.51.100.0/24, "2001:db8::/32"], partners: [192.0.2.0/25, {address: 203.0.113.0/28, until: 2199-01-01}]}
inbound:
  - {allow: tcp/443}
  - {allow: tcp/22, from: office, log: true}
  - {allow: tcp/5432, from: partners, rate: 100/second}
outbound:
  - {allow: tcp/443, to: partners}
default: {outbound: drop, forward: drop}
failsafe: [{allow: tcp/22, from: office}]
never_ban: [office]
"""
FOREIGN = """table ip foreign {
    set friends { type ipv4_addr; elements = { 192.0.2.1, 192.0.2.2 } }
    chain pre { type filter hook prerouting priority -500; policy accept; ip saddr @friends counter accept; }
}
table inet other { chain c { tcp dport 1 accept; }
}
"""
CHAINS = ("inbound", "outbound", "forward", "bans", "inbound_2")


def drift(spaces, modifications):
    chaos = random.Random(7)
    with tempfile.TemporaryDirectory() as folder:
        shop = Shop(spaces, folder)
        with spaces.inside(shop.host):
            nft(FOREIGN)
            foreign = _foreign()
            shop.policy(KEPT_POLICY)
            keeper = daemon(
                shop
            )  # a process of its own, as in production: it must not wait for our interpreter
            assert wait_for(lambda: versions.find(shop.state, versions.Standing.CURRENT), 20)
            book = bans.Bans(shop.state, shop.ledger, ACTIVE)
            for i in range(20):
                book.add(f"203.0.113.{100 + i}", 3_600 + i * 60, "test")
                book.add(f"2001:db9:{i}::1", 7_200, "test")
            ends = {ban.address: ban.expires for ban in bans.live(shop.state)}
            time.sleep(0.5)
            right = snapshot()
            waited = []
            unrepaired = 0
            for _ in range(modifications):
                modify(chaos)
                started = time.monotonic()
                repaired = wait_for(lambda: snapshot(right) == right, 3.0)
                waited.append(time.monotonic() - started)
                unrepaired += not repaired
            same_bans = ends == {b.address: b.expires for b in bans.live(shop.state)} and _times_match(ends)
            untouched = foreign == _foreign()
            keeper.terminate()
            keeper.wait()
            found = sum(1 for entry in shop.ledger.entries() if entry.action == "firewall.drift")
        shop.state.close()
    p99 = statistics.quantiles(waited, n=100)[98] * 1_000
    median = statistics.median(waited) * 1_000
    passed = not unrepaired and p99 < 250 and same_bans and untouched and found >= modifications
    return passed, (
        f"{modifications} modifications, {modifications - unrepaired} repaired, median {median:.0f} ms,"
        f" p99 {p99:.0f} ms (250), bans {'intact' if same_bans else 'CHANGED'},"
        f" other tables {'identical' if untouched else 'CHANGED'}, {found} in the ledger"
    )


class Running:
    """The component in a thread, as a process would run it."""

    def __init__(self, shop, settings):
        self.stopping = threading.Event()
        self.failure = None
        self.component = component.FirewallComponent(settings, shop.state, shop.ledger)
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        if settings.enforce:
            assert wait_for(lambda: versions.find(shop.state, versions.Standing.CURRENT), 20), self.failure
        time.sleep(0.3)

    def _run(self):
        try:
            self.component.run(self.stopping)
        except Exception as error:
            self.failure = error
            raise

    def stop(self):
        self.stopping.set()
        self.thread.join(10)
        assert self.failure is None


SLOT = re.compile(r"\b(\w+_[46])\.2\b")  # a policy's sets stand under one of two names


def snapshot(like=None):
    """Rules and elements of our table, without what moves by itself; the rules alone where they differ already."""
    found = listing.read(SLOT.sub(r"\1", kernel.listing()))
    if like is not None and found != like[0]:
        return found
    try:
        elements = kernel.all_elements()
    except FirewallError:
        return None
    return found, {
        SLOT.sub(r"\1", name): sorted((e.first, e.last) for e in found) for name, found in elements.items()
    }


def modify(chaos):
    """Some need a rule that its chain does not have: then another one."""
    while True:
        with contextlib.suppress(subprocess.CalledProcessError):
            slot = transaction.slot(listing.read(kernel.listing()))
            nft(re.sub(r"(g_\w+_4|never_ban_4)", rf"\1{slot}", modification(chaos)))
            return


def modification(chaos):
    chain = chaos.choice(CHAINS)
    host = f"{chaos.randint(1, 9)}.{chaos.randint(0, 255)}.{chaos.randint(0, 255)}.{chaos.randint(1, 254)}"
    return chaos.choice(
        [
            lambda: "delete table inet sentinel",
            lambda: f"flush chain inet sentinel {chain}",
            lambda: f"delete rule inet sentinel {chain} handle {chaos.choice(handles(chain))}",
            lambda: f"insert rule inet sentinel {chain} accept",
            lambda: f"add rule inet sentinel {chain} ip saddr {host} accept",
            lambda: f"add chain inet sentinel {chaos.choice(CHAINS[:3])} {{ policy accept; }}",
            lambda: "add chain inet sentinel backdoor",
            lambda: f"add element inet sentinel g_office_4 {{ {host} }}",
            lambda: "delete element inet sentinel g_office_4 { 198.51.100.0/24 }",
            lambda: "flush set inet sentinel g_partners_4",
            lambda: f"delete element inet sentinel ban_4_32 {{ 203.0.113.{100 + chaos.randint(0, 19)} }}",
            lambda: f"add element inet sentinel ban_4_32 {{ {host} timeout 1h }}",
            lambda: f"delete element inet sentinel ban_6_64 {{ 2001:db9:{chaos.randint(0, 19):x}:: }}",
            lambda: "flush set inet sentinel ban_4_32",
            lambda: f"add element inet sentinel never_ban_4 {{ {host} }}",
        ]
    )()


def handles(chain):
    text = subprocess.run(
        ["nft", "-a", "list", "chain", "inet", "sentinel", chain], capture_output=True, check=True, text=True
    ).stdout
    found = [
        line.rsplit("handle ", 1)[1]
        for line in text.splitlines()
        if "# handle" in line and "chain" not in line
    ]
    return found or ["1"]


def _foreign():
    return [
        subprocess.run(["nft", "-a", "list", "table", *name], capture_output=True, check=True).stdout
        for name in (("ip", "foreign"), ("inet", "other"))
    ]


def _times_match(ends):
    listed = kernel.all_elements()
    now = time.time()
    left = sorted(e.expires for name in ("ban_4_32", "ban_6_64") for e in listed[name])
    wanted = sorted(end / 1e9 - now for end in ends.values())
    return len(left) == len(wanted) and all(abs(a - b) < 2 for a, b in zip(left, wanted, strict=True))


# --- 4: lock-out ------------------------------------------------------------------------------------------------

GOOD = """
groups: {admins: [10.90.0.2]}
inbound: [{allow: tcp/22, from: admins}]
failsafe: [{allow: tcp/22, from: admins}]
"""
LOCKOUTS = (
    "default: {inbound: drop, outbound: drop}\n",
    "inbound: [{deny: any}]\n",
    "default: {inbound: reject}\ninbound: [{allow: tcp/443}]\n",
    "inbound: [{deny: tcp/22}, {allow: any}]\ndefault: {outbound: drop}\n",
    "inbound: [{allow: tcp/22, from: 192.0.2.1}]\nfailsafe: [{allow: tcp/22, from: 192.0.2.1}]\n",
    "inbound: [{reject: any, from: 10.0.0.0/8}, {allow: any}]\noutbound: [{deny: any}]\n",
    "inbound: [{allow: tcp/22, interface: eth9}]\n",
    "inbound: [{allow: tcp/22, until: 2020-01-01}]\n",
    "inbound: [{allow: tcp/2-21, from: 10.90.0.2}, {allow: tcp/23, from: 10.90.0.2}]\n",
    "default: {outbound: drop}\ninbound: [{allow: udp/22}]\noutbound: [{reject: tcp/0-65535}]\n",
)
KILLED_APPLY = """
import os, signal, sys
from pathlib import Path
from sentinel.firewall import apply
from sentinel.ledger import Ledger
from sentinel.state import State
path, directory, seconds = sys.argv[1:]
apply.apply(Path(path), State(Path(directory)), Ledger(Path(directory)), confirm_seconds=float(seconds),
            confirm=apply.Confirm.WAIT, force=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def lockouts(spaces, count, seconds=1.0):
    """The daemon runs, the policy is forced in by a process that dies at once by -9, then the daemon dies by -9."""
    back, survived, refused = 0, 0, 0
    with tempfile.TemporaryDirectory() as folder:
        shop = Shop(spaces, folder)
        listener = shop.serve(22)
        with spaces.inside(shop.host):
            apply.apply(shop.policy(GOOD), shop.state, shop.ledger, confirm=Confirm.NOW)
        session = shop.connect(22)
        for number in range(count):
            path = shop.policy(f"# {number}\n" + LOCKOUTS[number % len(LOCKOUTS)], "bad.yml")
            refused += _refuses(shop, path)
            with spaces.inside(shop.host):
                guard = daemon(shop)
                died = subprocess.run(
                    [sys.executable, "-c", KILLED_APPLY, str(path), str(shop.folder / "state"), str(seconds)],
                    check=False,
                )
                assert died.returncode == -signal.SIGKILL
                guard.kill()
                guard.wait()
            assert not shop.reaches(22, seconds=0.2), "the policy was no lock-out"
            survived += _alive(session)
            back += wait_for(lambda: shop.reaches(22, seconds=0.3), seconds + 5)
            wait_for(lambda: not versions.find(shop.state, versions.Standing.PENDING), 5)
            survived -= not _alive(session)
        standing = [version.standing for version in versions.history(shop.state)]
        rolled = standing.count(versions.Standing.ROLLED_BACK)
        session.close()
        listener.close()
        shop.state.close()
    passed = back == survived == rolled == refused == count
    return passed, (
        f"{count} lock-out policies: plan refused {refused}, forced in and killed -9: access returned {back},"
        f" admin session survived {survived}, rolled back {rolled} ({count})"
    )


def _refuses(shop, path):
    with shop.spaces.inside(shop.host):
        try:
            apply.apply(path, shop.state, shop.ledger, confirm=Confirm.WAIT)
        except FirewallError as error:
            return "failsafe" in str(error)
    return False


def _alive(session):
    try:
        session.settimeout(2)
        session.sendall(b"still there?")
        return session.recv(100) == b"still there?"
    except OSError:
        return False


# --- 5: size ----------------------------------------------------------------------------------------------------


def size(spaces, count):
    with tempfile.TemporaryDirectory() as folder:
        shop = Shop(spaces, folder)
        numbers = random.Random(3).sample(range(1 << 22), count)
        entries = [f"{10 + (n >> 22)}.{n >> 14 & 255}.{n >> 6 & 255}.{(n & 63) << 2}/31" for n in numbers]
        (shop.folder / "allow.txt").write_text("\n".join(entries))
        now = time.time_ns()
        hour = 3_600_000_000_000
        with shop.state.write() as connection:
            connection.executemany(
                "INSERT INTO ban (address, added, expires, reason, rule_id, level) VALUES (?, ?, ?, '', '', 0)",
                ((f"20.{i >> 16 & 255}.{i >> 8 & 255}.{i & 255}", now, now + hour) for i in range(count)),
            )
        path = shop.policy("groups: {many: ['file:allow.txt']}\ninbound: [{allow: tcp/443, from: many}]\n")
        plain_script = shop.folder / "plain.nft"
        plain_script.write_text(_plain(entries, count))
        plains, ours = [], []
        for _ in range(5):  # taken in turns, so that the machine's other work weighs on both alike
            plains.append(_timed(spaces, shop, ["nft", "-f", str(plain_script)]))
            ours.append(
                _timed(spaces, shop, [sys.executable, __file__, str(path), str(shop.folder / "state")])
            )
        shop.state.close()
    plain, own = (min(one[0] for one in found) for found in (plains, ours))
    inner = min(one[2] for one in ours)
    memory = max(one[1] for one in ours)
    ratio = inner / plain
    return ratio <= 1.5, (
        f"{count} entries + {count} bans: apply {inner:.2f} s (whole process {own:.2f} s), nft -f {plain:.2f} s,"
        f" ratio {ratio:.2f} (1.5); peak memory {memory / 1024:.0f} MiB, nft {max(one[1] for one in plains) / 1024:.0f} MiB"
    )


def _timed(spaces, shop, argv):
    """Seconds, peak KiB (of it or its largest child), seconds it says itself; in a fresh namespace."""
    with spaces.inside(spaces.new()):
        started = time.monotonic()
        child = subprocess.Popen(argv, stdout=subprocess.PIPE)
        said = child.stdout.read().split()
        child.stdout.close()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        assert child.returncode == 0
        seconds = time.monotonic() - started
    return (
        seconds,
        max(usage.ru_maxrss, int(said[1])) if said else usage.ru_maxrss,
        float(said[0]) if said else seconds,
    )


def _plain(entries, count):
    banned = ",\n".join(f"20.{i >> 16 & 255}.{i >> 8 & 255}.{i & 255} timeout 3600s" for i in range(count))
    many = ",\n".join(entries)
    return (
        "table inet sentinel {\n set many { type ipv4_addr; flags interval; elements = {\n"
        + many
        + "\n}\n}\n"
        " set banned { type ipv4_addr; flags timeout; counter; elements = {\n" + banned + "\n}\n}\n"
        " chain inbound { type filter hook input priority 0; policy drop;\n ip saddr @banned drop\n"
        " ip saddr @many tcp dport 443 accept\n }\n}\n"
    )


def apply_main(path, directory):
    state = State(Path(directory))
    started = time.monotonic()
    apply.apply(Path(path), state, Ledger(Path(directory)), confirm=Confirm.NOW)
    seconds = time.monotonic() - started
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(seconds, peak)


# --- 6: until ---------------------------------------------------------------------------------------------------


def until(spaces):
    """A rule, a group's entry and a ban that end in a moment; nothing of Sentinel runs meanwhile."""
    with tempfile.TemporaryDirectory() as folder:
        shop = Shop(spaces, folder)
        listeners = [shop.serve(port) for port in (1001, 1002, 1003)]
        end = int(time.time()) + 4
        text = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(end))
        path = shop.policy(
            f"groups: {{guests: [{{address: 10.90.0.2, until: {text}}}]}}\n"
            f"inbound:\n  - {{allow: tcp/1001, until: {text}}}\n  - {{allow: tcp/1002, from: guests}}\n  - {{allow: tcp/1003}}\n"
        )
        with spaces.inside(shop.host):
            apply.apply(path, shop.state, shop.ledger, confirm=Confirm.NOW)
            bans.Bans(shop.state, shop.ledger, ACTIVE).add("10.90.0.3", end - time.time())
        open_before = [shop.reaches(1001), shop.reaches(1002), not shop.reaches(1003, "10.90.0.3", 0.3)]
        time.sleep(max(0, end - 0.7 - time.time()))
        still = [shop.reaches(1001, seconds=0.2), shop.reaches(1002, seconds=0.2)]
        time.sleep(max(0, end + 0.3 - time.time()))
        after = [
            shop.reaches(1001, seconds=0.3),
            shop.reaches(1002, seconds=0.3),
            not shop.reaches(1003, "10.90.0.3", 0.3),
        ]
        with spaces.inside(shop.host):
            left = [kernel.elements(name) for name in ("until_inbound_1", "g_guests_4", "ban_4_32")]
        for listener in listeners:
            listener.close()
        shop.state.close()
    passed = all(open_before) and all(still) and not any(after) and not any(left)
    return (
        passed,
        f"before {open_before}, 0.7 s before the end {still}, 0.3 s after {after}, elements left {left}",
    )


if __name__ == "__main__":
    apply_main(*sys.argv[1:])
