"""Keywords that compare a number or word of a transaction: tls.version, dns.opcode, mqtt.type ... and events.

Each becomes a Part whose buffer is the keyword's name; `values` compares what the parser filled in under that name.
"""

from __future__ import annotations

import contextlib
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sentinel.detect.arguments import comparison, integer, negatable, nothing, required, unquoted, words
from sentinel.detect.keywords_content import pattern_bytes
from sentinel.detect.protocols import PROTOCOLS, TCP
from sentinel.detect.rule import Check, Content, Pcre

if TYPE_CHECKING:
    from collections.abc import Callable

    from sentinel.detect.draft import Draft

_BOTH, _SERVER, _CLIENT = (True, True), (True, False), (False, True)
_FOUR_BYTES = 0xFFFFFFFF

_MQTT_TYPES = {
    name: number
    for number, name in enumerate(
        [
            "UNASSIGNED",
            "CONNECT",
            "CONNACK",
            "PUBLISH",
            "PUBACK",
            "PUBREC",
            "PUBREL",
            "PUBCOMP",
            "SUBSCRIBE",
            "SUBACK",
            "UNSUBSCRIBE",
            "UNSUBACK",
            "PINGREQ",
            "PINGRESP",
            "DISCONNECT",
            "AUTH",
        ]
    )
}
_HTTP2_FRAMES = {
    name: number
    for number, name in enumerate(
        [
            "DATA",
            "HEADERS",
            "PRIORITY",
            "RSTSTREAM",
            "SETTINGS",
            "PUSHPROMISE",
            "PING",
            "GOAWAY",
            "WINDOWUPDATE",
            "CONTINUATION",
        ]
    )
}
_HTTP2_ERRORS = {
    name: number
    for number, name in enumerate(
        [
            "NO_ERROR",
            "PROTOCOL_ERROR",
            "INTERNAL_ERROR",
            "FLOW_CONTROL_ERROR",
            "SETTINGS_TIMEOUT",
            "STREAM_CLOSED",
            "FRAME_SIZE_ERROR",
            "REFUSED_STREAM",
            "CANCEL",
            "COMPRESSION_ERROR",
            "CONNECT_ERROR",
            "ENHANCE_YOUR_CALM",
            "INADEQUATE_SECURITY",
            "HTTP_1_1_REQUIRED",
        ]
    )
}
_HTTP2_SETTINGS = {
    f"SETTINGS_{name}": number + 1
    for number, name in enumerate(
        [
            "HEADER_TABLE_SIZE",
            "ENABLE_PUSH",
            "MAX_CONCURRENT_STREAMS",
            "INITIAL_WINDOW_SIZE",
            "MAX_FRAME_SIZE",
            "MAX_HEADER_LIST_SIZE",
        ]
    )
}
# Suricata looks for a protocol's events over TCP first if the rule's protocol allows TCP, and skips the rule then.
_DATAGRAMS = {"ike", "snmp", "dhcp", "ntp", "tftp", "sip", "quic"}
# Events that rules of Suricata 8 name and Suricata 7.0.10 does not know.
_LATER = {
    "http": (
        "deformed_eol", "response_body_unexpected", "response_chunk_extension", "switching_proto_with_content_length",
        "request_line_missing_protocol",
    ),
}  # fmt: skip
_TLS_VERSIONS = {"1.0": 0x0301, "1.1": 0x0302, "1.2": 0x0303, "1.3": 0x0304}
_SSL_VERSIONS = {
    "sslv2": 0x0002,
    "sslv3": 0x0300,
    **{f"tls{name}": code for name, code in _TLS_VERSIONS.items()},
}
_SSL_STATES = {"client_hello", "server_hello", "client_keyx", "server_keyx", "unknown"}


def _add(  # noqa: PLR0917 - a row of the table below
    draft: Draft, name: str, check: str, args: tuple[object, ...], protocols: str, reach: tuple[bool, bool]
) -> None:
    draft.app_checks.append((Check(name, (check, *args)), frozenset(protocols.split()), reach))


