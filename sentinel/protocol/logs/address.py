"""Is this text an IP address, and how is it written: the one spelling that every format hands on.

IPv4-mapped IPv6 becomes IPv4, brackets and zone ids go, IPv6 is written as RFC 5952 says. Answers are cached, since
a log has few distinct addresses among many lines.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache

CACHED = 65_536  # addresses remembered; a busy log names fewer within its recent lines


@lru_cache(CACHED)
def canonical(text: bytes) -> bytes | None:
    """The address in its one spelling, or None when it is none (a host name, `unknown`, 192.030.0.6)."""
    try:
        word = text.decode("ascii").strip("[]").partition("%")[0]
        address = ipaddress.ip_address(word)
    except ValueError:
        return None
    if address.version == 6 and address.ipv4_mapped is not None:
        return str(address.ipv4_mapped).encode()
    return str(address).encode()


def is_ip(text: bytes) -> bool:
    return canonical(text) is not None
