"""Correlation state under ten million distinct groups: RSS, evictions, and whether attackers are still found.

    .venv/bin/python tests/bench/bench_groups.py [--groups 10000000]

One event a group, and between them a hundred attackers who come back every `--pause` events. Exit 1 when one of them is missed.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time

import numpy as np

from sentinel.detect.sigma.correlate import Correlator
from sentinel.detect.sigma.tree import Correlation, Kind, Limit, Rule
from sentinel.detect.sigma.values import View
from sentinel.model import Column, Columns

BATCH = 4096  # rows, about what a batch of a log has
ATTACKERS = 100


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--groups", type=int, default=10_000_000)
    parser.add_argument("--pause", type=int, default=50_000, help="events between two of one attacker")
    chosen = parser.parse_args()
    rule = Rule(id="r", title="r")
    limits = (Limit("gte", 10),)
    made = Correlation(
        id="c",
        title="c",
        kind=Kind.EVENT_COUNT,
        rules=[rule],
        group_by=("source.ip",),
        timespan_ns=10**18,
        limits=limits,
    )
    correlator = Correlator([made])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began, found = time.perf_counter(), set()
    for first in range(0, chosen.groups, BATCH):
        numbers = range(first, min(first + BATCH, chosen.groups))
        places = ((number, number % chosen.pause) for number in numbers)
        column = Column.of([b"attacker %d" % p if p < ATTACKERS else b"%d" % n for n, p in places])
        rows = np.arange(len(numbers), dtype=np.int64)
        view = View(Columns(len(rows), "log", rows + first, rows + first, {"source.ip": column}))
        found.update(finding.key for finding in correlator.arrive([(rule, rows)], view))
    seconds = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(
        f"{chosen.groups:,} events: {chosen.groups / seconds:,.0f} a second, {len(found)} of {ATTACKERS} attackers found"
    )
    print(
        f"RSS {before / 1024:.0f} -> {after / 1024:.0f} MiB, {correlator.sizes():,} groups kept, {correlator.evicted:,} evicted"
    )
    return 0 if len(found) == ATTACKERS else 1


if __name__ == "__main__":
    sys.exit(main())
