"""Proposals of IKE version 2 (RFC 7296 section 3.3) and what is weak about them, by Suricata's judgement.

In: the payloads of one message. Out: proposals (protocol, [(type, identifier)]), none at all when any payload of the
message cannot be read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

Proposal = tuple[int, list[tuple[int, int]]]

_SA, _NOTIFY = 33, 41
# Bytes of a body, by payload type.
_LEAST = {34: 4, 35: 4, 36: 4, 37: 1, 38: 1, 39: 4, 42: 8, 43: 8, 44: 4, 45: 4}  # fmt: skip
_AH = 2
_ENCRYPTION, _PRF, _INTEGRITY, _GROUP, _NUMBERS = 1, 2, 3, 4, 5
_NAMES = {_ENCRYPTION: "alg_enc", _PRF: "alg_prf", _INTEGRITY: "alg_auth", _GROUP: "alg_dh"}
# Identifiers (IANA, "Transform Type Values") that stand for something weak.
_WEAK = {
    _ENCRYPTION: ({*range(1, 10), 11}, "weak_crypto_enc"),
    _PRF: ({1, 2}, "weak_crypto_prf"),
    _INTEGRITY: ({*range(1, 8)}, "weak_crypto_auth"),
    _GROUP: ({1, 2, 5, 22}, "weak_crypto_dh"),
}
_AEAD = frozenset({14, 15, 16, 18, 19, 20, 25, 26, 27, 28})


def read(data: bytes, kind: int) -> list[Proposal]:
    found: list[Proposal] = []
    pos = 0
    while pos < len(data):
        size = int.from_bytes(data[pos + 2 : pos + 4], "big")
        if size < 4 or pos + size > len(data):
            return []
        body = data[pos + 4 : pos + size]
        if kind == _SA:
            proposals = _proposals(body)
            if not proposals:
                return []
            found += proposals
        elif not _readable(kind, body):
            return []
        kind, pos = data[pos], pos + size
    return found


def _readable(kind: int, body: bytes) -> bool:
    if kind == _NOTIFY:
        return len(body) >= 4 and len(body) >= 4 + body[1]
    return len(body) >= _LEAST.get(kind, 0)


def _proposals(data: bytes) -> list[Proposal]:
    found: list[Proposal] = []
    pos = 0
    while pos < len(data):
        if pos + 8 > len(data):
            return []
        size, spi, count = int.from_bytes(data[pos + 2 : pos + 4], "big"), data[pos + 6], data[pos + 7]
        if size < 8 + spi or pos + size > len(data):
            return []
        transforms = _transforms(data[pos + 8 + spi : pos + size], count)
        if transforms is None:
            return []
        found.append((data[pos + 5], transforms))
        pos += size
    return found


def _transforms(data: bytes, count: int) -> list[tuple[int, int]] | None:
    found = []
    pos = 0
    for _ in range(count):
        size = max(int.from_bytes(data[pos + 2 : pos + 4], "big"), 8)
        if pos + size > len(data):
            return None
        found.append((data[pos + 4], int.from_bytes(data[pos + 6 : pos + 8], "big")))
        pos += size
    return found


def named(proposal: Proposal) -> Iterator[tuple[str, int]]:
    for kind, number in proposal[1]:
        if kind in _NAMES:
            yield _NAMES[kind], number


def weaknesses(proposal: Proposal) -> Iterator[str]:
    protocol, transforms = proposal
    for kind, number in transforms:
        weak, event = _WEAK.get(kind, (set(), ""))
        if number in weak:
            yield event
        elif kind in {_PRF, _GROUP} and number == 0:
            yield "invalid_proposal"
        elif not _ENCRYPTION <= kind <= _NUMBERS:
            yield "unknown_proposal"
    kinds = {kind for kind, _ in transforms}
    if _GROUP not in kinds:
        yield "weak_crypto_no_dh"
    if protocol == _AH:
        yield "no_encryption"
    guarded = any(kind == _INTEGRITY and number for kind, number in transforms)
    if not guarded and not any(kind == _ENCRYPTION and number in _AEAD for kind, number in transforms):
        yield "weak_crypto_no_auth"
