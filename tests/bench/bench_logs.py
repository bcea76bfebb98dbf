"""How fast the log plane reads a large nginx log on one core, with all shipped rules: `make bench-logs`.

Writes a shop's log of --lines lines (see shoplog.py: sessions, log-ins, carts, one attack in a hundred lines), replays it
with `sentinel replay` pinned to one core, and prints lines per second end to end (start, rules and the writing of alerts
included), peak RSS and what each stage costs. fail2ban-regex, where installed, reads the first lines of the same log
with one filter, on the same core. --format all also replays JSON and an auth log, a tenth of the lines each.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import shoplog

REPOSITORY = Path(__file__).resolve().parents[2]
SENTINEL = Path(sys.executable).with_name("sentinel")
PEER_LINES = 100_000
STAGE_LINES = 200_000


def pinned(command: list[str]) -> tuple[float, float, int]:
    """Seconds of the clock, of the processor, and peak RSS of a command on one core."""
    core = {max(os.sched_getaffinity(0))}
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    # An installed program has its bytecode beside it, whatever the environment of a developer says.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run(
        command,
        check=True,
        stdout=subprocess.DEVNULL,
        env=environment,
        preexec_fn=lambda: os.sched_setaffinity(0, core),
    )
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, used, after.ru_maxrss * 1024


def replay(folder: Path, log_format: str, lines: int, rules: Path) -> float:
    """Lines per second of the whole command."""
    log, alerts = folder / f"{log_format}.log", folder / "eve.json"
    shoplog.write(log, lines, shoplog.SHAPES[log_format])
    command = [str(SENTINEL), "replay", str(log), "--rules", str(rules), "--log-format", log_format]
    first = folder / "first.log"
    with log.open() as whole:
        first.write_text(whole.readline())
    pinned(
        [*command[:2], str(first), *command[3:], "--eve", str(alerts)]
    )  # rules and bytecode are compiled once
    wall, used, memory = pinned([*command, "--eve", str(alerts)])
    found = Counter("correlation" in line for line in alerts.read_text().splitlines())
    print(
        f"{log_format}: {lines:,} lines, {log.stat().st_size / 1e6:,.0f} MB, {found[False]:,} alerts, "
        f"{found[True]:,} of correlations"
    )
    print(f"  {lines / wall:,.0f} lines/s ({lines / used:,.0f} per CPU second), RSS {memory / 1e6:.0f} MB")
    return lines / wall


def fail2ban(log: Path) -> None:
    program = shutil.which("fail2ban-regex")
    if program is None:
        print("fail2ban-regex is not installed")
        return
    with tempfile.NamedTemporaryFile("w", suffix=".log") as part, log.open() as source:
        part.writelines(islice(source, PEER_LINES))
        part.flush()
        wall, used, _ = pinned([program, part.name, "nginx-botsearch"])
    print(
        f"fail2ban-regex, one filter: {PEER_LINES / wall:,.0f} lines/s ({PEER_LINES / used:,.0f} per CPU second)"
    )


class Meter:
    """Processor time of functions, each without that of those it calls."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self._inner = [0.0]

    def wrap(self, owner: Any, name: str, stage: str) -> None:
        function = getattr(owner, name)

        def metered(*args: Any, **named: Any) -> Any:
            began = time.process_time()
            self._inner.append(0.0)
            try:
                return function(*args, **named)
            finally:
                spent = time.process_time() - began
                self.seconds[stage] += spent - self._inner.pop()  # type: ignore[assignment]
                self._inner[-1] += spent

        setattr(owner, name, metered)


def stages(log: Path, log_format: str, rules: Path) -> None:
    """Microseconds a line of processor time, on the first lines, in a process that runs for a while already."""
    from sentinel import outputs, pipeline
    from sentinel.capture.logfile import read_file
    from sentinel.detect.prefilter import Prefilter
    from sentinel.detect.sigma import engine as engines
    from sentinel.detect.sigma import known, outline, screen
    from sentinel.model import Columns
    from sentinel.protocol.derive.attach import Derivation
    from sentinel.protocol.logs.parser import LogParser

    engine, derivation = pipeline.log_engine([rules], cache=pipeline.cache_folder()), Derivation()
    parser, meter = LogParser(log_format), Meter()
    engine.screen(log_format)
    for owner, name, stage in (
        (LogParser, "parse", "parse"), (Columns, "_made", "derive"), (known.Known, "new", "known values"),
        (Prefilter, "scan", "hyperscan"), (screen.Screen, "narrow", "screen"),
        (outline.Outline, "possible", "outline"), (engines, "evaluate", "evaluate"),
        (engines.Correlator, "arrive", "correlate"), (engines.Describer, "alert", "alert"), (outputs, "encode", "encode"),
    ):  # fmt: skip
        meter.wrap(owner, name, stage)
    lines, began = 0, time.process_time()
    for batch in read_file(log):
        for alert in engine.scan(derivation.attach(parser.parse(batch))):
            outputs.encode([alert])
        lines += len(batch)
        if lines >= STAGE_LINES:
            break
    total = time.process_time() - began
    meter.seconds["read, and the rest"] = total - sum(meter.seconds.values())  # type: ignore[assignment]
    parts = ", ".join(f"{name} {spent / lines * 1e6:.2f}" for name, spent in meter.seconds.most_common())
    print(f"  {total / lines * 1e6:.2f} us/line, metered: {parts}")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lines", type=int, default=2_000_000)
    parser.add_argument("--rules", type=Path, default=REPOSITORY / "rules" / "logs")
    parser.add_argument("--format", choices=["nginx-access", "all"], default="nginx-access")
    parser.add_argument("--minimum", type=float, default=0, help="exit 1 below this many lines/s")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-logs-") as name:
        folder = Path(name)
        rate = replay(folder, "nginx-access", chosen.lines, chosen.rules)
        fail2ban(folder / "nginx-access.log")
        for other in ("nginx-json", "syslog") if chosen.format == "all" else ():
            replay(folder, other, chosen.lines // 10, chosen.rules)
        for each in ("nginx-access", "nginx-json", "syslog") if chosen.format == "all" else ("nginx-access",):
            print(each)
            in_child = multiprocessing.get_context("fork").Process(
                target=stages, args=(folder / f"{each}.log", each, chosen.rules)
            )
            in_child.start()
            in_child.join()
    return 0 if rate >= chosen.minimum else 1


if __name__ == "__main__":
    sys.exit(main())