def _compared(
    name: str,
    protocols: str,
    reach: tuple[bool, bool],
    names: dict[str, int] | None = None,
    *,
    inclusive: bool = False,
) -> Callable[[Draft, str | None], None]:
    """A comparison; a range leaves out its ends, but for a few keywords."""
    lower = {key.lower(): value for key, value in (names or {}).items()}

    def parse(draft: Draft, value: str | None) -> None:
        text = unquoted(value).replace(" ", "")
        wanted = comparison(text, lower)
        if inclusive and wanted[0] == "range":
            if wanted[1] == 0:
                raise ValueError("a range begins above 0")
            wanted = ("range", wanted[1] - 1, wanted[2] + 1)
        _add(draft, name, "compare", (wanted,), protocols, reach)

    return parse


def _equal(name: str, protocols: str, reach: tuple[bool, bool]) -> Callable[[Draft, str | None], None]:
    """A number or !number."""

    def parse(draft: Draft, value: str | None) -> None:
        wanted = comparison(unquoted(value).replace(" ", ""))
        if wanted[0] not in {"=", "!="}:
            raise ValueError("takes a number or !number")
        _add(draft, name, "compare", (wanted,), protocols, reach)

    return parse


def _exact(
    name: str,
    protocols: str,
    reach: tuple[bool, bool],
    names: dict[str, int] | None = None,
    limit: int | None = 255,
) -> Callable[[Draft, str | None], None]:
    """One number, or one of the names where there are any; no limit: names alone."""
    lower = {key.lower(): value for key, value in (names or {}).items()}

    def parse(draft: Draft, value: str | None) -> None:
        text = unquoted(value).strip()
        if text.lower() in lower:
            number = lower[text.lower()]
        elif limit is not None and text.isdigit() and int(text) <= limit:
            number = int(text)
        else:
            raise ValueError(f"unknown value {text}")
        _add(draft, name, "compare", (("=", number, 0),), protocols, reach)

    return parse


def _worded(
    name: str, protocols: str, reach: tuple[bool, bool], known: str = ""
) -> Callable[[Draft, str | None], None]:
    """A word, of the known ones if there is a list."""

    def parse(draft: Draft, value: str | None) -> None:
        negated, text = negatable(unquoted(value))
        if known and (negated or text.lower() not in known.split()):
            raise ValueError(f"unknown word {value}")
        _add(draft, name, "word", (negated, text.lower()), protocols, reach)

    return parse


def _flags(name: str, protocols: str, letters: str) -> Callable[[Draft, str | None], None]:
    """Comma list of flag names, each perhaps negated; the value is a collection of names."""

    def parse(draft: Draft, value: str | None) -> None:
        wanted = tuple(negatable(word) for word in words(unquoted(value)))
        if unknown := {word for _, word in wanted} - set(letters.split()):
            raise ValueError(f"unknown flag {', '.join(sorted(unknown))}")
        if len({word for _, word in wanted}) < len(wanted):
            raise ValueError("names a flag twice")
        _add(draft, name, "flags", wanted, protocols, _SERVER)

    return parse


def _event(draft: Draft, value: str | None) -> None:
    text = unquoted(value)
    protocol, dot, event = text.partition(".")
    if not dot:
        draft.checks.append(Check("event", (f"applayer.{text}",)))
        return
    protocol = {"http1": "http", "ikev2": "ike"}.get(protocol, protocol)
    if event.lower() in _LATER.get(protocol, ()):
        raise ValueError(f"{protocol} has no event {event} before Suricata 8")
    if protocol in _DATAGRAMS and TCP in (PROTOCOLS[draft.header.protocol].ip_protocols or {TCP}):
        raise ValueError(f"{protocol} has no events over TCP, which the rule's protocol allows")
    _add(draft, "app-layer-event", "event", (event.lower(),), protocol, _BOTH)


