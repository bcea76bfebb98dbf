"""The loop of coverage-guided fuzzing: targets by name, each a function of bytes and its seeds.

Needs atheris; without it the same targets run on plain mutation, so the scripts are of use on any machine. What guidance
found stays in work/TARGET (not in the repository) and is where the next run goes on. What broke a target is written to
crash-TARGET beside the seeds.
"""

import importlib.util
import random
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent


def main(targets):
    """`SCRIPT TARGET SECONDS`, or `all`; atheris ends the process when its time is up, so it serves one target a call.

    `targets` is called for them: what it imports must be seen by atheris, which otherwise is guided by nothing.
    """
    wanted, seconds = sys.argv[1], float(sys.argv[2])
    have_atheris = importlib.util.find_spec("atheris") is not None
    if have_atheris and wanted != "all":
        _guided(wanted, targets, seconds)
        return
    found = targets()
    for name in found if wanted == "all" else [wanted]:
        run, seeds = found[name]
        _plain(name, run, seeds(), seconds)


def _mutate(rng, blob):
    data = bytearray(blob)
    for _ in range(rng.randint(1, 8)):
        place = rng.randrange(len(data) + 1)
        choice = rng.randrange(4)
        if choice == 0:
            data[place:place] = rng.randbytes(rng.randint(1, 8))
        elif choice == 1:
            del data[place : place + rng.randint(1, 8)]
        elif choice == 2 and place < len(data):
            data[place] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        else:
            data += data[place : place + rng.randint(1, 64)]
    return bytes(data)


def _attempt(name, run, blob):
    try:
        run(blob)
    except BaseException:
        (HERE / f"crash-{name}").write_bytes(blob)
        raise


def _plain(name, run, seeds, seconds):
    rng, pool, count = random.Random(name), list(seeds), 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        blob = _mutate(rng, rng.choice(pool))
        _attempt(name, run, blob)
        count += 1
        if rng.random() < 0.01 and len(pool) < 1000:
            pool.append(blob)
    print(f"{name}: {count} runs in {seconds:.0f} s, no crash (plain mutation)")


def _guided(name, targets, seconds):
    import atheris

    corpus = HERE / "work" / name
    corpus.mkdir(parents=True, exist_ok=True)
    with atheris.instrument_imports(include=["sentinel"]):
        run, make = targets()[name]
        seeds = make()
        run(seeds[0])
    for number, seed in enumerate(seeds):
        (corpus / f"seed-{number}").write_bytes(seed)
    options = [sys.argv[0], str(corpus), f"-max_total_time={seconds:.0f}", "-max_len=8192", "-timeout=30"]
    atheris.Setup(options, lambda blob: _attempt(name, run, blob))
    atheris.Fuzz()
