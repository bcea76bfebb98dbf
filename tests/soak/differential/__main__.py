"""make differential: random rules and traffic through the installed Suricata and Sentinel; every difference is shown.

    PYTHONPATH=tests/soak python -m differential [FAMILY...] [--seeds 5] [--rules 300] [--sessions 40] [--first 1]
    ... --record FOLDER     keep what Suricata said of a small run: tests/detect/test_verified.py holds Sentinel to it

Needs Suricata 7.0.10, so it is not part of CI. A recorded run leaves out the rules on which both engines still differ.
"""

import argparse
import base64
import gzip
import importlib
import json
import logging
import random
import sys
from pathlib import Path

from differential.engines import Comparison
from differential.traffic import interleaved

FAMILIES = (
    "payloads",
    "http1",
    "packets",
    "rates",
    "tls",
    "dns",
    "mail",
    "mail_events",
    "mqtt",
    "services",
    "nfs",
    "http_events",
)


def made(family, seed, rules, sessions):
    module = importlib.import_module(f"differential.{family}")
    rng = random.Random(f"{family} {seed}")
    texts = list(module.rules(rng, 1000, rules))
    conversations = module.sessions(rng, sessions)
    labels = [frames.label for frames in conversations if getattr(frames, "label", "")]
    schedule = getattr(module, "schedule", interleaved)
    settings = module.settings(rng, [*range(1000, 1000 + rules)]) if hasattr(module, "settings") else {}
    return texts, schedule(rng, conversations), labels, settings


def record(folder, family, seed, found, frames, settings):
    left_out = {sid for sid, _ in found.differing} | found.one_sided
    kept = [text for sid, text in found.by_sid.items() if sid not in left_out]
    expected = [[sid, flow, n] for (sid, flow), n in sorted(found.theirs.items()) if sid not in left_out]
    # Settings that name a file hold its text instead.
    texts = {
        name: Path(value).read_text() if name.endswith("-file") else value for name, value in settings.items()
    }
    content = {
        "settings": texts,
        "rules": kept,
        "frames": [[round(seconds, 6), base64.b64encode(frame).decode()] for seconds, frame in frames],
        "expected": expected,
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{family}-{seed}.json.gz"
    path.write_bytes(gzip.compress(json.dumps(content).encode(), mtime=0))
    print(f"{path}: {len(kept)} rules, {len(left_out)} left out, {path.stat().st_size} bytes")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("families", nargs="*", default=FAMILIES, metavar="FAMILY")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--rules", type=int, default=300)
    parser.add_argument("--sessions", type=int, default=40)
    parser.add_argument(
        "--keep", type=Path, help="leave capture, rules and Suricata's output of the last run here"
    )
    parser.add_argument("--record", type=Path, metavar="FOLDER")
    given = parser.parse_args()
    logging.disable(logging.CRITICAL)
    differences = 0
    for family in given.families:
        for seed in range(given.first, given.first + given.seeds):
            texts, frames, labels, settings = made(family, seed, given.rules, given.sessions)
            found = Comparison(frames, texts, settings, given.keep, labels)
            print(f"{family} seed {seed}: ", end="")
            found.report()
            differences += len(found.differing)
            if given.record:
                record(given.record, family, seed, found, frames, settings)
    sys.exit(differences > 0)


if __name__ == "__main__":
    main()
