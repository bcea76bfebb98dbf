r"""One test of one value: bytes in, yes or no out. Sigma specification 2.1.0, "Value modifiers" and "Escaping".

Values are bytes as they stood in the log. Text compares without regard to case unless `cased`; a letter outside ASCII
matches its upper and lower case UTF-8 forms. Regular expressions run over bytes, so \w, \d, \s and \b are ASCII
and a dot is one byte (as in Hyperscan); they are RE2's, so
no line can make one take more than linear time. A predicate that sees absent values says so in `absent`.
`needle` is what Hyperscan can look for: every value that matches contains a match of it. None: nothing to look for.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Protocol

import re2  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from collections.abc import Callable

ONE = "?"
MANY = "*"
_ANY_CHARACTER = rb"(?:[\x00-\x7f]|[\xc2-\xf4][\x80-\xbf]{1,3}|[\x80-\xff])"


@dataclass(frozen=True, slots=True)
class Needle:
    """A regular expression for Hyperscan. `weight` grows with rarity: the screen prefers heavy needles."""

    expression: bytes
    caseless: bool
    dotall: bool
    weight: float


class Predicate(Protocol):
    @property
    def absent(self) -> bool:
        """What the test says of a row that lacks the field."""

    @property
    def needle(self) -> Needle | None: ...

    def test(self, value: bytes) -> bool: ...


@dataclass(frozen=True)
class Text:
    """Literal parts (str) and wildcards (ONE, MANY wrapped in a 1-tuple to tell them from text)."""

    parts: tuple[str | tuple[str], ...]
    cased: bool = False
    absent: bool = field(default=False, init=False)

    @cached_property
    def literal(self) -> bytes | None:
        """The only literal part where wildcards stand at the ends alone and all of it is ASCII; folded to lower case."""
        texts = [part for part in self.parts if isinstance(part, str)]
        inner = self.parts[1 if self.opens else 0 : len(self.parts) - (1 if self.closes else 0)]
        if len(texts) != 1 or len(inner) != 1 or not (self.cased or texts[0].isascii()):
            return None
        data = texts[0].encode()
        return data if self.cased else data.lower()

    @cached_property
    def opens(self) -> bool:
        return bool(self.parts) and self.parts[0] == (MANY,)

    @cached_property
    def closes(self) -> bool:
        return len(self.parts) > 1 and self.parts[-1] == (MANY,)

    @cached_property
    def _pattern(self) -> re.Pattern[bytes]:
        body = b"".join(self._part(part) for part in self.parts)
        return re.compile(body, re.DOTALL | (0 if self.cased else re.IGNORECASE))

    def _part(self, part: str | tuple[str]) -> bytes:
        if isinstance(part, str):
            return expression_of(part, cased=self.cased)
        return b".*" if part[0] == MANY else _ANY_CHARACTER

    @cached_property
    def _plain(self) -> Callable[[bytes, bytes], bool] | None:
        return None if self.literal is None else _PLAIN[self.opens, self.closes]

    def test(self, value: bytes) -> bool:
        if self._plain is not None and self.literal is not None:
            return self._plain(value if self.cased else value.lower(), self.literal)
        return self._pattern.fullmatch(value) is not None

    @cached_property
    def needle(self) -> Needle | None:
        texts = [part for part in self.parts if isinstance(part, str)]
        if not texts:
            return None
        best = max(texts, key=rarity)
        expression = expression_of(best, cased=self.cased)
        if self.parts[0] == best:  # the value begins with it; rows are lines of the column
            expression = b"^" + expression
        if self.parts[-1] == best:
            expression += b"$"
        weight = rarity(best) + (6 if len(self.parts) == 1 else 0)
        return Needle(expression, not self.cased, dotall=True, weight=weight)


_PLAIN: dict[tuple[bool, bool], Callable[[bytes, bytes], bool]] = {
    (False, False): lambda value, literal: value == literal,
    (False, True): lambda value, literal: value.startswith(literal),
    (True, False): lambda value, literal: value.endswith(literal),
    (True, True): lambda value, literal: literal in value,
}


def expression_of(text: str, *, cased: bool) -> bytes:
    """A byte expression for exactly this text; used with IGNORECASE for ASCII when not cased."""
    if cased or text.isascii():
        return b"".join(_escaped(byte) for byte in text.encode("utf-8", "surrogateescape"))
    out = []
    for character in text:
        forms = {character, character.lower(), character.upper()}
        encoded = sorted(form.encode("utf-8", "surrogateescape") for form in forms if len(form) == 1)
        alternatives = [b"".join(_escaped(byte) for byte in form) for form in encoded]
        out.append(alternatives[0] if character.isascii() else b"(?:" + b"|".join(alternatives) + b")")
    return b"".join(out)


def _escaped(byte: int) -> bytes:
    return bytes([byte]) if chr(byte).isalnum() and byte < 128 else b"\\x%02x" % byte


@lru_cache(4096)
def rarity(text: str) -> float:
    """How seldom this stands in ordinary log lines: bits per character, letters and URL punctuation being cheap."""
    bits = sum(_BITS.get(character, 7.0) for character in text.lower())
    return bits * (0.3 if text.lower() in _ORDINARY else 1.0)


_BITS = (
    dict.fromkeys("abcdefghijklmnopqrstuvwxyz", 4.0)
    | dict.fromkeys("etaoinsr0123/.-", 3.2)
    | dict.fromkeys("=&?_ :+%", 4.5)
)
_ORDINARY = {"http", "https", "mozilla", "index", ".php", ".html", "php", "get", "post", "/api/", "admin", "login", "search",
             "https://", "http://", "://", "select", "user", "password", "linux", "windows", "image", "script"}  # fmt: skip


@dataclass(frozen=True)
class Regex:
    """`|re` with its flags; Sigma's expressions search, they are not anchored."""

    source: str
    ignorecase: bool = False
    multiline: bool = False
    dotall: bool = False
    absent: bool = field(default=False, init=False)

    @cached_property
    def _pattern(self) -> Any:
        options = re2.Options()
        options.case_sensitive = not self.ignorecase
        options.dot_nl = self.dotall
        options.encoding = re2.Options.Encoding.LATIN1
        options.log_errors = False
        return re2.compile((b"(?m)" if self.multiline else b"") + self.source.encode(), options)

    def check(self) -> None:
        """Raises ValueError where the expression has no meaning over bytes."""
        try:
            _ = self._pattern
        except re2.error as error:
            raise ValueError(f"regular expression {self.source!r}: {error}") from None

    def test(self, value: bytes) -> bool:
        return self._pattern.search(value) is not None

    @cached_property
    def needle(self) -> Needle | None:
        if self.test(b""):
            return None  # a match of nothing has no place in the joined lines
        # \A and \z are the ends of the value, which Hyperscan sees as ends of lines
        expression = re.sub(r"(?<!\\)((?:\\\\)*)\\([Az])", lambda m: m[1] + "^$"[m[2] == "z"], self.source)
        weight = 14.0 + min(len(self.source), 40) / 4
        expression = _REPEAT.sub(_unbounded, expression)
        return Needle(expression.encode(), self.ignorecase, self.dotall, weight)


