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
# Buffers that Suricata's prefilter searches only when no other has a content.
_LATER = {"payload": 1, "http.method": 2, "http.stat_code": 2, "http.stat_msg": 1}
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


def choose_absent(sections: Sequence[Section]) -> Content | None:
    """The content that must not occur at all.

    For a rule with nothing but negated contents, Suricata's prefilter looks for the longest one that may stand
    anywhere, and drops the rule where it is found.
    """
    best: Content | None = None
    for section in sections:
        for match in section.matches:
            if not isinstance(match, Content):
                continue
            if not match.negated:
                return None
            if section.buffer == "payload" and _anywhere(match) and (best is None or _longer(match, best)):
                best = match
    return best


def searched_buffer(sections: Sequence[Section]) -> tuple[str, bool]:
    """The buffer that Suricata's prefilter searches for a rule ("" for none), and whether for a negated content.

    How often a rule matches a transaction depends on it (see transactions).
    """
    contents = [(s.buffer, m) for s in sections for m in s.matches if isinstance(m, Content)]
    usable = [pair for pair in contents if not pair[1].negated] or contents
    if not usable:
        return "", False
    negated = usable[0][1].negated
    if all(buffer == usable[0][0] for buffer, _ in usable):
        return usable[0][0], negated
    return max(usable, key=_suricata_rank)[0], negated


def _suricata_rank(pair: tuple[str, Content]) -> tuple[bool, int, int, int]:
    buffer, content = pair
    group = -_LATER.get(buffer, 0)
    return content.fast, group, len(content.pattern), _suricata_strength(content.pattern)


def _anywhere(content: Content) -> bool:
    return not content.placed and not content.relative


def _longer(content: Content, other: Content) -> bool:
    new, old = content.pattern, other.pattern
    return (len(new), _suricata_strength(new)) > (len(old), _suricata_strength(old))


def _suricata_weight(byte: int) -> int:
    if chr(byte).isascii() and chr(byte).isalpha():
        return 3
    return 4 if 0x20 <= byte < 0x7F or byte in {0, 1, 0xFF} else 6


_SURICATA_WEIGHTS = [_suricata_weight(byte) for byte in range(256)]


def _suricata_strength(pattern: bytes) -> int:
    """Suricata's measure of how rare a pattern is, which decides between patterns of one length."""
    distinct = set(pattern)
    return len(pattern) - len(distinct) + sum(map(_SURICATA_WEIGHTS.__getitem__, distinct))


def _weight(byte: int) -> int:
    if byte in {0, 1, 0x20, 0xFF, 0x0D, 0x0A}:
        return 2
    return 3 if chr(byte).isalnum() else 4


_WEIGHTS = [_weight(byte) for byte in range(256)]


def strength(pattern: bytes) -> int:
    """Longer is rarer; letters and digits are common, blanks and zero bytes most of all. A repeated byte counts one."""
    distinct = set(pattern)
    return sum(map(_WEIGHTS.__getitem__, distinct)) + len(pattern) - len(distinct)
