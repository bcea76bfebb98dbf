"""From lines in a log to bans in a kernel: the real follower, the shipped rules, the journal, the responder, nft."""

import json
import sys
import threading
import time
from pathlib import Path

import pytest
from waiting import until

sys.path.insert(0, str(Path(__file__).parents[1] / "firewall"))

import firewall_lab

from sentinel.config import Config
from sentinel.firewall import apply, kernel
from sentinel.firewall.apply import Confirm
from sentinel.firewall.bans import Bans
from sentinel.ledger import Ledger
from sentinel.outputs import Journal
from sentinel.pipeline import LogWatch
from sentinel.respond import responder
from sentinel.shipped import folder
from sentinel.state import State

pytestmark = pytest.mark.netns
ATTACK = "/p?id=1+union+select+2"  # one rule raises on it, once
PARTNER, CROWD = "198.51.100.44", "198.51.100.66"


def line(address, target, status=200, agent="x"):
    stamp = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime())
    return f'{address} - - [{stamp}] "GET {target} HTTP/1.1" {status} 5 "-" "{agent}"\n'


class Host:
    """One host's log and response planes in threads; `log` is what its web server writes."""

    def __init__(self, directory):
        self.log = directory / "access.log"
        self.log.touch()
        self.config = Config.model_validate(
            {
                "host": "shop-web-1",
                "state_directory": directory / "state",
                "logs": {
                    "rules": [str(folder("rules") / "logs")],
                    "files": [{"path": str(self.log), "format": "nginx-access"}],
                },
                "response": {
                    "bans": {
                        "mode": "active",
                        "duration": 600,
                        "escalate": [600, 7200],
                        "budget_per_minute": 4,
                    },
                    "never_ban": ["api.partner.example"],
                },
            }
        )
        self.state, self.ledger = State(self.config.state), Ledger(self.config.state)
        self.bans = Bans(self.state, self.ledger, self.config.response.bans)
        self.journal = Journal(self.config.journals / "logs.jsonl", host=self.config.host)
        self.watch = LogWatch(self.config.logs, self.state, self.journal)
        self.responder = responder.build(
            self.config, self.state, self.ledger, self.bans.add, lambda name: ([PARTNER], 60)
        )
        self.stop = threading.Event()
        self.threads = []

    def follow(self):
        self.threads.append(threading.Thread(target=self.watch.run, args=(self.stop,)))
        self.threads[-1].start()

    def respond(self, namespace):
        """In the test's network namespace: a thread of Linux has its own."""

        def run():
            with namespace():
                self.responder.run(self.stop)

        self.threads.append(threading.Thread(target=run))
        self.threads[-1].start()

    def write(self, *lines):
        with self.log.open("a") as file:
            file.writelines(lines)

    def close(self):
        self.stop.set()
        for thread in self.threads:
            thread.join()
        self.journal.close()
        self.state.close()


@pytest.fixture
def spaces():
    found = firewall_lab.Spaces()
    yield found
    found.close()


@pytest.fixture
def host(tmp_path, spaces):
    made = Host(tmp_path)
    yield made
    made.close()


def test_attack_lines_become_bans_and_the_spared_are_spared(tmp_path, host, spaces, sentinel):
    space = spaces.new()
    policy = tmp_path / "policy.yml"
    policy.write_text("inbound: [{allow: tcp/80}]\n")
    with spaces.inside(space):
        apply.apply(policy, host.state, host.ledger, confirm=Confirm.NOW)
    host.follow()
    host.respond(lambda: spaces.inside(space))
    until(lambda: host.state.checkpoint(f"respond:{host.journal.path}") is not None, "the responder starts")
    until(lambda: host.watch.status()["files"], "the log is followed")

    host.write(*(line(CROWD, f"/p/{page}", agent=f"Browser {n}") for n in range(25) for page in range(3)))
    host.write(*(line(CROWD, "/orders", agent=f"Browser {n}").replace("GET", "POST") for n in range(2)))
    host.write(
        line("203.0.113.7", ATTACK), line("203.0.113.7", "/"), line("192.0.2.1", "/search?q=union+jack"),
        line("2001:db8:1:2::5", ATTACK), line(PARTNER, ATTACK), line(CROWD, ATTACK),
    )  # fmt: skip
    until(lambda: sum(host.responder.status().values()) >= 4, "four alerts are judged")
    status = host.responder.status()
    assert (status["asked"], status["never_ban"], status["spared"]) == (2, 1, 1)

    with spaces.inside(space):
        listed = {ban.address: ban for ban in host.bans.list()}
        assert set(listed) == {"203.0.113.7", "2001:db8:1:2::/64"}
        assert [element.first for element in kernel.elements("ban_4_32")] == [0xCB007107]
        assert host.bans.remove("203.0.113.7", "a test")
    assert 590 < listed["203.0.113.7"].seconds_left(time.time_ns()) <= 600
    assert "UNION SELECT" in listed["203.0.113.7"].reason

    host.write(line("203.0.113.7", "/p?id=2;drop+table+orders--"))
    with spaces.inside(space):
        until(lambda: "203.0.113.7" in {ban.address for ban in host.bans.list()}, "banned again")
        (again,) = [ban for ban in host.bans.list() if ban.address == "203.0.113.7"]
    assert 7100 < again.seconds_left(time.time_ns()) <= 7200, "the second time is longer"

    host.write(*(line(f"203.0.113.{n}", ATTACK) for n in (21, 22, 23)))
    until(lambda: host.responder.status()["asked"] == 6, "all asked for")
    assert len(host.bans.list()) == 3, "four bans a minute is the budget"

    entries = [json.loads(text) for text in (host.config.state / "ledger.jsonl").read_text().splitlines()]
    actions = [entry["action"] for entry in entries]
    assert actions.count("firewall.ban") == 4
    (spared,) = [entry for entry in entries if entry["action"] == "respond.spared"]
    assert spared["subject"] == CROWD

    settings = tmp_path / "sentinel.yml"
    settings.write_text(
        f"state_directory: {host.config.state}\nlogs: {{files: [{{path: {host.log}, format: nginx-access}}]}}\n"
        "response: {bans: {mode: observe}}\n"
    )
    report = json.loads(sentinel("response", "preview", "--config", settings, "--json", check=0).stdout)
    assert report["outcomes"]["spared"] == 1
    assert {row["address"] for row in report["decisions"]} >= {"203.0.113.7", CROWD, PARTNER}
