"""Probing functions of protocol recognition: do these first bytes look like the protocol?

In: the first bytes of one direction (a whole datagram for UDP). Out: True, False, or None for "too few bytes".
Each is as strict as Suricata's, so that a flow on a well-known port is not taken for what it is not.
"""

from __future__ import annotations

from sentinel.protocol.apps import der
from sentinel.protocol.apps import dns as dns_parser
from sentinel.protocol.apps import sip as sip_parser

_SMB_TYPES = frozenset({0x00, 0x81, 0x82, 0x83, 0x84, 0x85})
_RDP_CODES = frozenset({0xE0, 0xD0, 0xF0})
_DHCP_COOKIE = b"\x63\x82\x53\x63"
_QUIC_FIXED = 0x40


def sslv2_client(data: bytes) -> bool:
    """SSLv2 client hello in its two-byte framing."""
    return bool(data[0] & 0x80) and data[2] == 1


def tls_client(data: bytes) -> bool | None:
    return sslv2_client(data) if len(data) >= 3 else None


def dns(data: bytes) -> bool:
    return dns_parser.looks_like_dns(data)


def dns_answer(data: bytes) -> bool:
    return bool(data[2] & 0x80)


def dns_framed(data: bytes) -> bool | None:
    if len(data) < 14:
        return None
    length = int.from_bytes(data[:2], "big")
    return length >= 12 and dns_parser.looks_like_dns(
        data[2 : 2 + length] + bytes(max(length - len(data) + 2, 0))
    )


def smb(data: bytes) -> bool:
    return len(data) >= 8 and data[0] in _SMB_TYPES


def smb_session(data: bytes) -> bool | None:
    """A NetBIOS session request in front of SMB."""
    if len(data) < 8:
        return None
    return data[0] == 0x81 and int.from_bytes(data[1:4], "big") < 1024


def dcerpc(data: bytes) -> bool:
    return len(data) >= 10 and data[2] < 20 and (data[4] & 0xF0) in {0x00, 0x10}


def sip_request(data: bytes) -> bool:
    return sip_parser.is_request(data)


def sip_response(data: bytes) -> bool:
    return sip_parser.is_response(data)


def mqtt(data: bytes) -> bool | None:
    """A fixed header: a type that is assigned, a QoS that exists, a length of at most four bytes."""
    for i in range(1, 5):
        if i >= len(data):
            return None
        if not data[i] & 0x80:
            return bool(data[0] >> 4) and data[0] >> 1 & 3 != 3
    return False


def pgsql(data: bytes) -> bool | None:
    if len(data) < 8:
        return None
    length, code = int.from_bytes(data[:4], "big"), int.from_bytes(data[4:8], "big")
    return 8 <= length < 10000 and (code >> 16 == 3 or code >> 16 == 1234)


def pgsql_answer(data: bytes) -> bool | None:
    return data[:1] in {b"S", b"N"} if len(data) == 1 else data[:1] in b"RESKZN"


def rdp(data: bytes) -> bool | None:
    if len(data) < 7:
        return None
    return data[0] == 3 and data[1] == 0 and data[5] in _RDP_CODES


def rpc_framed(data: bytes) -> bool | None:
    return rpc(data[4:]) if len(data) >= 28 else None


def rpc(data: bytes) -> bool | None:
    if len(data) < 24:
        return None
    kind = int.from_bytes(data[4:8], "big")
    if kind == 0:
        program = int.from_bytes(data[12:16], "big")
        return int.from_bytes(data[8:12], "big") == 2 and program in {100000, 100003, 100005}
    return kind == 1 and int.from_bytes(data[8:12], "big") in {0, 1}


def krb5(data: bytes) -> bool | None:
    """An APPLICATION tag, a sequence in it, and near its begin the version: INTEGER 5."""
    if len(data) <= 10:
        return False
    if data[0] >> 6 != 1 or data[0] & 0x1F > 30:
        return False
    inner = 2 + (data[1] & 0x7F if data[1] & 0x80 else 0)
    if data[inner : inner + 1] != b"\x30" or inner + 2 > len(data):
        return False
    first = inner + 2 + (data[inner + 1] & 0x7F if data[inner + 1] & 0x80 else 0)
    return data[first + 2 : first + 5] == b"\2\1\5" and len(data) > first + 5


def krb5_framed(data: bytes) -> bool | None:
    return len(data) > 14 and int.from_bytes(data[:4], "big") <= 16384 and krb5(data[4:])


def modbus(data: bytes) -> bool | None:
    if len(data) < 8:
        return None
    return data[2:4] == b"\0\0" and 2 <= int.from_bytes(data[4:6], "big") <= 254


def dnp3(data: bytes) -> bool | None:
    return data[:2] == b"\x05\x64" if len(data) >= 10 else None


def enip(data: bytes) -> bool | None:
    if len(data) < 4:
        return None
    command = int.from_bytes(data[:2], "little")
    return command in {0x00, 0x01, 0x04, 0x63, 0x64, 0x65, 0x66, 0x6F, 0x70, 0x72, 0x73}


def telnet(data: bytes) -> bool | None:
    if len(data) < 3:
        return None
    return data[0] == 0xFF and 0xF0 <= data[1] <= 0xFE


def dhcp(data: bytes) -> bool:
    return len(data) >= 240 and data[236:240] == _DHCP_COOKIE


def ntp(data: bytes) -> bool:
    return len(data) >= 48 and data[0] >> 3 & 7 in {3, 4}


def snmp(data: bytes) -> bool:
    """An envelope of version 1 or 2c has three members, one of version 3 four."""
    try:
        parts = der.read(data).list()
    except der.BadDerError:
        return False
    if data[0] != 0x30 or not parts or parts[0].tag != 2:
        return False
    version = parts[0].integer
    return (len(parts) == 3 and version in {0, 1}) or (len(parts) == 4 and version == 3)


def tftp(data: bytes) -> bool:
    return len(data) >= 4 and data[0] == 0


def ike(data: bytes) -> bool:
    """Version 1 as it is; of version 2 the four exchanges of RFC 7296, with a length that is right."""
    if len(data) < 28:
        return False
    major, minor = data[17] >> 4, data[17] & 0xF
    if major != 2:
        return major == 1
    return minor == 0 and 34 <= data[18] <= 37 and int.from_bytes(data[24:28], "big") == len(data)


def quic(data: bytes) -> bool:
    """A long header of a version we know: a client's first datagram is padded to 1200 bytes."""
    if len(data) < 16 or data[0] & 0xC0 != 0xC0:
        return False
    version = int.from_bytes(data[1:5], "big")
    known = version in {1, 0x6B3343CF, 0x51303433, 0x51303434, 0x51303435, 0x51303436, 0x51303530}
    return known or version >> 8 == 0xFF0000


def http2_settings(data: bytes) -> bool | None:
    """The server's first frame is SETTINGS on stream 0."""
    if len(data) < 9:
        return None
    length = int.from_bytes(data[:3], "big")
    return length <= 16384 and data[3] == 4 and not data[4] & 0xFE and not data[5] & 0x80


def no_longer_http2(data: bytes) -> bool | None:
    """A client on port 80 stays undecided until the preface of HTTP/2 cannot be there any more."""
    return None if len(data) <= 24 else False
