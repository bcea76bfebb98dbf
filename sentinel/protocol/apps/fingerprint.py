"""JA3, JA3S (salesforce/ja3), JA4 (FoxIO) and HASSH (salesforce/hassh): how a client or server speaks, as one string.

In: parsed hello messages. Out: the string and its hash. GREASE values (RFC 8701) never count.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sentinel.protocol.apps.tls_hello import Hello

_JA4_VERSIONS = {0x0304: "13", 0x0303: "12", 0x0302: "11", 0x0301: "10", 0x0300: "s3", 0x0002: "s2"}
_SNI, _ALPN = 0, 16


def is_grease(value: int) -> bool:
    return value & 0x0F0F == 0x0A0A and value >> 8 == value & 0xFF


def md5(text: bytes) -> bytes:
    return hashlib.md5(text, usedforsecurity=False).hexdigest().encode()


def _dashed(values: list[int]) -> str:
    return "-".join(str(value) for value in values if not is_grease(value))


def ja3(hello: Hello) -> bytes:
    points = "-".join(map(str, hello.point_formats))
    parts = (
        str(hello.version),
        _dashed(hello.ciphers),
        _dashed(hello.extensions),
        _dashed(hello.groups),
        points,
    )
    return ",".join(parts).encode()


def ja3s(hello: Hello) -> bytes:
    parts = (str(hello.version), _dashed(hello.ciphers), _dashed(hello.extensions))
    return ",".join(parts).encode()


def _sha12(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12] if text else "0" * 12


def ja4(hello: Hello, *, quic: bool = False) -> bytes:
    ciphers = [value for value in hello.ciphers if not is_grease(value)]
    extensions = [value for value in hello.extensions if not is_grease(value)]
    offered = [value for value in hello.versions if not is_grease(value)]
    version = _JA4_VERSIONS.get(max(offered, default=hello.version), "00")
    alpn = hello.alpn[0] if hello.alpn else b""
    if not alpn:
        ends = "00"
    elif all(chr(byte).isalnum() and byte < 128 for byte in (alpn[0], alpn[-1])):
        ends = chr(alpn[0]) + chr(alpn[-1])
    else:
        ends = f"{alpn[0]:02x}"[0] + f"{alpn[-1]:02x}"[1]
    first = (
        ("q" if quic else "t")
        + version
        + ("d" if hello.sni is not None else "i")
        + f"{min(len(ciphers), 99):02d}{min(len(extensions), 99):02d}"
        + ends
    )
    sorted_ciphers = ",".join(f"{value:04x}" for value in sorted(ciphers))
    sorted_extensions = ",".join(f"{value:04x}" for value in sorted(extensions) if value not in {_SNI, _ALPN})
    algorithms = ",".join(f"{value:04x}" for value in hello.signatures if not is_grease(value))
    third = sorted_extensions + (f"_{algorithms}" if algorithms else "")
    return f"{first}_{_sha12(sorted_ciphers)}_{_sha12(third)}".encode()
