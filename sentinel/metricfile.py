"""Metric values in mapped files that outlive the process: the writing half of prometheus_client's multiprocess directory.

In: values of series. Out: one file for each kind and process, which prometheus_client's MultiProcessCollector reads in
the one component that serves them. Its own writer comes with HTTP, TLS and mail parsers: 10 MB in every component.

A file begins with the bytes in use (int32) and 4 bytes of padding. Entries follow: the key's length (int32), the key,
blanks up to a multiple of 8, the value and its time stamp (doubles). A key is JSON: [family, name, labels, help].
Invariants: a value is written whole, so that a reader never sees half of it; a file that a power failure left damaged
is begun anew.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FIRST_BYTES = 1 << 16  # as prometheus_client; a file is sparse and doubles when it is full
INTEGER = struct.Struct("i")
DOUBLES = struct.Struct("dd")
HEADER_BYTES = 8


@dataclass(frozen=True, slots=True)
class Series:
    """One value over time. `kind` is counter, histogram or gauge_MODE: values of a kind share a file."""

    kind: str
    family: str
    name: str
    labels: tuple[tuple[str, str], ...]
    help: str

    @property
    def key(self) -> str:
        return json.dumps([self.family, self.name, dict(self.labels), self.help], sort_keys=True)


class Values:
    """What this process counts; only in memory until `share` names a place. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._place: tuple[Path, str] | None = None
        self._files: dict[str, ValueFile] = {}
        self._held: dict[Series, float] = {}

    def share(self, directory: Path, process_name: str) -> None:
        """Go on where the files of that process stopped. Two live processes must not share a name."""
        with self._lock:
            self._place = directory, process_name
            self._files, self._held = {}, {}

    def add(self, series: Series, amount: float) -> None:
        with self._lock:
            self._put(series, self._get(series) + amount, 0.0)

    def put(self, series: Series, value: float, timestamp: float) -> None:
        with self._lock:
            self._put(series, value, timestamp)

    def held(self) -> dict[Series, float]:
        with self._lock:
            return dict(self._held)

    def _get(self, series: Series) -> float:
        if series not in self._held:
            file = self._file(series.kind)
            self._held[series] = file.read(series.key) if file is not None else 0.0
        return self._held[series]

    def _put(self, series: Series, value: float, timestamp: float) -> None:
        self._held[series] = value
        file = self._file(series.kind)
        if file is not None:
            file.write(series.key, value, timestamp)

    def _file(self, kind: str) -> ValueFile | None:
        if self._place is None:
            return None
        if kind not in self._files:
            directory, process_name = self._place
            self._files[kind] = ValueFile(directory / f"{kind}_{process_name}.db")
        return self._files[kind]


class ValueFile:
    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        self._map(os.fstat(self._descriptor).st_size or FIRST_BYTES)
        self._used = int(INTEGER.unpack_from(self._bytes)[0])
        self._places: dict[str, int] = {}
        try:
            self._places.update(self._entries())
        except (struct.error, ValueError):
            self._used = 0
        if not self._used:
            self._places.clear()
            self._use(HEADER_BYTES)

    def read(self, key: str) -> float:
        place = self._places.get(key)
        return 0.0 if place is None else float(DOUBLES.unpack_from(self._bytes, place)[0])

    def write(self, key: str, value: float, timestamp: float) -> None:
        entry = DOUBLES.pack(value, timestamp)
        place = self._places.get(key)
        if place is None:
            self._append(key, entry)
        else:
            self._bytes[place : place + DOUBLES.size] = (
                entry  # a slice at once; pack_into passes through zero
            )

    def _append(self, key: str, entry: bytes) -> None:
        text = key.encode()
        head = INTEGER.pack(len(text)) + text + b" " * (8 - (len(text) + 4) % 8)
        end = self._used + len(head) + len(entry)
        while end > len(self._bytes):
            self._map(2 * len(self._bytes))
        self._bytes[self._used : end] = head + entry
        self._use(end)
        self._places[key] = end - len(entry)

    def _use(self, end: int) -> None:
        self._used = end
        self._bytes[: INTEGER.size] = INTEGER.pack(end)

    def _map(self, size: int) -> None:
        os.truncate(self._descriptor, size)
        self._bytes = mmap.mmap(self._descriptor, size)

    def _entries(self) -> Iterator[tuple[str, int]]:
        """Keys and where their values are; ValueError where the file makes no sense."""
        if not 0 <= self._used <= len(self._bytes):
            raise ValueError("more used than there is")
        place = HEADER_BYTES
        while place < self._used:
            (length,) = INTEGER.unpack_from(self._bytes, place)
            value = place + 4 + length + 8 - (length + 4) % 8
            if length < 0 or value + DOUBLES.size > self._used:
                raise ValueError("an entry ends beyond what is used")
            yield self._bytes[place + 4 : place + 4 + length].decode(), value
            place = value + DOUBLES.size
