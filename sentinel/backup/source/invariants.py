"""What must be true of a restored copy, written down at the moment of the dump.

In: rows, highest ids, checksums of samples, schema facts, measured at the source. Out: one small JSON document in
the snapshot itself (so that a bare machine has it) and in the job's history. Invariant: `differences` of a faithful
copy is empty. Where a source cannot measure and dump in one consistent view, a number is a range (`low`, `high`:
before and after the dump) and a checksum that was not stable is left out.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from sentinel.errors import SourceError

VERSION = 1
LARGEST_DOCUMENT_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Table:
    """`sample` is a checksum over the `sampled` first and last rows in the order of the primary key."""

    low: int
    high: int
    highest_id: str | None = None
    sample: str | None = None
    sampled: int = 0

    @classmethod
    def exactly(cls, rows: int, **rest: Any) -> Table:
        return cls(rows, rows, **rest)


@dataclass(frozen=True, slots=True)
class Invariants:
    kind: str
    time: int  # nanoseconds; the moment whose data the dump holds
    tables: dict[str, Table] = field(default_factory=dict)
    facts: dict[str, int] = field(default_factory=dict)  # foreign keys, violations, indexes, views ...

    def data(self) -> dict[str, Any]:
        return {"version": VERSION} | asdict(self)

    def encode(self) -> bytes:
        return json.dumps(self.data(), sort_keys=True).encode()

    @classmethod
    def decode(cls, document: bytes) -> Invariants:
        try:
            return cls.from_data(json.loads(document))
        except ValueError as error:
            raise SourceError(f"the recorded invariants cannot be read: {error}") from None

    @classmethod
    def from_data(cls, data: Any) -> Invariants:
        try:
            rest = {key: value for key, value in data.items() if key not in {"version", "tables"}}
            if data["version"] != VERSION:
                raise SourceError("the recorded invariants are of another version of Sentinel")
            return cls(tables={name: Table(**table) for name, table in data["tables"].items()}, **rest)
        except (TypeError, KeyError, AttributeError) as error:
            raise SourceError(f"the recorded invariants cannot be read: {error}") from None

    def rows(self) -> int:
        return sum(table.high for table in self.tables.values())


def between(before: Invariants, after: Invariants) -> Invariants:
    """What holds for any moment between two measurements: ranges of counts, only what was equal of the rest."""
    tables = {
        name: _between(table, after.tables[name])
        for name, table in before.tables.items()
        if name in after.tables
    }
    facts = {name: value for name, value in before.facts.items() if after.facts.get(name) == value}
    return replace(after, tables=tables, facts=facts)


def _between(before: Table, after: Table) -> Table:
    stable = before.sample == after.sample
    return Table(
        low=min(before.low, after.low),
        high=max(before.high, after.high),
        highest_id=before.highest_id if before.highest_id == after.highest_id else None,
        sample=before.sample if stable else None,
        sampled=before.sampled if stable else 0,
    )


def differences(recorded: Invariants, restored: Invariants) -> list[str]:
    """One sentence for each invariant that the restored copy does not have."""
    found = []
    for name, table in sorted(recorded.tables.items()):
        copy = restored.tables.get(name)
        if copy is None:
            found.append(f"table {name}: missing")
            continue
        found += [f"table {name}: {text}" for text in _table_differences(table, copy)]
    for name, value in sorted(recorded.facts.items()):
        if restored.facts.get(name, 0) != value:
            found.append(f"{name.replace('_', ' ')}: {restored.facts.get(name, 0)}, recorded {value}")
    return found


def _table_differences(recorded: Table, copy: Table) -> list[str]:
    found = []
    if not recorded.low <= copy.low <= recorded.high:
        expected = (
            str(recorded.low) if recorded.low == recorded.high else f"{recorded.low} to {recorded.high}"
        )
        found.append(f"{copy.low} rows, recorded {expected}")
    if recorded.highest_id is not None and copy.highest_id != recorded.highest_id:
        found.append(f"highest id {copy.highest_id}, recorded {recorded.highest_id}")
    if recorded.sample is not None and copy.sample != recorded.sample:
        found.append(f"the checksum of {recorded.sampled} sampled rows differs")
    return found


def shrunk(earlier: Invariants, now: Invariants, most: float) -> list[str]:
    """Tables that lost more than the share `most` of their rows since an earlier good drill, or are gone."""
    found = []
    for name, table in sorted(earlier.tables.items()):
        copy = now.tables.get(name)
        if copy is None:
            found.append(f"table {name}: was there at the last good drill, now missing")
        elif table.low and copy.high < table.low * (1 - most):
            found.append(f"table {name}: {copy.high} rows, {table.low} at the last good drill")
    return found
