"""How fast the log plane reads a large nginx log on one core, with all shipped rules: `make bench-logs`.

Writes a shop's log of --lines lines (see shoplog.py: sessions, log-ins, carts, one attack in a hundred lines), replays it
with `sentinel replay` pinned to one core, and prints lines per second end to end (start, rules and the writing of alerts
included), peak RSS and what each stage costs. fail2ban-regex, where installed, reads the first lines of the same log
with one filter, on the same core. --format all also replays JSON and an auth log, a tenth of the lines each.
"""

from __future__ import annotations

import argparse
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

import shoplog

REPOSITORY = Path(__file__).resolve().parents[2]
SENTINEL = Path(sys.executable).with_name("sentinel")
PEER_LINES = 100_000
STAGE_LINES = 200_000


def pinned(command: list[str]) -> tuple[float, float, int]:
    """Seconds of the clock, of the processor, and peak RSS of a command on one core."""
    core = {max(os.sched_getaffinity(0))}
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(
        command, check=True, stdout=subprocess.DEVNULL, preexec_fn=lambda: os.sched_setaffinity(0, core)
    )
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, used, after.ru_maxrss * 1024


def replay(folder: Path, log_format: str, lines: int, rules: Path) -> float:
    """Lines per second of the whole command."""
    log, alerts = folder / f"{log_format}.log", folder / "eve.json"
    shoplog.write(log, lines, shoplog.SHAPES[log_format])
    command = [str(SENTINEL), "replay", str(log), "--rules", str(rules), "--log-format", log_format]
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


def stages(log: Path, rules: Path) -> None:
    """Microseconds a line of processor time, on the first lines, in a process that runs for a while already."""
    from sentinel.capture.logfile import read_file
    from sentinel.detect.sigma.values import View
    from sentinel.pipeline import cache_folder, log_engine
    from sentinel.protocol.derive.attach import Derivation
    from sentinel.protocol.logs.parser import LogParser

    engine, derivation = log_engine([rules], cache=cache_folder()), Derivation()
    parser, clock = LogParser("nginx-access"), time.process_time
    spent: Counter[str] = Counter()
    lines, at = 0, clock()
    for batch in read_file(log):
        times = [at, clock()]
        columns = derivation.attach(parser.parse(batch))
        times.append(clock())
        engine.screen(columns.kind).narrow(View(columns.take(columns.numbers - columns.numbers[0])))
        times.append(clock())
        engine.scan(columns)
        times.append(clock())
        for name, begin, end in zip(("read", "parse", "screen", "judge"), times[:-1], times[1:], strict=True):
            spent[name] += end - begin  # type: ignore[assignment]
        lines, at = lines + len(batch), clock()
        if lines >= STAGE_LINES:
            break
    print("  us/line: " + ", ".join(f"{name} {seconds / lines * 1e6:.2f}" for name, seconds in spent.items()))


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
        stages(folder / "nginx-access.log", chosen.rules)
        if chosen.format == "all":
            for other in ("nginx-json", "syslog"):
                replay(folder, other, chosen.lines // 10, chosen.rules)
    return 0 if rate >= chosen.minimum else 1


if __name__ == "__main__":
    sys.exit(main())
