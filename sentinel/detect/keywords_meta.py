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
        if kind == "version" and not any(
            all(_satisfies(part) for part in option.split()) for option in rest.split("|")
        ):
            raise ValueError(f"needs {condition.strip()}, Sentinel has {'.'.join(map(str, VERSION))}")
        if kind == "feature":
            raise ValueError(f"needs {condition.strip()}")
        if kind not in _KNOWN_FEATURES:
            raise ValueError(f"unknown requirement {kind}")


def _satisfies(text: str) -> bool:
    found = re.fullmatch(r"(>=|<=|>|<)\s*(\d+)(?:\.(\d+))?(?:\.(\d+))?", text.strip())
    if not found:
        raise ValueError(f"{text!r} is not a version condition")
    wanted = tuple(int(part or 0) for part in found.groups()[1:])
    return {
        ">=": wanted <= VERSION,
        "<=": wanted >= VERSION,
        ">": wanted < VERSION,
        "<": wanted > VERSION,
    }[found[1]]


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
