"""`make bench-firewall`: the firewall's promises with real packets, in numbers.

Each part prints one line `name: figure ... (limit)`, and the exit status is 1 when one misses its limit.

    differential   30 random policies x 700 random packets: the evaluator and the kernel agree on each
    apply          50 policies applied under 1,000 new connections a second: none wrongly accepted or refused
    switch         the same with datagrams as fast as they go and policies of 1,000 rules: none lost, none let in
    flush          an outsider empties the guarded chain 100 times: nothing accepted wrongly, closed for how long
    drift          500 outside modifications: all repaired, p99 under 250 ms, bans and other tables intact
    lockout        50 policies that would lock the administrator out, everything killed with -9: access returns
    size           100,000 allowlist entries and 100,000 bans against plain `nft -f`: time and memory
    until          entries end on time with nobody running
"""

import argparse
import random
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "firewall"))

import firewall_lab  # noqa: E402 - found through the path set above
import firewall_load  # noqa: E402
import firewall_trials  # noqa: E402

PARTS = {
    "differential": lambda spaces, quick: firewall_trials.differential(spaces, 30, 30 if quick else 700),
    "apply": lambda spaces, quick: firewall_load.under_load(spaces, 5 if quick else 50, 1_000),
    "switch": lambda spaces, quick: firewall_load.switching(spaces, *(5, 100) if quick else (20, 1_000)),
    "flush": lambda spaces, quick: firewall_load.flushes(spaces, 5 if quick else 100, 1_000),
    "drift": lambda spaces, quick: firewall_trials.drift(spaces, 20 if quick else 500),
    "lockout": lambda spaces, quick: firewall_trials.lockouts(spaces, 2 if quick else 50),
    "size": lambda spaces, quick: firewall_trials.size(spaces, 1_000 if quick else 100_000),
    "until": lambda spaces, quick: firewall_trials.until(spaces),
}


def main():
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("part", nargs="*", choices=[*PARTS, []])
    options.add_argument("--quick", action="store_true")
    chosen = options.parse_args()
    random.seed(5)
    good = True
    for name in chosen.part or PARTS:
        spaces = firewall_lab.Spaces()
        started = time.monotonic()
        try:
            passed, line = PARTS[name](spaces, chosen.quick)
        finally:
            spaces.close()
        good &= passed
        print(
            f"{'ok  ' if passed else 'MISS'} {name}: {line} [{time.monotonic() - started:.0f} s]", flush=True
        )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