def _versions(name: str, table: dict[str, int]) -> Callable[[Draft, str | None], None]:
    def parse(draft: Draft, value: str | None) -> None:
        wanted = []
        for word in words(unquoted(value)):
            negated, text = negatable(word.replace(" ", ""))
            if negated and name == "tls.version":
                raise ValueError("cannot be negated")
            if text.lower() in table:
                wanted.append((negated, table[text.lower()]))
            elif re.fullmatch(r"0x[0-9a-fA-F]{4}", text):
                wanted.append((negated, int(text, 16)))
            else:
                raise ValueError(f"unknown version {text}")
        _add(draft, name, "versions", tuple(wanted), "tls", _BOTH)

    return parse


def _ssl_state(draft: Draft, value: str | None) -> None:
    wanted = []
    for word in re.split(r"[,|]", unquoted(value)):
        negated, name = negatable(word.strip())
        if name not in _SSL_STATES:
            raise ValueError(f"unknown state {name}")
        wanted.append((negated, name))
    _add(draft, "ssl_state", "states", tuple(wanted), "tls", _BOTH)


def _substring(buffer: str) -> Callable[[Draft, str | None], None]:
    """tls.subject:"CN=x" and its like: older keywords that look for text in what is a sticky buffer today."""

    def parse(draft: Draft, value: str | None) -> None:
        negated, text = negatable(value)
        section = draft.section(buffer)
        section.matches.append(Content(pattern_bytes(unquoted(text)), negated=negated))
        draft.last = section

    return parse


def _exactly(draft: Draft, buffer: str, text: str) -> None:
    """Older keywords that compare a whole value."""
    value = text.encode("latin-1")
    section = draft.section(buffer)
    section.matches.append(Content(value, depth=len(value), startswith=True, placed=True, endswith=True))
    draft.last = section


def _ssh_protocol(draft: Draft, value: str | None) -> None:
    text = unquoted(value).strip()
    if text == "2_compat":  # 1.99 is what a server says that speaks version 2 and older ones
        draft.section("ssh.proto").matches.append(Pcre(rb"^(?:2|1\.99)", "", negated=False, relative=False))
    elif re.fullmatch(r"[0-9]+[-.0-9]*", text):
        _exactly(draft, "ssh.proto", text)
    else:
        raise ValueError("is a number with dots, or 2_compat")


def _ssh_software(draft: Draft, value: str | None) -> None:
    text = unquoted(value).strip()
    if not re.fullmatch(r"[0-9a-zA-Z:.\-_+\s]+", text):
        raise ValueError("is not the name of a software")
    _exactly(draft, "ssh.software", text)


def _settings(draft: Draft, value: str | None) -> None:
    found = re.fullmatch(r"\s*(\w+)\s*(.*)", unquoted(value))
    if not found or (found[1] not in _HTTP2_SETTINGS and not found[1].isdigit()):
        raise ValueError("is not: name [comparison]")
    number = _HTTP2_SETTINGS[found[1]] if found[1] in _HTTP2_SETTINGS else int(found[1])
    wanted = comparison(found[2].replace(" ", "")) if found[2].strip() else None
    _add(draft, "http2.settings", "setting", (number, wanted), "http2", _BOTH)


def _sa_attribute(draft: Draft, value: str | None) -> None:
    name, equals, number = required(value).partition("=")
    if not equals:
        raise ValueError("is not: attribute=number")
    _add(draft, "ike.chosen_sa_attribute", "pair", (name.strip(), integer(number.strip())), "ike", _CLIENT)


# strptime formats of a date in tls_cert_notbefore and tls_cert_notafter
_DATES = (
    "%Y-%m", "%Y-%m-%d", "%Y-%m-%d %H", "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%dT%H", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S",
)  # fmt: skip
_DATE_RANGE = re.compile(r"([<>]?)\s*([-: T0-9]+?)\s*(?:<>\s*([-: T0-9]+?))?")


def _epoch(text: str) -> int:
    for form in _DATES:
        with contextlib.suppress(ValueError):
            return int(datetime.strptime(text, form).replace(tzinfo=UTC).timestamp())
    raise ValueError(f"{text!r} is not a date")