# Counting is what makes large automata: from four repetitions on, the screen takes any number of them.
_REPEAT = re.compile(r"(?<!\\)\{(\d+),(\d+)\}")


def _unbounded(match: re.Match[str]) -> str:
    low, high = int(match[1]), int(match[2])
    return match[0] if high < 4 else {0: "*", 1: "+"}.get(low, f"{{{low},}}")


@dataclass(frozen=True)
class Number:
    number: float
    absent: bool = field(default=False, init=False)
    needle: Needle | None = field(default=None, init=False)

    @cached_property
    def digits(self) -> bytes:
        return str(self.number).encode()

    def test(self, value: bytes) -> bool:
        return value == self.digits or number_of(value) == self.number


def number_of(value: bytes) -> float | None:
    """The value as a number; None where it is none (hex, inf and nan are not numbers in a log)."""
    if not _NUMBER.fullmatch(value):
        return None
    text = value.decode()
    return int(text) if text.lstrip("+-").isdigit() else float(text)


_NUMBER = re.compile(rb"[+-]?(?:[0-9]{1,30}(?:\.[0-9]{0,30})?|\.[0-9]{1,30})(?:[eE][+-]?[0-9]{1,2})?")


@dataclass(frozen=True)
class Compare:
    operator: str
    number: float
    absent: bool = field(default=False, init=False)
    needle: Needle | None = field(default=None, init=False)

    def test(self, value: bytes) -> bool:
        found = number_of(value)
        return found is not None and COMPARE[self.operator](found, self.number)


