"""Keywords that describe a rule: msg, sid, classtype, metadata ... (rule manual, "Meta Keywords")."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sentinel.detect.arguments import integer, required, unquoted

if TYPE_CHECKING:
    from collections.abc import Callable

    from sentinel.detect.draft import Draft

CHARACTER_LIMIT = 255  # of a priority, as in Suricata
_KNOWN_FEATURES = ("keyword", "feature", "version")
_VERSION = re.compile(r"(>=|<=|>|<)\s*(\d+(?:\.\d+){0,2})")
VERSION = (7, 0, 10)  # whose rule language and semantics these are


def _msg(draft: Draft, value: str | None) -> None:
    text = re.sub(r"\\(.)", r"\1", unquoted(value))
    draft.msg = text.encode("latin-1", "replace").decode("utf-8", "replace")


def _number(name: str) -> Callable[[Draft, str | None], None]:
    def parse(draft: Draft, value: str | None) -> None:
        number = integer(unquoted(value))
        if number < 0:
            raise ValueError("is negative")
        setattr(draft, name, number)

    return parse


def _sid(draft: Draft, value: str | None) -> None:
    number = integer(unquoted(value))
    if number <= 0:
        raise ValueError("is not a positive number")
    draft.sid = number


def _priority(draft: Draft, value: str | None) -> None:
    number = integer(unquoted(value))
    if not 0 < number <= CHARACTER_LIMIT:
        raise ValueError(f"is not in 1-{CHARACTER_LIMIT}")
    draft.priority = number


def _classtype(draft: Draft, value: str | None) -> None:
    name = unquoted(value).lower()
    found = draft.classes.get(name)
    if found is not None:
        if draft.class_severity is None or found[1] < draft.class_severity:
            draft.class_severity = found[1]
        draft.category = found[0]


def _metadata(draft: Draft, value: str | None) -> None:
    for pair in required(value).split(","):
        key, _, rest = pair.strip().partition(" ")
        if key:
            draft.metadata.setdefault(key, []).append(rest.strip())


def _reference(draft: Draft, value: str | None) -> None:
    draft.references.append(unquoted(value))


def _ignore(draft: Draft, value: str | None) -> None:
    """target, tag, bypass ... change what is logged or forwarded, never whether a rule alerts."""


def _requires(draft: Draft, value: str | None) -> None:
    for condition in required(value).split(","):
        kind, _, rest = condition.strip().partition(" ")
        if kind not in _KNOWN_FEATURES:
            raise ValueError(f"unknown requirement {kind}")
        if kind == "feature" or (kind == "version" and not any(map(_satisfied, rest.split("|")))):
            raise ValueError(f"needs {condition.strip()}, Sentinel speaks {'.'.join(map(str, VERSION))}")


def _satisfied(conditions: str) -> bool:
    """All of several conditions, such as >= 7.0.3 < 8."""
    found = _VERSION.findall(conditions)
    if not found or _VERSION.sub("", conditions).strip():
        raise ValueError(f"{conditions!r} is not a version condition")
    return all(_holds(operator, tuple(map(int, version.split(".")))) for operator, version in found)


def _holds(operator: str, wanted: tuple[int, ...]) -> bool:
    full = (*wanted, 0, 0)[:3]
    return {">=": full <= VERSION, "<=": full >= VERSION, ">": full < VERSION, "<": full > VERSION}[operator]


META: dict[str, Callable[[Draft, str | None], None]] = {
    "msg": _msg,
    "sid": _sid,
    "rev": _number("rev"),
    "gid": _number("gid"),
    "priority": _priority,
    "classtype": _classtype,
    "metadata": _metadata,
    "reference": _reference,
    "requires": _requires,
    "target": _ignore,
    "tag": _ignore,
    "bypass": _ignore,
    "replace": _ignore,
    "nfq_set_mark": _ignore,
    "logto": _ignore,
    "config": _ignore,
    "tls_store": _ignore,
    "tls.store": _ignore,
}
