"""Keywords about flows, state between packets and alert rates: flow, flowbits, flowint, threshold ...

(rule manual, "Flow Keywords", "Thresholding Keywords"). A state keyword that tests goes to the checks of a rule, one
that changes state goes to what a match does.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sentinel.detect.arguments import (
    comparison,
    integer,
    negatable,
    nothing,
    pairs,
    required,
    unquoted,
    words,
)
from sentinel.detect.rule import Check, Threshold

if TYPE_CHECKING:
    from collections.abc import Callable

    from sentinel.detect.draft import Draft

_FLOW_WORDS = {
    "to_server", "from_client", "to_client", "from_server", "established", "not_established", "stateless",
    "only_stream", "no_stream", "only_frag", "no_frag",
}  # fmt: skip
_CONFLICTS = (
    ({"to_server", "from_client"}, {"to_client", "from_server"}),
    ({"established"}, {"not_established", "stateless"}),
    ({"not_established"}, {"stateless"}),
    ({"only_stream"}, {"no_stream"}),
    ({"only_frag"}, {"no_frag"}),
)
_TESTS = {"isset", "isnotset"}
_CHANGES = {"set", "unset", "toggle"}
_TRACKS = {"by_src", "by_dst", "by_both", "by_rule", "by_flow"}
DEFAULT_XBIT_SECONDS = 30  # Suricata's, for xbits without expire


def _flow(draft: Draft, value: str | None) -> None:
    found = {word.lower() for word in words(value)}
    if unknown := found - _FLOW_WORDS:
        raise ValueError(f"unknown word {', '.join(sorted(unknown))}")
    if draft.flow:
        raise ValueError("is used twice")
    if any(found & left and found & right for left, right in _CONFLICTS):
        raise ValueError(f"contradicts itself: {value}")
    draft.flow |= found
    states = tuple(sorted(found & {"established", "not_established", "only_frag", "no_frag"}))
    if states:
        draft.checks.append(Check("flow", states))


def _bits(kind: str) -> Callable[[Draft, str | None], None]:
    def parse(draft: Draft, value: str | None) -> None:
        arguments = words(value)
        command = arguments[0].lower()
        if command == "noalert":
            draft.noalert = True
            return
        if command not in _TESTS | _CHANGES or len(arguments) < 2:
            raise ValueError(f"unknown command {value}")
        names = tuple(name.strip() for name in arguments[1].split("|"))
        if not all(names):
            raise ValueError("a name is empty")
        if len(names) > 1 and command not in _TESTS:
            raise ValueError("only isset and isnotset take alternatives")
        track, expire = _bit_scope(kind, arguments[2:])
        check = Check(kind, (command, names, track, expire))
        (draft.checks if command in _TESTS else draft.post).append(check)

    return parse


def _bit_scope(kind: str, options: list[str]) -> tuple[str, int]:
    """Whose bit it is, and for how many seconds."""
    if kind == "flowbits":
        return "flow", 0
    if kind == "hostbits":
        side = options[0] if options else "src"
        if side not in {"src", "dst"}:
            raise ValueError(f"unknown side {side}")
        return f"ip_{side}", 0
    given = {key: rest.strip() for key, _, rest in (word.partition(" ") for word in options)}
    if given.get("track") not in {"ip_src", "ip_dst", "ip_pair", "tx"}:
        raise ValueError("needs track ip_src, ip_dst or ip_pair")
    return given["track"], integer(given["expire"]) if "expire" in given else DEFAULT_XBIT_SECONDS


def _flowint(draft: Draft, value: str | None) -> None:
    arguments = words(value)
    if len(arguments) == 2 and arguments[1] in {"isset", "isnotset", "notset"}:
        word = "isset" if arguments[1] == "isset" else "isnotset"
        draft.checks.append(Check("flowint", (arguments[0], word, 0)))
        return
    if len(arguments) != 3:
        raise ValueError("needs: name, modifier, value")
    name, operator, operand = arguments
    number = integer(operand) if re.fullmatch(r"\d+", operand) else operand
    if operator in {"+", "-", "="}:
        draft.post.append(Check("flowint", (name, operator, number)))
    elif operator in {"<", ">", "<=", ">=", "==", "!="}:
        draft.checks.append(Check("flowint", (name, operator, number)))
    else:
        raise ValueError(f"unknown modifier {operator}")


def _noalert(draft: Draft, value: str | None) -> None:
    nothing(value)
    draft.noalert = True


def _alert(draft: Draft, value: str | None) -> None:
    nothing(value)
    draft.noalert = False


def _threshold(draft: Draft, value: str | None) -> None:
    given = pairs(value)
    if set(given) != {"type", "track", "count", "seconds"}:
        raise ValueError("needs: type, track, count, seconds")
    if given["type"] not in {"limit", "threshold", "both"}:
        raise ValueError(f"unknown type {given['type']}")
    _add_threshold(draft, given["type"], given)


def _detection_filter(draft: Draft, value: str | None) -> None:
    given = pairs(value)
    if set(given) != {"track", "count", "seconds"}:
        raise ValueError("needs: track, count, seconds")
    if given["track"] not in {"by_src", "by_dst"}:
        raise ValueError("tracks by_src or by_dst")
    _add_threshold(draft, "detection_filter", given)


def _add_threshold(draft: Draft, kind: str, given: dict[str, str]) -> None:
    if given["track"] not in _TRACKS:
        raise ValueError(f"unknown track {given['track']}")
    if draft.thresholds:
        raise ValueError("a rule has one threshold or detection_filter")
    count, seconds = integer(given["count"]), integer(given["seconds"])
    if count < 1 or seconds < 1:
        raise ValueError("count and seconds are positive")
    draft.thresholds.append(Threshold(kind, given["track"], count, seconds))


def _stream_size(draft: Draft, value: str | None) -> None:
    arguments = words(value)
    if len(arguments) != 3 or arguments[0] not in {"server", "client", "both", "either"}:
        raise ValueError("needs: side, operator, size")
    if arguments[1] not in {"<", ">", "=", "!=", "<=", ">="}:
        raise ValueError(f"unknown operator {arguments[1]}")
    draft.checks.append(Check("stream_size", (arguments[0], (arguments[1], integer(arguments[2]), 0))))


def _flow_age(draft: Draft, value: str | None) -> None:
    draft.checks.append(Check("flow.age", (comparison(value),)))


def _application(draft: Draft, value: str | None) -> None:
    negated, name = negatable(value)
    name = name.split(",")[0].strip()
    draft.checks.append(Check("app-layer-protocol", (name, negated)))


def _ftpbounce(draft: Draft, value: str | None) -> None:
    nothing(value)
    draft.app_checks.append((Check("ftpbounce"), frozenset({"ftp"}), (True, False)))


def _prefilter(draft: Draft, value: str | None) -> None:
    nothing(value)


def _variable(draft: Draft, value: str | None) -> None:
    """flowvar:name,"text" compares what a pcre captured before."""
    name, _, text = required(value).partition(",")
    draft.checks.append(Check("flowvar", (name.strip(), unquoted(text).encode("latin-1"))))


FLOW: dict[str, Callable[[Draft, str | None], None]] = {
    "flow": _flow,
    "flowbits": _bits("flowbits"),
    "hostbits": _bits("hostbits"),
    "xbits": _bits("xbits"),
    "flowint": _flowint,
    "flowvar": _variable,
    "noalert": _noalert,
    "alert": _alert,
    "threshold": _threshold,
    "detection_filter": _detection_filter,
    "stream_size": _stream_size,
    "flow.age": _flow_age,
    "app-layer-protocol": _application,
    "ftpbounce": _ftpbounce,
    "prefilter": _prefilter,
}
