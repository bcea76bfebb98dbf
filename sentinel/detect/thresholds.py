"""How often a rule may alert: threshold, detection_filter, rate_filter and suppress, from rules and threshold.config.

In: (rule, packet). Out: whether this alert is written. Counting follows Suricata's detect-engine-threshold: intervals
start at the first match and are closed at both ends.
"""

from __future__ import annotations

import enum
import re
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sentinel import metrics
from sentinel.detect.addresses import addresses
from sentinel.detect.arguments import integer
from sentinel.detect.rule import Threshold
from sentinel.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from sentinel.detect.addresses import AddressSet
    from sentinel.detect.rule import Rule
    from sentinel.model import Packet

ENTRY_LIMIT = 100_000  # (rule, tracked address) pairs
SECOND = 1_000_000_000


class Verdict(enum.Enum):
    WRITE = "write"
    HIDE = "hide"
    PASS = "pass"  # noqa: S105 - rate_filter turned the rule into a pass rule


@dataclass(slots=True)
class _Entry:
    since: int
    count: int = 1
    until: int = 0  # rate_filter: the new action holds until then


@dataclass(frozen=True, slots=True)
class Filter:
    """One line of threshold.config; gid or sid 0 stands for all."""

    gid: int
    sid: int
    threshold: Threshold


class Thresholds:
    def __init__(self, filters: tuple[Filter, ...] = ()) -> None:
        self._entries: OrderedDict[Hashable, _Entry] = OrderedDict()
        self._suppress: dict[tuple[int, int], list[Threshold]] = {}
        self._override: dict[tuple[int, int], Threshold] = {}
        for each in filters:
            key = (each.gid, each.sid)
            if each.threshold.kind == "suppress":
                self._suppress.setdefault(key, []).append(each.threshold)
            else:
                self._override.setdefault(key, each.threshold)

    def verdict(self, rule: Rule, packet: Packet) -> Verdict:
        keys = ((rule.gid, rule.sid), (rule.gid, 0), (0, 0))
        if self._suppress and any(
            _suppressed(threshold, packet) for key in keys for threshold in self._suppress.get(key, ())
        ):
            return Verdict.HIDE
        thresholds = rule.thresholds
        if self._override:
            exact = self._override.get(keys[0])
            if exact is not None:
                # A rate is kept beside the rule's own threshold, another threshold replaces it.
                thresholds = (*thresholds, exact) if exact.kind == "rate_filter" else (exact,)
            elif not thresholds:
                thresholds = tuple(t for t in (self._override.get(key) for key in keys[1:]) if t is not None)[
                    :1
                ]
        for threshold in thresholds:
            found = self._count(rule, threshold, packet)
            if found is not Verdict.WRITE:
                return found
        return Verdict.WRITE

    def _count(self, rule: Rule, threshold: Threshold, packet: Packet) -> Verdict:
        rated = threshold.kind == "rate_filter"
        key = (rule.gid, rule.sid, _tracked(threshold.track, packet), rated)
        entry = self._entries.get(key)
        now = packet.time
        fresh = entry is None
        if entry is None:
            self._entries[key] = entry = _Entry(now)
            if len(self._entries) > ENTRY_LIMIT:
                self._entries.popitem(last=False)
                metrics.detect_evictions.inc(table="thresholds")
        if rated:
            return _rate(entry, threshold, now, fresh=fresh)
        if not fresh and now <= entry.since + threshold.seconds * SECOND:
            entry.count += 1
        elif not fresh:
            entry.since, entry.count = now, 1
        self._entries.move_to_end(key)
        reached = {
            "limit": entry.count <= threshold.limit,
            "threshold": entry.count >= threshold.limit,
            "both": entry.count == threshold.limit,
            "detection_filter": entry.count > threshold.limit,
        }[threshold.kind]
        if reached and threshold.kind == "threshold":
            entry.count = 0
        return Verdict.WRITE if reached else Verdict.HIDE


