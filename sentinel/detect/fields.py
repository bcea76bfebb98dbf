"""Fields of a plain HTTP/1 message, enough to say that a rule cannot match it.

In: one framed message whose raw form is its normal form (see framing). Out: the values rules' buffers would have, by
name; None when a header stands twice, because only the parser knows how such are joined. `Doubts` keeps, for the values
that repeat from message to message (method, agent, header names ...), which rules they leave possible.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sentinel.detect.rule import Content
from sentinel.detect.verify import holds
from sentinel.detect.view import View

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sentinel.detect.rule import Match, Part, Rule

CACHED = 20_000  # verdicts, or lines; then the cache starts anew
LINE_LIMIT = 200  # bytes of a header line that is remembered
_HEADERS = {
    b"user-agent": "http.user_agent",
    b"host": "http.host",
    b"referer": "http.referer",
    b"accept": "http.accept",
    b"accept-language": "http.accept_lang",
    b"accept-encoding": "http.accept_enc",
    b"connection": "http.connection",
    b"content-type": "http.content_type",
    b"content-length": "http.content_len",
    b"server": "http.server",
    b"location": "http.location",
}
# Values that many messages share; the others are judged message by message.
STEADY = (
    "http.method", "http.protocol", "http.host", "http.user_agent", "http.accept", "http.accept_lang", "http.accept_enc",
    "http.connection", "http.content_type", "http.header_names", "http.stat_code", "http.server",
)  # fmt: skip
_STEADY = frozenset(STEADY)
_APPROXIMATE = {"http.header", "http.header.raw"}
_JUDGED = (
    _STEADY
    | _APPROXIMATE
    | {
        "http.uri",
        "http.uri.raw",
        "http.referer",
        "http.content_len",
        "http.location",
        "http.request_body",
    }
)


class _Line(NamedTuple):
    """One header line as rules see it."""

    name: bytes
    buffer: str | None
    value: bytes
    normal: bytes


class Reader:
    """Reads messages; header lines come again and again, so each is taken apart once."""

    def __init__(self) -> None:
        self._lines: dict[bytes, _Line] = {}

    def fields(self, message: bytes, *, request: bool) -> dict[str, bytes] | None:
        head, _, body = message.partition(b"\r\n\r\n")
        opening, _, rest = head.partition(b"\r\n")
        first = opening.split(b" ", 2)
        found: dict[str, bytes] = {}
        if request:
            found["http.method"], found["http.uri"], found["http.protocol"] = first
            found["http.uri.raw"] = first[1]
            if body:
                found["http.request_body"] = body
        else:
            found["http.protocol"], found["http.stat_code"] = first[0], first[1]
            if body:
                found["http.response_body"] = body
        known, names, normal = self._lines, [], []
        for text in rest.split(b"\r\n") if rest else ():
            line = known.get(text) or self._read(text)
            names.append(line.name)
            normal.append(line.normal)
            buffer = line.buffer
            if buffer is not None:
                if buffer in found:
                    return None
                found[buffer] = line.value
        found["http.header.raw"] = rest + b"\r\n\r\n"
        # With the cookie, which Suricata leaves out: contents that must be there may stand in more than the buffer.
        found["http.header"] = b"\r\n".join(normal) + b"\r\n"
        found["http.header_names"] = b"\r\n" + b"\r\n".join(names) + b"\r\n\r\n"
        return found

    def _read(self, text: bytes) -> _Line:
        name, _, value = text.partition(b":")
        value = value.strip(b" \t")
        buffer = _HEADERS.get(name) or _HEADERS.get(name.lower())
        normal = name + b": " + value
        if buffer == "http.host":
            value = value.lower().rsplit(b":", 1)[0]
        line = _Line(name, buffer, value, normal)
        if len(text) <= LINE_LIMIT:
            if len(self._lines) >= CACHED:
                self._lines.clear()
            self._lines[text] = line
        return line


class Doubts:
    """Which of some rules a message leaves possible."""

    def __init__(self) -> None:
        self._steady: dict[tuple[object, ...], tuple[Rule, ...]] = {}
        self._single: dict[tuple[int, bytes], bool] = {}
        self._lefts: dict[tuple[int, ...], tuple[Rule, ...]] = {}

    def possible(
        self, suspects: tuple[Rule, ...], identity: int, direction: int, messages: Sequence[dict[str, bytes]]
    ) -> Iterator[tuple[int, Rule]]:
        """Pairs of a message's place and a rule that it leaves possible. `identity` stands for the suspects."""
        together = _Together(messages)
        chosen: dict[int, list[Rule]] = {}  # by identity: equal ones are one
        for place, found in enumerate(messages):
            left = self._left(suspects, identity, direction, found)
            rules = chosen.get(id(left)) if left else ()
            if rules is None:
                rules = chosen[id(left)] = [rule for rule in left if together.may_hold(rule.parts[direction])]
            for rule in rules:
                if self._fits(rule.parts[direction], found, steady=False):
                    yield place, rule

    def _left(
        self, suspects: tuple[Rule, ...], identity: int, direction: int, found: dict[str, bytes]
    ) -> tuple[Rule, ...]:
        """Those that the steady values leave."""
        key = (identity, *map(found.get, STEADY))
        left = self._steady.get(key)
        if left is None:
            if len(self._steady) >= CACHED:
                self._steady.clear()
            left = tuple(rule for rule in suspects if self._fits(rule.parts[direction], found, steady=True))
            left = self._steady[key] = self._lefts.setdefault(tuple(map(id, left)), left)
        return left

    def _fits(self, parts: tuple[Part, ...], found: dict[str, bytes], *, steady: bool) -> bool:
        return all(
            self._holds(part, found.get(part.buffer))
            for part in parts
            if part.buffer in _JUDGED and (part.buffer in _STEADY) is steady and not part.transforms
        )

    def _holds(self, part: Part, value: bytes | None) -> bool:
        if value is None:
            return False
        key = (id(part), value)
        known = self._single.get(key)
        if known is None:
            if len(self._single) >= CACHED:
                self._single.clear()
            test = _contains if part.buffer in _APPROXIMATE else holds
            known = self._single[key] = test(part.matches, View(value))
        return known


class _Together:
    """Values of many messages as one text per buffer, so that most rules are dismissed by one search for all."""

    def __init__(self, messages: Sequence[dict[str, bytes]]) -> None:
        self._messages = messages
        self._joined: dict[str, View] = {}

    def may_hold(self, parts: tuple[Part, ...]) -> bool:
        return all(
            _contains(part.matches, self._view(part.buffer))
            for part in parts
            if part.buffer in _JUDGED and part.buffer not in _STEADY and not part.transforms
        )

    def _view(self, name: str) -> View:
        view = self._joined.get(name)
        if view is None:
            values = [found[name] for found in self._messages if name in found]
            view = self._joined[name] = View(b"\n".join(values))
        return view


def _contains(matches: tuple[Match, ...], view: View) -> bool:
    """Only what must be there, wherever."""
    wanted = (match for match in matches if isinstance(match, Content) and not match.negated)
    return all(match.pattern in (view.lower if match.nocase else view.data) for match in wanted)
