"""Append-only, hash-chained record of what Sentinel did: who, when, what, with which result.

One JSON object a line. `hash` is the SHA-256 of the line's canonical form without `hash` itself, and `previous`
is the hash of the line before (64 zeros for the first), so that an edit, a removal or a reordering breaks the
chain from there on. Cutting whole lines off the end leaves a valid chain: `ledger.head` beside it names the newest
record, so that `verify` sees the cut. Who can rewrite both files is seen off the host only: head and sequence number
are exported as metrics, which Prometheus keeps. Secrets never enter (`detail` is the caller's duty).
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
import time
from dataclasses import asdict, dataclass, field
from typing import IO, TYPE_CHECKING, Any

from sentinel import ownership

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILE_NAME = "ledger.jsonl"
HEAD_FILE_NAME = (
    "ledger.head"  # fixed width, rewritten in place after the record is on disk: never ahead of it
)
GENESIS = "0" * 64


@dataclass(frozen=True, slots=True)
class Entry:
    sequence: int
    time: int
    actor: str
    action: str
    subject: str
    detail: dict[str, Any] = field(default_factory=dict)
    previous: str = GENESIS
    hash: str = ""

    def digest(self) -> str:
        body = asdict(self)
        del body["hash"]
        return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Verdict:
    """`bad_line` is the 1-based line of the first record that breaks the chain, None when all is well."""

    entries: int
    head: str
    bad_line: int | None = None
    reason: str = ""


class Ledger:
    def __init__(self, directory: Path, *, actor: str = "sentinel") -> None:
        self.path = directory / FILE_NAME
        self.head_path = directory / HEAD_FILE_NAME
        self.actor = actor

    def append(self, action: str, subject: str, **detail: Any) -> Entry:
        """Add one record and fsync it. Processes take turns through a file lock."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if file.tell() == 0:
                ownership.follow(self.path)
            last = _last_entry(file)
            entry = Entry(
                sequence=last.sequence + 1 if last else 1,
                time=time.time_ns(),
                actor=self.actor,
                action=action,
                subject=subject,
                detail=detail,
                previous=last.hash if last else GENESIS,
            )
            record = asdict(entry) | {"hash": entry.digest()}
            file.write(json.dumps(record, separators=(",", ":")).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
            self._note_head(record["sequence"], record["hash"])
        return Entry(**record)

    def entries(self) -> Iterator[Entry]:
        """All readable records, oldest first; a damaged line ends the walk (see `verify`)."""
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            for line in file:
                entry = _parse(line)
                if entry is None:
                    return
                yield entry

    def head(self) -> Entry | None:
        """The newest whole record, read from the end; nothing is changed."""
        if not self.path.exists():
            return None
        with self.path.open("rb") as file:
            return _last_entry(file, mend=False)

    def verify(self) -> Verdict:
        noted, noted_hash = self._noted_head()  # before the walk: records may come while we read
        head, count = GENESIS, 0
        with self.path.open("rb") if self.path.exists() else io.BytesIO() as file:
            for count, line in enumerate(file, 1):
                reason = _fault(_parse(line), count, head)
                if reason:
                    return Verdict(count - 1, head, count, reason)
                head = json.loads(line)["hash"]
                if count == noted and head != noted_hash:
                    return Verdict(count - 1, head, count, f"is not the record that {HEAD_FILE_NAME} names")
        if count < noted:
            return Verdict(count, head, count + 1, f"records up to {noted} are missing: cut off the end")
        if noted == 0 and count > 1:  # one record: interrupted before the very first note
            return Verdict(count, head, count, f"{HEAD_FILE_NAME} is missing or damaged")
        return Verdict(count, head)

    def _note_head(self, sequence: int, digest: str) -> None:
        fresh = not self.head_path.exists()
        descriptor = os.open(self.head_path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            os.pwrite(descriptor, f"{sequence:020} {digest}\n".encode(), 0)
        finally:
            os.close(descriptor)
        if fresh:
            ownership.follow(self.head_path)

    def _noted_head(self) -> tuple[int, str]:
        try:
            sequence, digest = self.head_path.read_text(encoding="ascii").split()
            return int(sequence), digest
        except (OSError, ValueError):
            return 0, ""


def _fault(entry: Entry | None, number: int, head: str) -> str:
    if entry is None:
        return "not a complete record"
    if entry.sequence != number:
        return f"sequence {entry.sequence}, expected {number}"
    if entry.previous != head:
        return "does not follow the record before it"
    if entry.hash != entry.digest():
        return "content does not match its hash"
    return ""


def _parse(line: bytes) -> Entry | None:
    if not line.endswith(b"\n"):
        return None
    try:
        return Entry(**json.loads(line))
    except (ValueError, TypeError):
        return None


def _last_entry(file: IO[bytes], *, mend: bool = True) -> Entry | None:
    """The last complete record. With `mend` a torn last line (power loss while writing) is cut off first."""
    size = file.seek(0, os.SEEK_END)
    window = 65_536
    while size:
        start = max(0, size - window)
        file.seek(start)
        tail = file.read(size - start)
        if not tail.endswith(b"\n"):
            size = start + tail.rfind(b"\n") + 1
            if mend:
                os.ftruncate(file.fileno(), size)
            continue
        cut = tail.rfind(b"\n", 0, -1)
        if cut >= 0 or start == 0:
            return _parse(tail[cut + 1 :])
        window *= 2
    return None
