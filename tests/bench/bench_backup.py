"""Side by side with stock restic on one tree, in one run: first backup, unchanged second one, restore, check.

    python tests/bench/bench_backup.py [--files 100000] [--megabytes 2100] [--restic PROGRAM] [--only STEP ...]
                                       [--where] [--keep TREE] [--folder FOLDER]

Each step is a process of its own for both; wall time, CPU time and peak memory come from the kernel (wait4). The tree
is read once before, so both work from the page cache; restic has its local cache, which its first backup fills (we have
none). Short steps run in turns and the fastest of each counts. A ratio above 1 means that Sentinel was faster.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from functools import partial
from pathlib import Path

PASSWORD = "bench"
GOALS = {"first backup": 1.0, "second backup": 2.0, "restore": 1.0, "check": 1.0, "check data": 1.0}
TURNS = {"second backup": 5, "check": 5}
PREPARING = ("init", "first backup")
LARGEST_RSS_MB = 500
SIZE_TOLERANCE = 0.05


# --- the tree -----------------------------------------------------------------------------------------------


def make_tree(root, files, megabytes, seed=1):
    """Text, images (random bytes), half-compressible binaries in folders of 40; a third of the bytes in large files."""
    dice = random.Random(seed)
    words = [bytes(dice.choices(b"abcdefghijklmnopqrstuvwxyz", k=dice.randint(2, 11))) for _ in range(4000)]
    weights = [1 / (rank + 3) for rank in range(len(words))]
    text = b" ".join(dice.choices(words, weights, k=1_500_000))
    small_bytes = int(megabytes * 1e6 * 0.67 / files)
    for number in range(files):
        folder = root / f"{number // 4000:02d}" / f"{number // 40 % 100:02d}"
        if number % 40 == 0:
            folder.mkdir(parents=True, exist_ok=True)
        size = int(dice.uniform(0.1, 1.9) * small_bytes)
        name, content = small_file(dice, number, size, text)
        (folder / name).write_bytes(content)
    large = max(int(megabytes * 0.33 / 35), 1)
    (root / "large").mkdir()
    for number in range(large):
        content = large_text(dice, text, 35_000_000) if number % 2 else dice.randbytes(35_000_000)
        (root / "large" / f"{number}.bin").write_bytes(content)


def small_file(dice, number, size, text):
    kind = number % 5
    if kind < 3:
        start = dice.randrange(len(text) - size)
        return f"page{number}.html", str(number).encode() + text[start : start + size]
    if kind == 3:
        return f"image{number}.jpg", dice.randbytes(size)
    block = dice.randbytes(64)
    return f"data{number}.bin", b"".join(block + dice.randbytes(64) for _ in range(size // 128))


def large_text(dice, text, size):
    parts = []
    have = 0
    while have < size:
        start = dice.randrange(len(text) - 3000)
        part = b"INSERT INTO t VALUES (%d,'%s');\n" % (dice.randrange(10**9), text[start : start + 2800])
        parts.append(part)
        have += len(part)
    return b"".join(parts)[:size]


# --- one step in a process ----------------------------------------------------------------------------------


def measure(command, env, quiet=True):
    started = time.perf_counter()
    child = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL if quiet else None)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}: exit status {child.returncode}")
    return {
        "seconds": time.perf_counter() - started,
        "cpu": usage.ru_utime + usage.ru_stime,
        "rss_mb": usage.ru_maxrss / 1024,
    }


def ours(step, repository, source, target, *flags):
    return [sys.executable, __file__, "--step", step, str(repository), str(source), str(target), *flags]


def theirs(restic, step, repository, source, target):
    arguments = {
        "init": ["init"],
        "first backup": ["backup", source],
        "second backup": ["backup", source],
        "restore": ["restore", "latest", "--target", target],
        "check": ["check"],
        "check data": ["check", "--read-data"],
    }[step]
    return [restic, "-q", "-r", str(repository), *map(str, arguments)]


def run_step(step, repository, source, target, *, where=False):
    """Our side of a step; only what the step needs is imported, as the command line does it."""
    samples = Sampler() if where else None
    from sentinel.backup.repo.repository import Repository
    from sentinel.backup.store.location import open_store

    store = open_store(repository)
    if step == "init":
        Repository.create(store, PASSWORD)
        return
    opened = Repository.open(store, PASSWORD)
    if step.endswith("backup"):
        from sentinel.backup.archive import BackupOptions, backup

        options = BackupOptions(seen_folder=Path(f"{repository}-seen"))
        backup(opened, paths=[Path(source)], options=options).require_complete()
    elif step == "restore":
        from sentinel.backup.repo.snapshots import find_snapshot
        from sentinel.backup.restore import RestoreOptions, restore

        options = RestoreOptions(verify=False)  # restic does not either, unless asked
        restore(opened, find_snapshot(opened, "latest"), Path(target), options=options).require_complete()
    else:
        from sentinel.backup.check import Subset, check

        check(opened, read_data=Subset.everything() if step == "check data" else None).require_clean()
    if samples:
        samples.report(step)


class Sampler(threading.Thread):
    """Where threads are, every few milliseconds: a rough answer to where the time goes, without slowing it."""

    def __init__(self):
        super().__init__(daemon=True)
        self.found = Counter()
        self.start()

    def run(self):
        while True:
            time.sleep(0.005)
            for identity, frame in sys._current_frames().items():
                if identity == self.ident:
                    continue
                name = f"{Path(frame.f_code.co_filename).stem}.{frame.f_code.co_name}:{frame.f_lineno}"
                if not name.startswith(("threading.", "thread.", "_base.", "selectors.")):
                    self.found[name] += 1

    def report(self, step):
        total = sum(self.found.values()) or 1
        print(f"where the time goes, {step}:", file=sys.stderr)
        for name, count in self.found.most_common(14):
            print(f"  {100 * count / total:5.1f} %  {name}", file=sys.stderr)


# --- the comparison -----------------------------------------------------------------------------------------


def size_of(folder):
    return sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())


def compare(folder, source, options):
    """Step -> program -> what its fastest turn took."""
    env = {**os.environ, "RESTIC_PASSWORD": PASSWORD, "RESTIC_CACHE_DIR": str(folder / "cache")}
    results = {}
    print(
        subprocess.run([options.restic, "version"], capture_output=True, text=True, check=True).stdout, end=""
    )
    wanted = options.only or list(GOALS)
    for step in ("init", *GOALS):
        if step not in (*wanted, *PREPARING):
            continue
        row = {}
        for name, command in (("restic", partial(theirs, options.restic)), ("sentinel", ours)) * (
            TURNS.get(step, 1) if step in wanted else 1
        ):
            target = folder / f"restored-{name}"
            os.sync()
            found = measure(command(step, folder / name, source, target), env)
            row[name] = min(found, row.get(name, found), key=lambda each: each["seconds"])
            if step == "restore":
                shutil.rmtree(target)
        if step in wanted:
            results[step] = row
            print(
                f"{step:14} restic {describe(row['restic'])}   sentinel {describe(row['sentinel'])}"
                f"   ratio {ratio(row):.2f} (goal {GOALS[step]:g}), CPU {ratio(row, 'cpu'):.2f}",
                flush=True,
            )
            if options.where:
                where(step, folder, source, env)
    return results


def where(step, folder, source, env):
    """Our side once more, watched."""
    if step == "first backup":
        subprocess.run(ours("init", folder / "again", "-", "-"), env=env, check=True)
    place = folder / ("again" if step == "first backup" else "sentinel")
    subprocess.run(ours(step, place, source, folder / "out", "--where"), env=env, check=True)
    shutil.rmtree(folder / "out", ignore_errors=True)


def ratio(row, unit="seconds"):
    return row["restic"][unit] / row["sentinel"][unit]


def describe(row):
    return f"{row['seconds']:6.2f} s ({row['cpu']:6.2f} s CPU, {row['rss_mb']:4.0f} MB)"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--megabytes", type=int, default=2100)
    parser.add_argument("--restic", default="restic", help="which one to compare with")
    parser.add_argument("--only", nargs="+", choices=GOALS, metavar="STEP", help=", ".join(GOALS))
    parser.add_argument("--where", action="store_true", help="and say where our time goes")
    parser.add_argument("--keep", type=Path, help="make the tree here, or use the one that is here")
    parser.add_argument(
        "--folder", help="where to work; a file system in memory takes the disk's mood out of it"
    )
    parser.add_argument("--step", nargs=4)
    parser.add_argument("--make", type=Path)
    options = parser.parse_args()
    if options.make:
        options.make.mkdir(parents=True)
        make_tree(options.make, options.files, options.megabytes)
        return
    if options.step:
        run_step(*options.step, where=options.where)
        return
    with tempfile.TemporaryDirectory(prefix="bench-backup-", dir=options.folder) as temporary:
        folder = Path(temporary)
        source = options.keep or folder / "tree"
        if not source.exists():
            # In a process of its own: what it takes in memory would count as the children's (they are forked).
            make = [
                sys.executable,
                __file__,
                "--make",
                source,
                "--files",
                options.files,
                "--megabytes",
                options.megabytes,
            ]
            subprocess.run([str(part) for part in make], check=True)
        subprocess.run(
            ["tar", "-cf", "/dev/null", "--checkpoint=100000000", str(source)],
            check=False,
            capture_output=True,
        )
        results = compare(folder, source, options)
        sizes = {name: size_of(folder / name) for name in ("restic", "sentinel")}
        rss = max(row["sentinel"]["rss_mb"] for row in results.values())
        print(
            f"repository size: restic {sizes['restic'] / 1e6:.1f} MB, sentinel {sizes['sentinel'] / 1e6:.1f} MB"
        )
        print(f"largest memory: {rss:.0f} MB")
        ratios = {step: ratio(row) for step, row in results.items()}
        cpu = {step: ratio(row, "cpu") for step, row in results.items()}
        print(
            json.dumps(
                {"ratios": ratios, "cpu": cpu, "size": sizes["sentinel"] / sizes["restic"], "rss_mb": rss}
            )
        )
        slow = [step for step, ratio in ratios.items() if ratio < GOALS[step]]
        if slow or rss > LARGEST_RSS_MB or sizes["sentinel"] > sizes["restic"] * (1 + SIZE_TOLERANCE):
            raise SystemExit(f"short of the goal: {', '.join(slow) or 'size or memory'}")


if __name__ == "__main__":
    main()
