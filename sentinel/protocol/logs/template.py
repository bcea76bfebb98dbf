r"""A log's own format: nginx's `log_format` string or Apache's `LogFormat` string, as it stands in the configuration.

In: the string, such as `$remote_addr [$time_local] "$request" $status rt=$request_time` or `%h %t "%r" %>s`. Out: a
reader that gives ECS names to what it knows; any other variable is a field under its own name. A string of JSON
(`escape=json '{"ip":"$remote_addr"}'`) is read as JSON with those names. Each variable takes as little as fits.
A regular expression with named groups is a format too: `(?<address>\S+) (?<time>\S+) (?<request>.*)`. The groups of
`access.ECS` and `time` have their ECS names; any other is a field of its own (`__` stands for a dot).
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from sentinel.errors import UnknownLogFormatError
from sentinel.protocol.logs import access
from sentinel.protocol.logs.jsonlog import load, text_of
from sentinel.protocol.logs.lines import NO_TIME, Record, Records, records

if TYPE_CHECKING:
    from collections.abc import Callable

    from sentinel.protocol.logs.clock import Clock
    from sentinel.protocol.logs.lines import Lines

    Reader = Callable[[Lines, Clock], Records]

TIME = "@timestamp"
NGINX = {
    "remote_addr": "source.address", "realip_remote_addr": "source.address", "remote_port": "source.port",
    "remote_user": "user.name", "time_local": TIME, "time_iso8601": TIME, "msec": TIME,
    "request": "http.request.line", "request_method": "http.request.method", "request_uri": "url.original",
    "uri": "url.path", "args": "url.query", "query_string": "url.query", "server_protocol": "http.version",
    "status": "http.response.status_code", "body_bytes_sent": "http.response.body.bytes",
    "http_referer": "http.request.referrer", "http_user_agent": "user_agent.original",
    "http_cookie": "http.request.cookie", "host": "url.domain", "http_host": "url.domain",
    "server_name": "url.domain", "hostname": "host.hostname", "pid": "process.pid",
}  # fmt: skip
APACHE = {
    "h": "source.address", "a": "source.address", "u": "user.name", "t": TIME, "r": "http.request.line",
    "m": "http.request.method", "U": "url.path", "q": "url.query", "H": "http.version",
    "s": "http.response.status_code", "b": "http.response.body.bytes", "B": "http.response.body.bytes",
    "O": "http.response.bytes", "v": "url.domain", "V": "url.domain", "P": "process.pid", "D": "apache.duration",
    "T": "apache.seconds", "l": "apache.ident", "p": "server.port", "k": "apache.keepalive", "I": "http.request.bytes",
}  # fmt: skip
HEADERS = {
    "referer": "http.request.referrer", "user-agent": "user_agent.original", "cookie": "http.request.cookie",
    "host": "url.domain", "x-forwarded-for": "apache.x_forwarded_for",
}  # fmt: skip
NGINX_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
APACHE_VARIABLE = re.compile(r"%(?:[<>!]|\d{3},?)*(?:\{([^}]*)\})?([A-Za-z]|\^t\w)")
CONFIGURED = re.compile(r"\s*(?:log_format\s+\w+|LogFormat)\s+(.*?)(?:\s+\w+)?;?\s*", re.DOTALL)
ESCAPE = re.compile(r"\s*escape=\w+\s*")
QUOTED_PIECE = re.compile(r"'((?:[^'\\]|\\.)*)'")
LONGEST = 8192
GROUP = re.compile(r"\(\?P?<([A-Za-z_]\w*)>")


def is_template(text: str) -> bool:
    return bool(NGINX_VARIABLE.search(text) or ("%" in text and APACHE_VARIABLE.search(text)))


def reader(text: str) -> Reader:
    """Raises UnknownLogFormatError for a string that names no variable."""
    if GROUP.search(text):
        return _named_groups(text)
    body = _body(text)
    if not is_template(body) or len(body) > LONGEST:
        raise UnknownLogFormatError(f"{text!r} is neither a log format's name nor a format string")
    names: list[str] = []
    nginx = NGINX_VARIABLE.search(body) is not None
    if nginx and body.lstrip().startswith("{"):
        return _json_reader(body)
    pattern = _pattern(body, names, nginx=nginx)

    def read(lines: Lines, clock: Clock) -> Records:
        return records([_row(pattern.fullmatch(line), names, clock) for line in lines])

    return read


def _named_groups(text: str) -> Reader:
    try:
        pattern = re.compile(GROUP.sub(r"(?P<\1>", text).encode(), re.DOTALL)
    except re.error as error:
        raise UnknownLogFormatError(f"{text!r}: {error}") from None
    names = [_group_name(name) for name in sorted(pattern.groupindex, key=pattern.groupindex.__getitem__)]
    numbers = sorted(pattern.groupindex.values())

    def read(lines: Lines, clock: Clock) -> Records:
        rows: list[tuple[Record | None, int]] = []
        for line in lines:
            found = pattern.search(line)
            if found is None:
                rows.append((None, NO_TIME))
            else:
                values = (found[number] or b"" for number in numbers)
                rows.append(_finish(zip(names, values, strict=True), clock))
        return records(rows)

    return read


def _group_name(name: str) -> str:
    return TIME if name == "time" else access.ECS.get(name, name.replace("__", "."))


def _body(text: str) -> str:
    """What is left of `log_format main '...' '...';` or LogFormat "..." name."""
    found = CONFIGURED.fullmatch(text)
    body = ESCAPE.sub(
        "", found[1] if found and text.lstrip().startswith(("log_format", "LogFormat")) else text
    )
    pieces = QUOTED_PIECE.findall(body)
    if pieces and QUOTED_PIECE.sub("", body).strip() == "":
        return "".join(pieces).replace("\\'", "'")
    if len(body) > 1 and body[0] == body[-1] == '"':
        return body[1:-1].replace('\\"', '"')
    return body


def _pattern(body: str, names: list[str], *, nginx: bool) -> re.Pattern[bytes]:
    """Literal text must be there; a variable takes anything up to the literal after it (quotes: escaped ones too)."""
    variables = NGINX_VARIABLE if nginx else APACHE_VARIABLE
    out, at = [], 0
    for found in variables.finditer(body):
        literal = body[at : found.start()]
        out.append(re.escape(literal))
        at = found.end()
        name = _nginx_name(found) if nginx else _apache_name(found)
        names.append(name)
        following = body[at : at + 1]
        if not nginx and found[2] == "t" and found[1] is None:
            out.append(r"\[(.*?)\]")  # Apache's %t brings its brackets
        elif literal.endswith('"') and following == '"':
            out.append(r'((?:[^"\\]|\\.)*)')
        elif following == " ":
            out.append(r"(\S*|.*?)")
        else:
            out.append(r"(.*?)")
    out.append(re.escape(body[at:]))
    return re.compile("".join(out).encode(), re.DOTALL)


def _nginx_name(found: re.Match[str]) -> str:
    name = found[1] or found[2]
    return NGINX.get(name, name)


def _apache_name(found: re.Match[str]) -> str:
    argument, letter = found[1], found[2]
    if argument is not None and letter in "io":
        return HEADERS.get(
            argument.lower(), f"{'request' if letter == 'i' else 'response'}.{argument.lower()}"
        )
    return APACHE.get(letter, f"apache.{argument or letter}")


def _row(found: re.Match[bytes] | None, names: list[str], clock: Clock) -> tuple[Record | None, int]:
    if found is None:
        return None, NO_TIME
    return _finish(zip(names, found.groups(), strict=True), clock)


def _finish(pairs: object, clock: Clock) -> tuple[Record, int]:
    fields: Record = {}
    time: int | None = None
    for name, value in pairs:  # type: ignore[attr-defined]
        if name == TIME:
            time = clock.read(value) if time is None else time
        elif value not in {b"", b"-"}:
            fields.setdefault(name, value)
    version = fields.get("http.version", b"")
    if version.startswith(b"HTTP/"):
        fields["http.version"] = version[5:]
    if "url.path" in fields and "url.original" not in fields and "http.request.line" not in fields:
        query = fields.get("url.query", b"").lstrip(b"?")
        fields["url.original"] = fields["url.path"] + (b"?" + query if query else b"")
    access.complete(fields)
    return fields, NO_TIME if time is None else time


def _json_reader(body: str) -> Reader:
    """Keys of the template's object -> the variable each holds."""
    try:
        template = json.loads(re.sub(r"(:\s*)(\$\w+)(?=\s*[,}])", r'\1"\2"', body))
    except ValueError:
        raise UnknownLogFormatError("the log_format begins like JSON and is none") from None
    keys = {}
    for key, value in template.items():
        found = NGINX_VARIABLE.fullmatch(str(value))
        keys[key] = _nginx_name(found) if found else key

    def read(lines: Lines, clock: Clock) -> Records:
        rows: list[tuple[Record | None, int]] = []
        for line in lines:
            value = load(line)
            if value is None:
                rows.append((None, NO_TIME))
            else:
                pairs = [
                    (keys.get(key, key), text_of(item)) for key, item in value.items() if item is not None
                ]
                rows.append(_finish(pairs, clock))
        return records(rows)

    return read
