"""Mutated log lines through every format, for a while: nothing may raise, every row stays, no line may take long.

    python tests/fuzz/fuzz_logs.py [--seconds 60] [--seed N]

Lines are those of tests/protocol/logs/test_formats.py, cut, joined, repeated and sprinkled with bytes that mean
something to some format. Ends with 1 and the line (as Python bytes) when a line breaks something.
"""

from __future__ import annotations

import argparse
import importlib.util
import random
import sys
import time
from pathlib import Path

import numpy as np

from sentinel.model import Batch
from sentinel.protocol.logs.formats import FORMATS, SYSLOG
from sentinel.protocol.logs.parser import LogParser, names

CASES = Path(__file__).parents[1] / "protocol" / "logs" / "test_formats.py"
SPRINKLES = (
    b'"',
    b"\\",
    b"[",
    b"]",
    b"{",
    b"}",
    b" - ",
    b": ",
    b" from ",
    b"=",
    b"\x00",
    b"\xff",
    b"::1",
    b"1.2.3.4",
    b"\r",
    b"",
)
SLOWEST_SECONDS = 5.0  # for one line of at most LONGEST bytes on a busy machine
LONGEST = 8192


def lines() -> list[bytes]:
    spec = importlib.util.spec_from_file_location("cases", CASES)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return [line.encode() for _, line, _ in module.CASES]


def mutated(rng: random.Random, seeds: list[bytes]) -> bytes:
    line = rng.choice(seeds)
    for _ in range(rng.randrange(1, 6)):
        at = rng.randrange(len(line) + 1)
        kind = rng.randrange(5)
        if kind == 0:
            line = line[:at] + rng.choice(SPRINKLES) + line[at:]
        elif kind == 1:
            line = line[:at] + line[at + rng.randrange(1, 20) :]
        elif kind == 2:
            line = line[:at] + rng.choice(seeds)[at:]
        elif kind == 3:
            line = line[:at] + line[at : at + rng.randrange(1, 12)] * rng.randrange(2, 300) + line[at:]
        else:
            line = line[:at] + rng.randbytes(rng.randrange(1, 8)) + line[at:]
    return line[:LONGEST].replace(b"\n", b" ")


def check(log_format: str, line: bytes) -> str:
    """What is wrong, or nothing."""
    batch = Batch(line + b"\n", np.array([0, len(line) + 1]), "fuzz")
    began = time.process_time()
    try:
        columns = LogParser(log_format).parse(batch)
        for name in names(columns):
            column = columns.column(name)
            if column is not None and len(column.values()) != 1:
                return f"{name} has {len(column.values())} rows"
    except Exception as error:  # noqa: BLE001 - finding any is the purpose
        return repr(error)
    spent = time.process_time() - began
    return f"took {spent:.1f} s" if spent > SLOWEST_SECONDS else ""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    rng, seeds, formats = random.Random(options.seed), lines(), sorted([*FORMATS, *SYSLOG, "auto", "iis-w3c"])
    until, tried = time.monotonic() + options.seconds, 0
    while time.monotonic() < until:
        line, log_format = mutated(rng, seeds), rng.choice(formats)
        wrong = check(log_format, line)
        tried += 1
        if wrong:
            print(f"seed {options.seed}, format {log_format}: {wrong}: {line!r}")
            sys.exit(1)
    print(f"seed {options.seed}: {tried} lines, nothing raised")


if __name__ == "__main__":
    main()
