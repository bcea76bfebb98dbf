"""JSON lines -> fields: one table of synonyms says under which keys web servers and applications log a field.

In: lines holding one JSON object each, perhaps after a container runtime's or syslog prefix. Out: fields under ECS
names; every other key is there too under its dotted path ("request.host", "RequestMethod"). Raw bytes above 0x7f
(nginx's escape=json leaves them) and lone surrogates survive; a message inside an object is read like a line.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from sentinel.protocol.logs import access, jsoncolumns, message
from sentinel.protocol.logs.lines import NO_TIME

if TYPE_CHECKING:
    from collections.abc import Callable

    from sentinel.protocol.logs.clock import Clock
    from sentinel.protocol.logs.jsoncolumns import Grouped
    from sentinel.protocol.logs.lines import Lines, Record

DEEPEST = 6  # levels of nesting that become dotted paths
LONGEST_LIST = 64  # items of a list that are joined into a value
MOST_KEYS = 512  # keys of one object that become columns; a hostile line cannot make more

# ECS name -> keys under which it is logged, the best first. Keys are compared in lower case.
SYNONYMS: dict[str, tuple[str, ...]] = {
    "source.address": (
        "source.ip",
        "request.client_ip",
        "request.remote_ip",
        "clienthost",
        "remote_addr",
        "client_ip",
        "clientip",
        "remoteaddr",
        "remote_ip",
        "remoteip",
        "client.ip",
        "ipaddress",
        "ip_address",
        "sourceipaddress",
        "sourceips",
        "src_ip",
        "clientaddr",
        "downstream_remote_address",
        "attr.remote",
        "attr.client",
        "addr.remote",
        "client_addr",
        "client",
        "request.remote_address",
        "request.remote_addr",
        "http.client_ip",
        "c-ip",
        "ip",
        "remote_host",
        "remotehost",
        "remote",
        "host_ip",
        "source_ip",
        "srcip",
        "x_real_ip",
        "real_ip",
        "peer",
        "from_ip",
        "event.client_ip",
        "addr",
        "client_address",
        "clientaddress",
        "remoteaddress",
        "remote_address",
        "ip_addr",
        "ipaddr",
        "peer_addr",
        "source_address",
        "remote_ip_address",
        "client.address",
        "x-real-ip",
        "src",
        "httprequest.remoteip",
        "peerip",
        "event.ip",
        "context.ip",
        "user_ip",
        "request_ip",
        "remip",
        "eventdata.sourceip",
        "eventdata.httpsourceid",
        "sourceip",
        "protoevent.addr.remote",
        "meta.remote_ip",
        "eventdata.sourceip",
        "rhost",
    ),
    "source.port": (
        "source.port",
        "request.remote_port",
        "clientport",
        "remote_port",
        "src_port",
        "client_port",
    ),
    "user.name": (
        "user.name",
        "request.user",
        "username",
        "user_name",
        "clientusername",
        "remote_user",
        "attr.principalname",
        "attr.user",
        "principal",
        "user_id",
        "uname",
        "login",
        "useridentity.username",
        "user.username",
        "account",
        "usrname",
        "acct",
        "email",
        "context.username",
        "event.username",
        "userid",
        "user",
    ),
    "http.request.method": (
        "http.request.method",
        "request.method",
        "request_method",
        "requestmethod",
        "method",
        "http_method",
        "verb",
        "httprequest.requestmethod",
        "http.http_method",
        "req.method",
    ),
    "url.original": (
        "url.original",
        "request.uri",
        "request_uri",
        "requestpath",
        "request.url",
        "uri",
        "url",
        "requesturi",
        "x-envoy-original-path",
        "x-envoy-origin-path",
        "request_url",
        "path",
        "requesturl",
        "httprequest.requesturl",
        "http.url",
        "req.url",
        "uri_path",
    ),
    "url.query": ("url.query", "query_string", "args", "querystring"),
    "http.version": (
        "http.version",
        "request.proto",
        "server_protocol",
        "requestprotocol",
        "protocol",
        "request_protocol",
        "proto",
        "httprequest.protocol",
        "http.protocol",
        "httpversion",
    ),
    "http.request.line": ("request", "request_line"),
    "http.response.status_code": (
        "http.response.status_code",
        "status",
        "downstreamstatus",
        "response_code",
        "response_status",
        "status_code",
        "statuscode",
        "http_status",
        "httprequest.status",
        "http.status",
        "responsestatus.code",
        "response.status",
        "res.statuscode",
        "httpstatus",
        "code",
    ),
    "http.response.body.bytes": (
        "http.response.body.bytes",
        "body_bytes_sent",
        "downstreamcontentsize",
        "response_body_size",
        "size",
        "bytes_sent",
        "body_bytes",
        "response_size",
        "http.length",
        "bytes",
        "httprequest.responsesize",
    ),
    "http.request.referrer": (
        "http.request.referrer",
        "http_referer",
        "http_referrer",
        "request.headers.referer",
        "request_referer",
        "request_referer",
        "referer",
        "referrer",
        "httprequest.referer",
        "request_referer",
        "http.http_refer",
    ),
    "user_agent.original": (
        "user_agent.original",
        "http_user_agent",
        "request.headers.user-agent",
        "request_user_agent",
        "request_user-agent",
        "user_agent",
        "useragent",
        "user-agent",
        "httprequest.useragent",
        "agent",
        "http.http_user_agent",
    ),
    "http.request.cookie": (
        "http.request.cookie",
        "http_cookie",
        "request.headers.cookie",
        "cookie",
        "cookies",
    ),
    "url.domain": (
        "url.domain",
        "http_host",
        "request.host",
        "requesthost",
        ":authority",
        "authority",
        "vhost",
        "virtual_host",
        "server_name",
        "http.hostname",
        "hostname",
        "host",
    ),
    "host.hostname": ("host.hostname", "_hostname", "host.name", "hostname"),
    "process.name": ("process.name", "syslog_identifier", "_comm", "ident", "process", "program", "app_name"),
    "process.pid": ("process.pid", "syslog_pid", "_pid", "pid"),
    "log.level": ("log.level", "level", "severity", "priority", "s"),
    "message": ("message", "msg", "log", "description", "event.message"),
}
TIMES = (
    "start_time", "time_iso8601", "time", "@timestamp", "timestamp", "starttime", "starutc", "startutc", "ts", "t.$date", "t", "msec",
    "time_local", "__realtime_timestamp", "_source_realtime_timestamp", "datetime", "date", "eventtime", "event_time",
    "requestreceivedtimestamp", "created_at", "logtime", "event.created",
)  # fmt: skip
EVENT_WORDS = (
    "event",
    "action",
    "type",
    "event_type",
    "eventType",
    "event.type",
    "event.action",
    "event_name",
    "eventName",
    "reason",
)
NOTHING = frozenset({b"-", b"--", b"null"})
SHAPES = 256  # sets of keys whose plans are remembered: a program writes a few
_EVENT_WORDS = frozenset(EVENT_WORDS)
_SPEAKING = _EVENT_WORDS | {"message", "error", "success"}
_SCAN: Callable[[str, int], tuple[Any, int]] = json.JSONDecoder().scan_once  # type: ignore[attr-defined]
LONGEST_WORD = 64  # an event's name, not a text
LOGIN_WORD = re.compile(rb"log[ -]?in|sign[ -]?in|auth", re.IGNORECASE)
HOST_IN_PREFIX = re.compile(rb"\S+ (?P<host>[\w.:-]+)\s+$")


def read(lines: Lines, clock: Clock) -> Grouped:
    rows = list(lines)
    return jsoncolumns.table(
        [_whole(line) for line in rows], clock, plan, lambda row: _row(rows[row], clock), text_of
    )


def _whole(line: bytes) -> dict[str, Any] | None:
    """The object that a line is; None where it is none, or stands among other text."""
    if not line.startswith(b"{"):
        return None
    try:
        text = line.decode("utf-8", "surrogateescape")
        value, end = _SCAN(text, 0)
    except (ValueError, RecursionError, StopIteration):
        return None
    return value if end == len(text) else None


def _row(line: bytes, clock: Clock) -> tuple[Record | None, int]:
    start = line.find(b"{")
    value = load(line[start:]) if start >= 0 else None
    if value is None:
        return None, NO_TIME
    fields, time = convert(value, clock)
    if start > 1:
        prefix = HOST_IN_PREFIX.match(line[:start])
        if prefix is not None and prefix["host"] not in {b"stdout", b"stderr", b"F"}:
            fields.setdefault("host.hostname", prefix["host"])
        if time is None:
            time = clock.read(line)
    return fields, NO_TIME if time is None else time


def load(text: bytes) -> dict[str, Any] | None:
    """One JSON object; bytes that are not UTF-8 stay readable as surrogate escapes."""
    try:
        value = json.loads(text.decode("utf-8", "surrogateescape"))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def tail(text: bytes, clock: Clock) -> Record:
    """Fields of an object that stands after other text, and perhaps before some; its time does not count."""
    try:
        value, _ = json.JSONDecoder().raw_decode(text.decode("utf-8", "surrogateescape"))
    except (ValueError, RecursionError):
        return {}
    if not isinstance(value, dict) or len(value) < 2:
        return {}
    last = clock.last
    fields, _ = convert(value, clock)
    clock.last = last
    return fields


@dataclass(frozen=True, slots=True)
class Plan:
    """What objects with the same keys have under which ECS name, the best first, and where their time may stand.
    `speaks`: there is a text to be read, or a word that tells of a log-in.
    """

    names: tuple[tuple[str, tuple[str, ...]], ...]
    times: tuple[str, ...]
    speaks: bool


@lru_cache(SHAPES)
def plan(keys: tuple[str, ...]) -> Plan:
    lower = {key.lower(): key for key in keys}
    names = {name: tuple(lower[key] for key in its if key in lower) for name, its in SYNONYMS.items()}
    told = {name for name, its in names.items() if its}
    return Plan(
        tuple((name, its) for name, its in names.items() if its or name in keys),
        tuple(lower[key] for key in TIMES if key in lower),
        not _SPEAKING.isdisjoint(told | set(keys)),
    )


def convert(value: dict[str, Any], clock: Clock) -> tuple[Record, int | None]:
    """ECS fields and the time of an object."""
    flat: dict[str, bytes] = {}
    _flatten(value, "", flat, 0)
    known = plan(tuple(flat))
    fields = dict(flat)
    for name, keys in known.names:
        for key in keys:
            text = flat[key]
            if text and text not in NOTHING:
                fields[name] = text
                break
        else:
            fields.pop(name, None)
    time = None
    for key in known.times:
        if flat[key] and (time := clock.read(flat[key])) is not None:
            break
    _web(fields)
    _inner(fields)
    return fields, time


def _web(fields: Record) -> None:
    address = fields.get("source.address")
    if address is not None:
        # Of a list of proxies the first is the client; Traefik appends the one it trusts.
        first, _, last = address.partition(b",")
        fields["source.address"] = (
            last.rpartition(b",")[2] or first if "ClientHost" in fields else first
        ).strip()
    version = fields.get("http.version", b"")
    if version.startswith(b"HTTP/"):
        fields["http.version"] = version[5:]
    elif not version[:1].isdigit():
        fields.pop("http.version", None)
    target, line = fields.get("url.original"), fields.get("http.request.line")
    if line is not None and b" " not in line:
        del fields["http.request.line"]
    elif target is not None and line is None and "http.request.method" not in fields:
        fields.setdefault("url.path", target)
    access.complete(fields)
    query = fields.get("url.query")
    if query and target and b"?" not in target:
        fields["url.original"] = target + b"?" + query
    if fields.get("http.response.status_code") == b"0":
        del fields["http.response.status_code"]


def _inner(fields: Record) -> None:
    """What a message says that the object does not (a login failure's user, a whole access line)."""
    text = b" ".join(filter(None, (fields.get("message"), fields.get("error"))))
    if text:
        found = message.interpret(fields.get("process.name", b""), text)
        for name, value in found.items():
            fields.setdefault(name, value)
    if "event.outcome" not in fields and _says_failure(fields):
        fields["event.outcome"] = b"failure"


def _says_failure(fields: Record) -> bool:
    """`"event": "invalid_login"`, `"type": "LOGIN_FAILED"`, or a log-in event with `"success": false`."""
    if "success" not in fields and _EVENT_WORDS.isdisjoint(fields):
        return False
    words = [word for key in EVENT_WORDS if (word := fields.get(key)) and len(word) < LONGEST_WORD]
    words = [word.replace(b"_", b" ") for word in words]
    if any(message.FAILED.search(word) for word in words):
        return True
    return fields.get("success", b"").lower() == b"false" and any(LOGIN_WORD.search(word) for word in words)


def _flatten(value: Any, path: str, flat: dict[str, bytes], depth: int) -> None:
    if isinstance(value, dict) and depth < DEEPEST:
        for key, item in value.items():
            if len(flat) >= MOST_KEYS:
                return
            _flatten(item, f"{path}.{key}" if path else str(key), flat, depth + 1)
    elif value is not None:
        flat[path] = text_of(value)


def text_of(value: Any) -> bytes:
    if isinstance(value, str):
        if value.isascii():
            return value.encode()
        return value.encode("utf-8", "surrogateescape" if _escapes(value) else "replace")
    if isinstance(value, bool):
        return b"true" if value else b"false"
    if isinstance(value, list) and all(isinstance(item, int) and 0 <= item < 256 for item in value) and value:
        return bytes(value)  # journald writes a field that is not UTF-8 as a list of bytes
    if isinstance(value, list):
        return b", ".join(text_of(item) for item in value[:LONGEST_LIST])
    if isinstance(value, dict):
        return json.dumps(value).encode()
    return str(value).encode()


def _escapes(value: str) -> bool:
    """All surrogates are escaped bytes (none came from a lone one in the JSON)."""
    return value.isascii() or not any(
        "\ud800" <= char <= "\udfff" and not "\udc80" <= char <= "\udcff" for char in value
    )
