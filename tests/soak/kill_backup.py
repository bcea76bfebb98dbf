"""kill -9 at random moments of backup, forget and prune: the repository is whole, no snapshot is lost, the next run goes on.

    python tests/soak/kill_backup.py [--rounds 200] [--store directory|s3] [--seed 1] [--folder FOLDER]

Each round starts one operation in a process of its own, kills it after a random part of the time such an operation
takes, and then holds the repository against stock `restic check`, against the list of snapshots that were there, and
every tenth round against all data (`check --read-data`). At the end one backup, forget and prune must run through.
"""

import argparse
import importlib.util
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PASSWORD = "soak"
FILES = 120
OPERATIONS = ("backup", "backup", "backup", "forget", "prune", "prune")


# --- the victim ---------------------------------------------------------------------------------------------


def open_repository(address, options):
    from sentinel.backup.repo.repository import Repository
    from sentinel.backup.store.location import StoreOptions, open_store

    return Repository.open(open_store(address, StoreOptions(**json.loads(options))), PASSWORD)


def victim(operation, address, source, options):
    """Says when it is about to begin, so that the killer need not guess how long Python takes to start."""
    from sentinel.backup import archive, prune, retention
    from sentinel.backup.repo.snapshots import list_snapshots

    repository = open_repository(address, options)
    print("ready", flush=True)
    if operation == "backup":
        options = archive.BackupOptions(seen_folder=Path(f"{source}-seen"))
        archive.backup(repository, paths=[Path(source)], options=options)
    elif operation == "forget":
        ids = [snapshot.id for snapshot in list_snapshots(repository)]
        retention.forget(repository, ids[:-3])
    else:
        prune.prune(repository, prune.PruneOptions(max_unused_percent=0))
    print("done", flush=True)


# --- the killer ---------------------------------------------------------------------------------------------


class Soak:
    def __init__(self, folder, address, options, env, seed, say=print):
        self.folder = Path(folder)
        self.source = self.folder / "source"
        self.address = address
        self.options = options
        self.env = {**os.environ, **env, "RESTIC_PASSWORD": PASSWORD, "HOME": str(folder)}
        self.dice = random.Random(seed)
        self.say = say
        self.usual = dict.fromkeys(OPERATIONS, 1.5)  # seconds, learned from the runs that came through
        self.killed = self.finished = 0

    def prepare(self):
        from sentinel.backup.repo.keyfile import ScryptCost
        from sentinel.backup.repo.repository import Repository
        from sentinel.backup.store.location import StoreOptions, open_store

        store = open_store(self.address, StoreOptions(**json.loads(self.options)))
        Repository.create(store, PASSWORD, cost=ScryptCost(n=1024))
        self.source.mkdir()
        for number in range(FILES):
            self.change(number)

    def change(self, number):
        path = self.source / f"{number % 7}" / f"file{number}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(self.dice.randbytes(self.dice.choice([100, 5_000, 400_000])))

    def snapshots(self):
        from sentinel.backup.repo.snapshots import list_snapshots

        return {snapshot.id for snapshot in list_snapshots(open_repository(self.address, self.options))}

    def round(self, number):
        for _ in range(10):
            self.change(self.dice.randrange(FILES))
        operation = self.dice.choice(OPERATIONS)
        before = self.snapshots()
        self.kill(operation, self.dice.random() * 1.2 * self.usual[operation])
        after = self.snapshots()
        lost = before - after
        if operation == "forget":
            lost = set() if len(after) >= min(3, len(before)) else lost
        assert not lost, f"round {number}: {operation} lost {lost}"
        self.restic("unlock")  # as with restic itself, a killed process leaves its lock
        self.restic("check", *(["--read-data"] if number % 10 == 9 else []))

    def kill(self, operation, delay):
        command = [
            sys.executable,
            __file__,
            "--victim",
            operation,
            self.address,
            str(self.source),
            self.options,
        ]
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=self.env) as child:
            assert child.stdout.readline() == b"ready\n"
            started = time.monotonic()
            try:
                child.wait(delay)
            except subprocess.TimeoutExpired:
                child.send_signal(signal.SIGKILL)
            if child.wait() == 0:
                self.finished += 1
                self.usual[operation] = 0.5 * self.usual[operation] + 0.5 * (time.monotonic() - started)
            else:
                assert child.returncode == -signal.SIGKILL, f"{operation} failed by itself"
                self.killed += 1

    def restic(self, *arguments):
        command = ["restic", "--no-cache", "-r", self.address, *arguments]
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"restic {arguments[0]}: {done.stdout}{done.stderr}"

    def finish(self):
        for operation in ("backup", "forget", "prune"):
            finished = self.finished
            self.kill(operation, 60)
            assert self.finished == finished + 1, f"{operation} does not run through"
        self.restic("check", "--read-data")
        restored = self.folder / "restored"
        self.restic("restore", "latest", "--target", str(restored))
        for path in filter(Path.is_file, self.source.rglob("*")):
            assert Path(f"{restored}{path}").read_bytes() == path.read_bytes(), path
        self.say(f"{self.killed} killed, {self.finished} came through; the repository is whole")

    def run(self, rounds):
        self.prepare()
        for number in range(rounds):
            self.round(number)
            if number % 20 == 19:
                self.say(f"round {number + 1}: {self.killed} killed", flush=True)
        self.finish()


def sibling(name):
    path = Path(__file__).parent.parent / "backup" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--store", choices=("directory", "s3"), default="directory")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder")
    parser.add_argument("--victim", nargs=4)
    options = parser.parse_args()
    if options.victim:
        victim(*options.victim)
        return
    with tempfile.TemporaryDirectory(prefix="kill-backup-", dir=options.folder) as folder:
        if options.store == "directory":
            Soak(folder, f"{folder}/repository", "{}", {}, options.seed).run(options.rounds)
            return
        seaweed = sibling("seaweed")
        (Path(folder) / "s3").mkdir()
        server = seaweed.S3Server(Path(folder) / "s3")
        try:
            keys = {"access_key": seaweed.ACCESS_KEY, "secret_key": seaweed.SECRET_KEY}
            env = {"AWS_ACCESS_KEY_ID": seaweed.ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": seaweed.SECRET_KEY}
            address = f"s3:{server.endpoint}/soak/repository"
            Soak(folder, address, json.dumps(keys), env, options.seed).run(options.rounds)
        finally:
            server.close()


if __name__ == "__main__":
    main()
