"""Which content of a rule must be found before the rule is looked at.

In: the sections of a draft. Out: FastPattern, or None when a rule has no usable content and is always a candidate.
The writer's fast_pattern wins; else the content that is least common in benign traffic, by its length and by how
common its bytes are. A content over a transformed buffer or a negated one cannot serve.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentinel.detect.rule import Content, FastPattern

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sentinel.detect.draft import Section

# Buffers whose values repeat from request to request: a content there says little.
_COMMON = {
    "http.method": -40,
    "http.protocol": -40,
    "http.stat_code": -40,
    "http.stat_msg": -40,
    "payload": -2,
}
_SKIPPED = {"ip.src", "ip.dst", "ipv4.hdr", "ipv6.hdr", "tcp.hdr", "udp.hdr", "icmpv4.hdr", "icmpv6.hdr"}


def choose(sections: Sequence[Section], *, stateful: bool) -> FastPattern | None:
    best: tuple[float, FastPattern] | None = None
    for section in sections:
        if section.buffer in _SKIPPED or (stateful and section.buffer == "payload"):
            continue
        for match in section.matches:
            if not isinstance(match, Content) or match.negated or not match.pattern:
                continue
            score = strength(match.pattern) + _COMMON.get(section.buffer, 0) + (1000 if match.fast else 0)
            if best is None or score > best[0]:
                transforms = tuple(section.transforms)
                best = (score, FastPattern(section.buffer, match.pattern, match.nocase, transforms))
    return best[1] if best else None


def _weight(byte: int) -> int:
    if byte in {0, 1, 0x20, 0xFF, 0x0D, 0x0A}:
        return 2
    return 3 if chr(byte).isalnum() else 4


_WEIGHTS = [_weight(byte) for byte in range(256)]


def strength(pattern: bytes) -> int:
    """Longer is rarer; letters and digits are common, blanks and zero bytes most of all. A repeated byte counts one."""
    distinct = set(pattern)
    return sum(map(_WEIGHTS.__getitem__, distinct)) + len(pattern) - len(distinct)
