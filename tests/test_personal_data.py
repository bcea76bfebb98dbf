"""Personal data goes in by every door of a log; no output of any command or component shows it."""

import json
import sys
import threading
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner
from waiting import until

sys.path.insert(0, str(Path(__file__).parent / "webhook"))

from receiver import Receiver, serving

from sentinel.cli.rules import app as rules_command
from sentinel.config import Config
from sentinel.ledger import Ledger
from sentinel.outputs import Journal
from sentinel.pipeline import LogWatch
from sentinel.respond import responder
from sentinel.shipped import folder
from sentinel.state import State

IDENTITY, CARD, MOBILE, MAIL = (
    "11010519491231002X",
    "4111111111111111",
    "13912345678",
    "anna.schmidt@example.net",
)
SECRETS = (IDENTITY, CARD, MOBILE, MAIL, MAIL.replace("@", "%40"), "4111 1111 1111 1111")
ATTACK = "union+select+2"
LINES = [
    f'198.51.100.7 - - [{{t}}] "GET /p?q=1+{ATTACK}&id={IDENTITY}&card={CARD}&tel={MOBILE}&mail={MAIL} HTTP/1.1" 200 5 "-" "x"',
    f'198.51.100.7 - {MAIL} [{{t}}] "GET /p?q=1+{ATTACK} HTTP/1.1" 200 5 "https://shop.example/?card={CARD}" "x {MOBILE}"',
    f'198.51.100.7 - u{MOBILE} [{{t}}] "GET /p?q=1+{ATTACK}&pan=4111+1111+1111+1111 HTTP/1.1" 200 5 "-" "x"',
    f'198.51.100.7 - - [{{t}}] "POST /c99/{MOBILE}/x.php HTTP/1.1" 404 5 "-" "sqlmap {IDENTITY}"',
    *(f'198.51.100.7 - - [{{t}}] "GET /customer?mobile=139123456{n:02d}&card={CARD} HTTP/1.1" 200 5 "-" "x"' for n in range(40)),
]  # fmt: skip
SYSLOG = [f"Mar  2 10:00:{n:02d} h sshd[1]: Failed password for {user} from 198.51.100.7 port 1 ssh2"
          for n, user in enumerate((MAIL, MOBILE, IDENTITY, MAIL, MAIL, MAIL))]  # fmt: skip


def leaks(text):
    plain = text.replace("\\/", "/")
    found = [secret for secret in SECRETS if secret.lower() in plain.lower()]
    return found + [f"139123456{n:02d}" for n in range(40) if f"139123456{n:02d}" in plain]


@pytest.fixture
def receiver():
    yield from serving(Receiver())


@pytest.fixture
def logs(tmp_path):
    stamp = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime())
    access, auth = tmp_path / "access.log", tmp_path / "auth.log"
    access.write_text("".join(line.replace("{t}", stamp) + "\n" for line in LINES))
    auth.write_text("".join(line + "\n" for line in SYSLOG))
    return access, auth


def run_components(config, logs, url):
    """Log plane, response and webhook over these logs until everything was judged and sent."""
    from sentinel.webhook.component import Webhook

    state, ledger = State(config.state), Ledger(config.state)
    journal = Journal(config.journals / "logs.jsonl", host=config.host)
    stop = threading.Event()
    asked = []
    answer = responder.build(
        config,
        state,
        ledger,
        lambda *ban: asked.append(ledger.append("firewall.ban", *ban[:1], reason=ban[2])),
    )
    hook = Webhook(config.webhook, [journal.path], state)
    watch = LogWatch(config.logs, state, journal)
    parts = [threading.Thread(target=part.run, args=(stop,)) for part in (watch, answer, hook)]
    for part in parts[1:]:
        part.start()
    until(lambda: all(state.checkpoint(f"{name}:{journal.path}") for name in ("respond", "webhook")))
    parts[0].start()
    try:
        until(
            lambda: (
                watch.status()["lines"] == len(LINES) + len(SYSLOG) and asked and hook.status()["sent"] >= 5
            )
        )
    finally:
        stop.set()
    for part in parts:
        part.join()
    status = json.dumps([watch.status(), answer.status(), hook.status()])
    journal.close()
    state.close()
    return status


def test_no_output_shows_a_value(tmp_path, logs, receiver, sentinel, caplog):
    access, auth = logs
    rules = folder("rules") / "logs"
    config = Config.model_validate(
        {
            "state_directory": tmp_path / "state",
            "logs": {
                "rules": [str(rules)],
                "files": [{"path": str(access), "format": "nginx-access", "read_from": "beginning"},
                          {"path": str(auth), "format": "syslog", "read_from": "beginning"}],
            },
            "webhook": {"url": receiver.url, "minimum_level": "informational"},
        }
    )  # fmt: skip
    outputs = {"status": run_components(config, logs, receiver.url)}
    outputs["webhook"] = json.dumps(receiver.alerts)
    for path in sorted((tmp_path / "state").rglob("*")):
        if path.is_file():
            outputs[path.name] = path.read_bytes().decode("utf-8", "replace")
    outputs["the daemon's log"] = caplog.text
    for log in logs:
        name = log.name
        outputs[f"replay {name}"] = sentinel("replay", log, "--rules", rules, check=0).stdout
        outputs[f"backtest {name}"] = sentinel(
            "rules", "backtest", log, "--rules", rules, "--json", check=0
        ).stdout
        for line in log.read_text().splitlines()[:2]:
            shown = [
                CliRunner().invoke(rules_command, ["explain", line, "--rules", str(rules), *more])
                for more in ([], ["--json"])
            ]
            assert all(each.exit_code == 0 for each in shown)
            outputs[f"explain {line[:30]}"] = "".join(each.output for each in shown)
    settings = tmp_path / "sentinel.yml"
    settings.write_text(f"state_directory: {tmp_path}/state\n")
    outputs["preview"] = sentinel("response", "preview", "--config", settings, "--json", check=0).stdout
    outputs["ledger"] = sentinel("ledger", "show", "--config", settings, check=0).stdout

    assert set(leaks(access.read_text() + auth.read_text())) > set(SECRETS[:4])
    assert {name: found for name, text in outputs.items() if (found := leaks(text))} == {}
    assert "Card number in a log" in outputs["logs.jsonl"]
    assert "411111******1111 #" in outputs["logs.jsonl"], "the sample and the hash are there"
    assert "Customers looked up in series" in outputs["replay access.log"]
    assert "firewall.ban" in outputs["ledger"]
