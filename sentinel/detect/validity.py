"""What Suricata refuses or quietly changes about the contents of a buffer: patterns its values can never hold.

In: one section of a draft. Out: the section's matches as they are looked for; ValueError where Suricata refuses the
rule. A rule that can never match is a mistake its writer should hear of, and a negated one would match everything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentinel.detect.rule import Content
from sentinel.detect.transforms import transform

if TYPE_CHECKING:
    from collections.abc import Callable

    from sentinel.detect.draft import Section

_DIGEST = 32  # letters of an MD5 in hexadecimal
_HEX = "0123456789abcdefABCDEF"
_FINGERPRINT = 59  # of a SHA-1 with colons
# Transforms after which some patterns cannot occur.
_TELLING = {"to_lowercase", "to_uppercase", "strip_whitespace", "compress_whitespace"}


def settle(section: Section) -> None:
    """Check the section's contents and bring them to the form the buffer has."""
    change = None if section.transforms else _FORMS.get(section.buffer)
    for i, match in enumerate(section.matches):
        if not isinstance(match, Content):
            continue
        for step in section.transforms if not match.negated else ():
            text = match.written or match.pattern
            if step.name in _TELLING and transform(text, (step,)) != text:
                raise ValueError(f"{text!r} cannot occur after {step.name}")
        if match.written:
            section.matches[i] = match = match._replace(written=b"")  # noqa: PLW2901 - goes on with it
        if change is not None:
            section.matches[i] = match._replace(pattern=change(match))


def _host(content: Content) -> bytes:
    if content.nocase or content.pattern != content.pattern.lower():
        raise ValueError("the host name is in lower case: no capitals and no nocase")
    return content.pattern


def _method(content: Content) -> bytes:
    if content.pattern.strip(b" \t") != content.pattern:
        raise ValueError("a method neither begins nor ends with a blank")
    return content.pattern


def _digest(content: Content) -> bytes:
    if len(content.pattern) != _DIGEST:
        raise ValueError(f"a hash has {_DIGEST} characters")
    return content.pattern.lower()


def _fingerprint(content: Content) -> bytes:
    if len(content.pattern) != _FINGERPRINT:
        raise ValueError(f"a fingerprint has {_FINGERPRINT} characters")
    return content.pattern.lower()


def _serial(content: Content) -> bytes:
    if len(content.pattern) > 2 and b":" not in content.pattern:
        raise ValueError("a serial number has colons between its bytes")
    return content.pattern if content.nocase else content.pattern.upper()


def _hexadecimal(content: Content) -> bytes:
    if len(content.pattern) != _DIGEST or not all(chr(byte) in _HEX for byte in content.pattern):
        raise ValueError(f"a hash has {_DIGEST} hexadecimal characters")
    return content.pattern.lower()


_FORMS: dict[str, Callable[[Content], bytes]] = {
    "http.host": _host,
    "http.method": _method,
    "ja3.hash": _digest,
    "ja3s.hash": _digest,
    "ssh.hassh": _digest,
    "ssh.hassh.server": _digest,
    "tls.cert_fingerprint": _fingerprint,
    "tls.cert_serial": _serial,
    "quic.cyu.hash": _hexadecimal,
}