def _dated(name: str) -> Callable[[Draft, str | None], None]:
    """Before, after, at or between dates; both ends count."""

    def parse(draft: Draft, value: str | None) -> None:
        found = _DATE_RANGE.fullmatch(unquoted(value).strip())
        if not found or (found[1] and found[3]):
            raise ValueError("is not a date, <date, >date or date<>date")
        first = _epoch(found[2])
        low, high = {"<": (0, first), ">": (first, 1 << 62), "": (first, first)}[found[1]]
        _add(draft, name, "between", (low, _epoch(found[3]) if found[3] else high), "tls", _CLIENT)

    return parse


def _told(name: str) -> Callable[[Draft, str | None], None]:
    def parse(draft: Draft, value: str | None) -> None:
        nothing(value)
        _add(draft, name, "true", (), "tls", _CLIENT)

    return parse


def _session_present(draft: Draft, value: str | None) -> None:
    word = {"yes": "yes", "true": "yes", "no": "no", "false": "no"}.get(unquoted(value).lower())
    if word is None:
        raise ValueError("is yes, no, true or false")
    _add(draft, "mqtt.connack.session_present", "word", (False, word), "mqtt", _CLIENT)


def _interface(draft: Draft, value: str | None) -> None:
    arguments = words(value)
    if not re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", arguments[0]):
        raise ValueError("is not an interface UUID")
    version = comparison(arguments[1]) if len(arguments) > 1 and arguments[1] != "any_frag" else None
    _add(draft, "dcerpc.iface", "interface", (arguments[0].lower(), version), "dcerpc smb", _BOTH)


def _opnum(draft: Draft, value: str | None) -> None:
    ranges = []
    for word in words(value):
        low, _, high = word.partition("-")
        ranges.append((integer(low), integer(high or low)))
    _add(draft, "dcerpc.opnum", "ranges", tuple(ranges), "dcerpc smb", _BOTH)


# RFC 3961 and IANA's registry, by the names that rules use.
_KRB_ENCRYPTIONS = {
    "des-cbc-crc": 1, "des-cbc-md4": 2, "des-cbc-md5": 3, "des3-cbc-md5": 5, "des3-cbc-sha1": 7,
    "dsaWithSHA1-CmsOID": 9, "md5WithRSAEncryption-CmsOID": 10, "sha1WithRSAEncryption-CmsOID": 11,
    "rc2CBC-EnvOID": 12, "rsaEncryption-EnvOID": 13, "rsaES-OAEP-ENV-OID": 14, "des-ede3-cbc-Env-OID": 15,
    "des3-cbc-sha1-kd": 16, "aes128-cts-hmac-sha1-96": 17, "aes256-cts-hmac-sha1-96": 18,
    "aes128-cts-hmac-sha256-128": 19, "aes256-cts-hmac-sha384-192": 20, "rc4-hmac": 23, "rc4-hmac-exp": 24,
    "camellia128-cts-cmac": 25, "camellia256-cts-cmac": 26, "subkey-keymaterial": 65,
    "rc4-md4": -128, "rc4-plain2": -129, "rc4-lm": -130, "rc4-sha": -131, "des-plain": -132, "rc4-hmac-OLD": -133,
    "rc4-plain-OLD": -134, "rc4-hmac-OLD-exp": -135, "rc4-plain-OLD-exp": -136, "rc4-plain": -140,
    "rc4-plain-exp": -141,
}  # fmt: skip
_KRB_STRONG = (17, 18, 19, 20, 25, 26)


def _krb_encryption(draft: Draft, value: str | None) -> None:
    text = unquoted(value).strip()
    names = [] if text in {"weak", "!weak"} else [name for name in words(text) if name]
    numbers = tuple(_KRB_ENCRYPTIONS[name] if name in _KRB_ENCRYPTIONS else integer(name) for name in names)
    check = "none" if text == "weak" else "among"
    _add(draft, "krb5.ticket_encryption", check, numbers or _KRB_STRONG, "krb5", _CLIENT)


_MQTT_CONNECT_FLAGS = "username password will will_retain clean_session"

