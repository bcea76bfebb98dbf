"""Kill -9 the log plane again and again while a writer rotates its log three ways; every planted line alerts once,
and so does every planted series of log-ins, whose lines lie before and after kills and rotations.

    python tests/soak/kill_logs.py [--kills 200] [--seed N]

The child is `LogWatch` as the daemon runs it, with a Sigma rule that matches the planted lines. The parent writes
ordinary and planted lines in bursts and rotates by rename, by copy and truncate, and by rename and gzip, while it
kills the child after a random time and starts it again. At the end each planted line and each finished series must
have exactly one alert, and an unfinished series none.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from sentinel.state import State

RULE = """
title: Planted
id: 6f4a1c1e-7f0a-4c0e-9f5d-2a9f3c7d1b42
logsource: {category: webserver}
detection:
    planted: {cs-uri-query|contains: planted-}
    condition: planted
level: high
---
title: Refused
id: 6f4a1c1e-7f0a-4c0e-9f5d-2a9f3c7d1b43
name: refused
logsource: {category: webserver}
detection:
    refused: {sc-status: 401}
    condition: refused
---
title: Series
id: 6f4a1c1e-7f0a-4c0e-9f5d-2a9f3c7d1b44
correlation:
    type: event_count
    rules: [refused]
    group-by: [source.ip]
    timespan: 1h
    condition: {gte: 12}