def _rate(entry: _Entry, threshold: Threshold, now: int, *, fresh: bool) -> Verdict:
    """Once there are too many, the new action holds for `timeout` seconds (0: until the interval ends)."""
    changed = Verdict.PASS if threshold.action == "pass" else Verdict.WRITE
    if entry.until:
        if now <= entry.until:
            return changed
        entry.until = 0
    if fresh:
        return Verdict.WRITE
    if now > entry.since + threshold.seconds * SECOND:
        entry.since, entry.count = now, 1
        return Verdict.WRITE
    entry.count += 1
    if entry.count < threshold.limit:
        return Verdict.WRITE
    entry.until = now + threshold.timeout * SECOND
    return changed


def _suppressed(threshold: Threshold, packet: Packet) -> bool:
    if threshold.addresses is None:
        return True
    source, destination = threshold.addresses.has(packet.src), threshold.addresses.has(packet.dst)
    return {"by_src": source, "by_dst": destination, "by_either": source or destination}[threshold.track]


def _tracked(track: str, packet: Packet) -> Hashable:
    if track == "by_src":
        return packet.src
    if track == "by_dst":
        return packet.dst
    if track == "by_both":
        return (min(packet.src, packet.dst), max(packet.src, packet.dst))
    if track == "by_flow":
        return packet.flow.id if packet.flow else None
    return None


# --- threshold.config ------------------------------------------------------------------------------------------------
_IP = re.compile(r",\s*ip\s+(.+)$")
_LINE = re.compile(r"(suppress|threshold|event_filter|rate_filter)\s+(.*)")


def read_filters(
    text: str, path: str, variables: Mapping[str, str]
) -> tuple[tuple[Filter, ...], list[Problem]]:
    filters: list[Filter] = []
    problems: list[Problem] = []
    pending, start = "", 0
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not pending:
            start = number
        if line.endswith("\\"):
            pending += line[:-1] + " "
            continue
        whole, pending = (pending + line).strip(), ""
        if not whole or whole.startswith("#"):
            continue
        try:
            filters.append(_filter(whole, variables))
        except ValueError as error:
            problems.append(Problem(path, start, str(error)))
    return tuple(filters), problems


def _filter(line: str, variables: Mapping[str, str]) -> Filter:
    found = _LINE.fullmatch(line)
    if not found:
        raise ValueError("expected suppress, threshold, event_filter or rate_filter")
    kind, rest = found.groups()
    hosts = ""
    if kind == "suppress" and (named := _IP.search(rest)):
        rest, hosts = rest[: named.start()], named[1]
    given = _fields(rest) | ({"ip": hosts.strip()} if hosts else {})
    gid, sid = integer(given.get("gen_id", "1")), integer(given.get("sig_id", "0"))
    if kind == "suppress":
        group = _hosts(given["ip"], variables) if "ip" in given else None
        track = given.get("track", "by_src")
        if (group is None) != ("track" not in given) or track not in {"by_src", "by_dst", "by_either"}:
            raise ValueError("suppress takes track by_src, by_dst or by_either together with ip")
        return Filter(gid, sid, Threshold("suppress", track, 0, 0, addresses=group))
    word = "rate_filter" if kind == "rate_filter" else given.get("type", "")
    if word not in {"limit", "threshold", "both", "rate_filter"}:
        raise ValueError(f"unknown type {word}")
    try:
        threshold = Threshold(
            word,
            given["track"],
            integer(given["count"]),
            integer(given["seconds"]),
            given.get("new_action", ""),
            integer(given.get("timeout", "0")),
        )
    except KeyError as missing:
        raise ValueError(f"{missing.args[0]} is missing") from None
    return Filter(gid, sid, threshold)


def _hosts(text: str, variables: Mapping[str, str]) -> AddressSet:
    """Addresses to the end of the line; as in Suricata none of them is negated."""
    if "!" in text:
        raise ValueError(f"suppress takes no negated address: {text}")
    return addresses(f"[{text}]" if "," in text and not text.startswith("[") else text, variables)


def _fields(text: str) -> dict[str, str]:
    """Comma list of `key value`; commas inside brackets belong to the value."""
    fields: dict[str, str] = {}
    for part in re.split(r",\s*(?![^\[]*\])", text):
        key, _, value = part.strip().partition(" ")
        if key:
            fields[key] = value.strip()
    return fields
