"""Lines of key=value pairs (logfmt: Authelia, Grafana, Traefik's own log; auditd) -> Records.

In: lines. Out: ECS fields by the synonyms of `jsonlog`, and every pair under its own key. auditd's records keep
their keys (type, a0, exe, comm, key, SYSCALL ...), the pairs inside msg='...' included.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sentinel.protocol.logs import jsonlog
from sentinel.protocol.logs.address import canonical
from sentinel.protocol.logs.clock import SECOND
from sentinel.protocol.logs.lines import NO_TIME, Records, records

if TYPE_CHECKING:
    from sentinel.protocol.logs.clock import Clock
    from sentinel.protocol.logs.lines import Lines, Record

PAIR = re.compile(rb"([\w.@-]+)=(?:\"((?:[^\"\\]|\\.)*)\"|'((?:[^'\\]|\\.)*)'|(\S*))")
MOST_PAIRS = 256
AUDIT = re.compile(
    rb"(?:node=(?P<node>\S+) )?type=(?P<type>\S+) msg=audit\((?P<seconds>\d+)\.(?P<milli>\d+):\d+\): ?(?P<rest>.*)",
    re.DOTALL,
)
OUTCOMES = {b"failed": b"failure", b"success": b"success", b"no": b"failure", b"yes": b"success"}
HEX = re.compile(rb"(?:[0-9A-F]{2})+")
ENCODED_KEYS = frozenset({"acct", "comm", "exe", "proctitle", "cmd", "name", "cwd"})
AUDIT_ECS = {
    "addr": "source.address", "acct": "user.name", "exe": "process.executable", "comm": "process.name",
    "pid": "process.pid", "cwd": "process.working_directory", "hostname": "source.domain", "uid": "user.id",
}  # fmt: skip
NOBODY = frozenset({b"?", b"(unknown)", b"(null)", b""})


def is_pairs(line: bytes) -> bool:
    """At least three pairs, one of them at the very start."""
    return PAIR.match(line) is not None and len(PAIR.findall(line[:600])) >= 3


def row(line: bytes, clock: Clock) -> tuple[Record | None, int]:
    pairs = pairs_of(line)
    if not pairs:
        return None, NO_TIME
    fields, time = jsonlog.convert(pairs, clock)
    return fields, NO_TIME if time is None else time


def read_audit(lines: Lines, clock: Clock) -> Records:
    return records([audit_row(line, clock) for line in lines])


def audit_row(line: bytes, clock: Clock) -> tuple[Record | None, int]:
    found = AUDIT.search(line)
    if found is None:
        return None, NO_TIME
    fields: Record = {"type": found["type"], "message": found["rest"]}
    for raw, double, single, bare in PAIR.findall(found["rest"])[:MOST_PAIRS]:
        key = raw.decode("ascii", "replace")
        if single:  # msg='op=login acct="root" ...': the pairs of the program that reported
            for inner, quoted, _, plain in PAIR.findall(single)[:MOST_PAIRS]:
                fields[inner.decode("ascii", "replace")] = quoted or plain
            continue
        value = double or bare
        if bare and key in ENCODED_KEYS and HEX.fullmatch(bare) and len(bare) > 2:
            value = bytes.fromhex(bare.decode())  # the kernel writes untrusted strings in hex
        fields.setdefault(key, value)
    _audit_ecs(fields)
    if found["node"]:
        fields["host.hostname"] = found["node"]
    time = int(found["seconds"]) * SECOND + int(found["milli"].ljust(9, b"0")[:9])
    clock.last = time
    return fields, time


def _audit_ecs(fields: Record) -> None:
    for key, name in AUDIT_ECS.items():
        value = fields.get(key)
        if value is not None and value not in NOBODY:
            fields[name] = value
    ip = canonical(fields.get("source.address", b""))
    if ip is not None:
        fields["source.ip"] = ip
    outcome = OUTCOMES.get(fields.get("res", b"").strip(b"'") or fields.get("success", b""))
    if outcome is not None:
        fields["event.outcome"] = outcome


def pairs_of(line: bytes) -> dict[str, Any]:
    """The pairs of a line as a flat object; quotes undone."""
    out: dict[str, Any] = {}
    for raw, double, single, bare in PAIR.findall(line)[:MOST_PAIRS]:
        value = double.replace(b'\\"', b'"') or single or bare
        out[raw.decode("utf-8", "surrogateescape")] = value.decode("utf-8", "surrogateescape")
    return out