level: high
"""
SERIES_LENGTH = 12  # refused log-ins, as the correlation asks
SERIES_AT_A_TIME = 8
LONGEST_SETTLING_SECONDS = 900
GENERATIONS = 400  # kept, so that what is being tested is Sentinel and not the writer's retention


@dataclass
class Result:
    planted: int = 0
    series: int = 0
    lines: int = 0
    kills: int = 0
    rotations: Counter[str] = field(default_factory=Counter)
    missing: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)


class Writer:
    """Appends lines and rotates, one thread, as a web server and logrotate would by turns."""

    def __init__(self, log: Path, seed: int) -> None:
        self.log, self.random = log, random.Random(seed)
        self.file = log.open("ab", buffering=0)
        self.lines = 0
        self.planted: list[str] = []
        self.series: dict[int, int] = {}  # number -> log-ins so far
        self.rotations: Counter[str] = Counter()

    def burst(self) -> None:
        out = []
        for _ in range(self.random.randrange(1, 40)):
            token = ""
            if self.random.random() < 0.2:
                token = f"planted-{len(self.planted)}-"
                self.planted.append(token)
            if self.random.random() < 0.1:
                out.append(self.attempt())
            out.append(
                f"198.51.100.{self.lines % 250} - - [{_clock()}] "
                f'"GET /p/{self.lines}?q={token} HTTP/1.1" 200 {self.lines} "-" "curl/8"\n'
            )
            self.lines += 1
        data = "".join(out).encode()
        cut = self.random.randrange(len(data)) if self.random.random() < 0.5 else len(data)
        self.file.write(data[:cut])  # a torn line, as a buffered writer leaves it
        if cut < len(data):
            time.sleep(self.random.random() * 0.01)
            self.file.write(data[cut:])

    def attempt(self) -> str:
        """One more refused log-in of some series that is under way."""
        first = len(self.finished())
        number = self.random.choice(
            [n for n in range(first + SERIES_AT_A_TIME) if self.series.get(n, 0) < SERIES_LENGTH][
                :SERIES_AT_A_TIME
            ]
        )
        self.series[number] = self.series.get(number, 0) + 1
        return f'{address(number)} - - [{_clock()}] "POST /login HTTP/1.1" 401 5 "-" "curl/8"\n'

    def finished(self) -> list[str]:
        return [address(number) for number, count in self.series.items() if count == SERIES_LENGTH]

    def rotate(self) -> None:
        how = self.random.choice(("rename", "copytruncate", "gzip"))
        self.rotations[how] += 1
        first = self.log.with_name(self.log.name + ".1")
        for i in range(GENERATIONS, 0, -1):
            for suffix in ("", ".gz"):
                old = self.log.with_name(f"{self.log.name}.{i}{suffix}")
                if old.exists():
                    old.rename(self.log.with_name(f"{self.log.name}.{i + 1}{suffix}"))
        if how == "copytruncate":
            shutil.copyfile(self.log, first)
            os.truncate(self.log, 0)
            return
        self.log.rename(first)
        if self.random.random() < 0.5:
            self.burst()  # still to the old file, as a server does until it reopens
        self.file.close()
        self.file = self.log.open("ab", buffering=0)
        if how == "gzip":
            part = first.with_name(first.name + ".gz")
            part.write_bytes(gzip.compress(first.read_bytes()))
            first.unlink()


def address(series: int) -> str:
    return f"10.{series >> 16 & 255}.{series >> 8 & 255}.{series & 255}"


def _clock() -> str:
    return time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime())


def child(directory: Path) -> None:
    from sentinel.capture.settings import LogFile
    from sentinel.config import LogsSettings
    from sentinel.outputs import Journal
    from sentinel.pipeline import LogWatch

    settings = LogsSettings(
        rules=[str(directory / "rule.yml")],
        files=[LogFile(path=str(directory / "access.log"), format="nginx-access", read_from="beginning")],
    )
    state = State(directory / "state")
    watch = LogWatch(settings, state, Journal(directory / "logs.jsonl"))
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    threading.Thread(target=_announce, args=(directory, state), daemon=True).start()
    watch.run(stop)


def _announce(directory: Path, state: State) -> None:
    """Ready once the log is followed: what was rotated away before Sentinel ever saw it is not its concern."""
    while state.checkpoint(f"log:{directory / 'access.log'}") is None:
        time.sleep(0.005)
    (directory / "ready").touch()


def start(directory: Path) -> subprocess.Popen[bytes]:
    (directory / "ready").unlink(missing_ok=True)
    running = subprocess.Popen([sys.executable, __file__, "--child", str(directory)])
    while not (directory / "ready").exists():
        if running.poll() is not None:
            raise RuntimeError(f"the log plane did not start: exit status {running.returncode}")
        time.sleep(0.01)
    return running


def alerts(directory: Path) -> Counter[str]:
    found: Counter[str] = Counter()
    for path in sorted(directory.glob("logs.jsonl*")):
        for line in path.read_bytes().splitlines():
            with contextlib.suppress(ValueError):
                found_ = json.loads(line)
                if found_["alert"]["signature"] == "Series":
                    found[found_["src_ip"]] += 1
                    continue
                text = json.dumps(found_)
                start_ = text.find("planted-")
                if start_ >= 0:
                    found[text[start_ : text.index("-", start_ + 8) + 1]] += 1
    return found


def soak(directory: Path, kills: int, seed: int) -> Result:
    (directory / "rule.yml").write_text(RULE)
    writer = Writer(directory / "access.log", seed)
    moments = random.Random(seed + 1)
    running = start(directory)
    result = Result()
    try:
        while result.kills < kills:
            until = time.monotonic() + moments.random() * 0.6
            while time.monotonic() < until:
                writer.burst()
                if moments.random() < 0.12:
                    writer.rotate()
                time.sleep(moments.random() * 0.02)
            running.kill()
            running.wait()
            result.kills += 1
            writer.burst()
            if moments.random() < 0.5:
                writer.rotate()
            running = start(directory)
        _settle(directory, {*writer.planted, *writer.finished()})
    finally:
        running.terminate()
        running.wait()
        writer.file.close()
    found = alerts(directory)
    result.planted, result.lines, result.rotations = len(writer.planted), writer.lines, writer.rotations
    wanted = {*writer.planted, *writer.finished()}
    result.series = len(writer.finished())
    result.missing = [token for token in wanted if not found[token]]
    result.doubled = [token for token, count in found.items() if count > 1 or token not in wanted]
    return result


def _settle(directory: Path, wanted: set[str]) -> None:
    """Until all were found, or the live log was read to its end. After many kills on a busy machine the child is far
    behind, so silence alone is no sign that it is done.
    """
    give_up = time.monotonic() + LONGEST_SETTLING_SECONDS
    state = State(directory / "state")
    at_end = 0
    while time.monotonic() < give_up and at_end < 10:
        if wanted <= alerts(directory).keys():
            break
        at_end = at_end + 1 if _is_at_end(directory / "access.log", state) else 0
        time.sleep(0.5)
    state.close()


def _is_at_end(log: Path, state: State) -> bool:
    position, status = state.checkpoint(f"log:{log}"), log.stat()
    return (position["inode"], position["offset"]) == (status.st_ino, status.st_size)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--child", type=Path)
    options = parser.parse_args()
    if options.child:
        child(options.child)
        return
    with tempfile.TemporaryDirectory(prefix="sentinel-kill-") as name:
        result = soak(Path(name), options.kills, options.seed)
    print(
        f"seed {options.seed}: {result.kills} kills, {result.lines} lines, {result.planted} planted, {result.series} series, "
        f"rotations {dict(result.rotations)}: {len(result.missing)} missing, {len(result.doubled)} doubled"
    )
    sys.exit(bool(result.missing or result.doubled))


if __name__ == "__main__":
    main()