APPLICATION: dict[str, Callable[[Draft, str | None], None]] = {
    "app-layer-event": _event,
    "tls.version": _versions("tls.version", _TLS_VERSIONS),
    "ssl_version": _versions("ssl_version", _SSL_VERSIONS),
    "ssl_state": _ssl_state,
    "tls.subject": _substring("tls.cert_subject"),
    "tls.issuerdn": _substring("tls.cert_issuer"),
    "tls.fingerprint": _substring("tls.cert_fingerprint"),
    "tls.cert_chain_len": _compared("tls.cert_chain_len", "tls", _CLIENT),
    "tls_cert_expired": _told("tls_cert_expired"),
    "tls_cert_valid": _told("tls_cert_valid"),
    "tls_cert_notbefore": _dated("tls_cert_notbefore"),
    "tls_cert_notafter": _dated("tls_cert_notafter"),
    "ssh.protoversion": _ssh_protocol,
    "ssh.softwareversion": _ssh_software,
    "dns.opcode": _equal("dns.opcode", "dns", _BOTH),
    "http2.frametype": _exact("http2.frametype", "http2", _BOTH, _HTTP2_FRAMES),
    "http2.errorcode": _exact("http2.errorcode", "http2", _BOTH, _HTTP2_ERRORS, _FOUR_BYTES),
    "http2.priority": _compared("http2.priority", "http2", _BOTH),
    "http2.window": _compared("http2.window", "http2", _BOTH),
    "http2.size_update": _compared("http2.size_update", "http2", _BOTH),
    "http2.settings": _settings,
    "mqtt.type": _exact("mqtt.type", "mqtt", _BOTH, _MQTT_TYPES, None),
    "mqtt.qos": _exact("mqtt.qos", "mqtt", _SERVER, None, 2),
    "mqtt.protocol_version": _compared("mqtt.protocol_version", "mqtt", _SERVER),
    "mqtt.reason_code": _exact("mqtt.reason_code", "mqtt", _BOTH),
    "mqtt.connack.return_code": _exact("mqtt.reason_code", "mqtt", _BOTH),
    "mqtt.flags": _flags("mqtt.flags", "mqtt", "dup retain"),
    "mqtt.connect.flags": _flags("mqtt.connect.flags", "mqtt", _MQTT_CONNECT_FLAGS),
    "mqtt.connack.session_present": _session_present,
    "dhcp.leasetime": _compared("dhcp.leasetime", "dhcp", _BOTH),
    "dhcp.rebinding_time": _compared("dhcp.rebinding_time", "dhcp", _BOTH),
    "dhcp.renewal_time": _compared("dhcp.renewal_time", "dhcp", _BOTH),
    "rfb.sectype": _compared("rfb.sectype", "rfb", _SERVER),
    "rfb.secresult": _worded("rfb.secresult", "rfb", _CLIENT, "ok fail toomany unknown"),
    "snmp.version": _compared("snmp.version", "snmp", _BOTH),
    "snmp.pdu_type": _exact("snmp.pdu_type", "snmp", _BOTH, None, _FOUR_BYTES),
    "nfs.version": _compared("nfs.version", "nfs", _SERVER, inclusive=True),
    "nfs_version": _compared("nfs.version", "nfs", _SERVER, inclusive=True),
    "nfs_procedure": _compared("nfs_procedure", "nfs", _SERVER, inclusive=True),
    "krb5_msg_type": _exact("krb5_msg_type", "krb5", _BOTH),
    "krb5_err_code": _exact("krb5_err_code", "krb5", _BOTH, None, _FOUR_BYTES),
    "krb5.ticket_encryption": _krb_encryption,
    "ike.exchtype": _compared("ike.exchtype", "ike", _BOTH),
    "ike.key_exchange_payload_length": _compared("ike.key_exchange_payload_length", "ike", _BOTH),
    "ike.nonce_payload_length": _compared("ike.nonce_payload_length", "ike", _BOTH),
    "ike.chosen_sa_attribute": _sa_attribute,
    "ftpdata_command": _worded("ftpdata_command", "ftp-data", _BOTH),
    "dcerpc.iface": _interface,
    "dce_iface": _interface,
    "dcerpc.opnum": _opnum,
    "dce_opnum": _opnum,
}