COMPARE: dict[str, Callable[[Any, Any], Any]] = {  # of numbers, or of arrays of them
    "LT": lambda a, b: a < b,
    "LTE": lambda a, b: a <= b,
    "GT": lambda a, b: a > b,
    "GTE": lambda a, b: a >= b,
    "NEQ": lambda a, b: a != b,
}


@dataclass(frozen=True)
class Cidr:
    network: ipaddress.IPv4Network | ipaddress.IPv6Network
    absent: bool = field(default=False, init=False)
    needle: Needle | None = field(default=None, init=False)

    def test(self, value: bytes) -> bool:
        address = address_of(value)
        return address is not None and address.version == self.network.version and address in self.network


@lru_cache(65536)
def address_of(value: bytes) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(value.decode("ascii"))
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if address.version == 6 else address


@dataclass(frozen=True)
class Exists:
    wanted: bool
    needle: Needle | None = field(default=None, init=False)

    @property
    def absent(self) -> bool:
        return not self.wanted

    def test(self, value: bytes) -> bool:
        return self.wanted


@dataclass(frozen=True)
class Null:
    """Field absent or empty."""

    absent: bool = field(default=True, init=False)
    needle: Needle | None = field(default=None, init=False)

    def test(self, value: bytes) -> bool:
        return not value


@dataclass(frozen=True)
class SameAs:
    """`|fieldref`: compares with another field of the row; evaluate asks `pair`."""

    other: str
    starts: bool = False
    ends: bool = False
    absent: bool = field(default=False, init=False)
    needle: Needle | None = field(default=None, init=False)

    def test(self, value: bytes) -> bool:
        return False

    def pair(self, value: bytes, other: bytes) -> bool:
        return _PLAIN[self.ends, self.starts](value.lower(), other.lower())


@dataclass(frozen=True)
class TimePart:
    """`|minute`, `|hour`, `|day`, `|week`, `|month`, `|year`: a part of a timestamp (ISO 8601 or epoch), in UTC."""

    part: str
    number: int
    absent: bool = field(default=False, init=False)
    needle: Needle | None = field(default=None, init=False)

    def test(self, value: bytes) -> bool:
        moment = moment_of(value)
        return moment is not None and _PARTS[self.part](moment) == self.number


_PARTS: dict[str, Callable[[datetime], int]] = {
    "MINUTE": lambda t: t.minute,
    "HOUR": lambda t: t.hour,
    "DAY": lambda t: t.day,
    "WEEK": lambda t: t.isocalendar().week,
    "MONTH": lambda t: t.month,
    "YEAR": lambda t: t.year,
}


def moment_of(value: bytes) -> datetime | None:
    try:
        number = number_of(value)
        if number is not None:
            return datetime.fromtimestamp(number, UTC)
        moment = datetime.fromisoformat(value.decode("ascii"))
    except (ValueError, OverflowError, OSError):
        return None
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
