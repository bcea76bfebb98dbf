"""Sticky buffers of HTTP/1 from an Exchange: eager ones when headers end, costly ones on demand.

In: an Exchange. Out: values under Suricata's buffer names in Transaction.buffers[direction], and `derive` for header
blocks, bodies and the EVE object. Invariant: a name is absent exactly where Suricata's buffer would be NULL.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from sentinel.model import Transaction
    from sentinel.protocol.apps.http1_message import Exchange, Message

# Buffers that are the value of one header, by direction.
_REQUEST_FIELDS = {
    b"user-agent": "http.user_agent",
    b"cookie": "http.cookie",
    b"referer": "http.referer",
    b"accept": "http.accept",
    b"accept-encoding": "http.accept_enc",
    b"accept-language": "http.accept_lang",
    b"connection": "http.connection",
    b"content-type": "http.content_type",
    b"content-length": "http.content_len",
}
_RESPONSE_FIELDS = {
    b"set-cookie": "http.cookie",
    b"server": "http.server",
    b"location": "http.location",
    b"connection": "http.connection",
    b"content-type": "http.content_type",
    b"content-length": "http.content_len",
}


def expose_request(exchange: Exchange) -> None:
    expose_whole(exchange, 0)
    expose_host(exchange)


def expose_fields(exchange: Exchange, direction: int) -> None:
    """The fields read so far: rules about one field look at a header block that is not complete yet."""
    message = exchange.message(direction)
    buffers = exchange.transaction.buffers[direction]
    for name, buffer in (_RESPONSE_FIELDS if direction else _REQUEST_FIELDS).items():
        value = message.headers.get(name)
        if value is not None:
            buffers[buffer] = value
    if direction == 0:
        _expose_raw_host(exchange)


def expose_whole(exchange: Exchange, direction: int) -> None:
    """The header block is complete, or all there will be of it."""
    expose_fields(exchange, direction)
    message = exchange.message(direction)
    message.exposed = True
    exchange.transaction.buffers[direction]["http.header.raw"] = bytes(message.raw_headers)


def expose_host(exchange: Exchange) -> None:
    if exchange.host is not None:
        exchange.transaction.buffers[0]["http.host"] = exchange.host
    _expose_raw_host(exchange)


def _expose_raw_host(exchange: Exchange) -> None:
    buffers = exchange.transaction.buffers[0]
    if exchange.uri is not None and exchange.uri.hostname is not None:
        buffers["http.host.raw"] = exchange.uri.hostname.lower().rstrip(b".")
    else:
        raw = exchange.request.headers.get(b"host")
        if raw is not None:
            buffers["http.host.raw"] = raw


def _header(exchange: Exchange, direction: int) -> bytes | None:
    """All fields but cookies, one canonical line each."""
    message = exchange.message(direction)
    if not message.headers.items:
        return None
    skip = b"set-cookie" if direction else b"cookie"
    return b"".join(
        b"%b: %b\r\n" % (header.name, header.value)
        for header in message.headers.items
        if header.name.lower() != skip
    )


def _header_names(exchange: Exchange, direction: int) -> bytes | None:
    items = exchange.message(direction).headers.items
    if not items:
        return None
    return b"\r\n" + b"".join(b"%b\r\n" % header.name for header in items) + b"\r\n"


def _start(exchange: Exchange, direction: int) -> bytes | None:
    message = exchange.message(direction)
    if message.line is None:
        return None
    if not message.headers.items:
        return message.line + b"\r\n"
    fields = b"".join(b"%b: %b\r\n" % (header.name, header.value) for header in message.headers.items)
    return b"%b\r\n%b\r\n" % (message.line, fields)


def _each_header(exchange: Exchange, direction: int) -> list[bytes] | None:
    items = exchange.message(direction).headers.items
    return [b"%b: %b" % (header.name, header.value) for header in items] or None


def _request_headers(exchange: Exchange, direction: int) -> list[bytes] | None:
    return None if direction else _each_header(exchange, 0)


def _response_headers(exchange: Exchange, direction: int) -> list[bytes] | None:
    return _each_header(exchange, 1) if direction else None


def _body(message: Message) -> bytes | None:
    if len(message.body_cache) != len(message.body):
        message.body_cache = bytes(message.body)
    return message.body_cache or None


def _request_body(exchange: Exchange, direction: int) -> bytes | None:
    return None if direction else _body(exchange.request)


def _response_body(exchange: Exchange, direction: int) -> bytes | None:
    return _body(exchange.response) if direction else None


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "backslashreplace")


def _eve(exchange: Exchange, direction: int) -> dict[str, Any]:
    request, response = exchange.request.headers, exchange.response.headers
    http: dict[str, Any] = {}
    fields = (
        ("hostname", exchange.host),
        ("url", exchange.raw_uri),
        ("http_user_agent", request.get(b"user-agent")),
        ("xff", request.get(b"x-forwarded-for")),
        ("http_content_type", (response.get(b"content-type") or b"").partition(b";")[0].strip() or None),
        ("http_refer", request.get(b"referer")),
        ("http_method", exchange.method),
        ("protocol", exchange.transaction.buffers[0].get("http.protocol")),
        ("redirect", response.get(b"location")),
    )
    for name, value in fields:
        if value:
            http[name] = _text(value)
    if exchange.port >= 0:
        http["http_port"] = exchange.port
    if exchange.status >= 0:
        http["status"] = exchange.status
    http["length"] = exchange.response.body_seen
    return {"http": http}


_DERIVED: dict[str, Callable[[Exchange, int], Any]] = {
    "http.header": _header,
    "http.header_names": _header_names,
    "http.start": _start,
    "http.request_header": _request_headers,
    "http.response_header": _response_headers,
    "http.request_body": _request_body,
    "http.response_body": _response_body,
    "eve": _eve,
}


_OF_WHOLE_HEADERS = frozenset({"http.header", "http.header_names", "http.start"})


def derive(transaction: Transaction, direction: int, name: str) -> Any:
    """`Transaction.derive` of HTTP/1: a value made on demand, or None."""
    make = _DERIVED.get(name)
    exchange: Exchange = transaction.parser_state
    if make is None or (
        name in _OF_WHOLE_HEADERS and not (exchange.message(direction).exposed or exchange.old)
    ):
        return None
    return make(exchange, direction)
