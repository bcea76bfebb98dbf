"""Keywords that read numbers from a buffer, or measure or decode it: byte_test ... dataset ... asn1."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentinel.detect.arguments import comparison, integer, negatable, nothing, required, unquoted, words
from sentinel.detect.rule import (
    Base64Decode,
    ByteExtract,
    ByteJump,
    ByteMath,
    ByteTest,
    Check,
    InSet,
    IsDataAt,
    Size,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sentinel.detect.arguments import Comparison
    from sentinel.detect.draft import Draft
    from sentinel.detect.rule import Number

_BASES = {"hex": 16, "dec": 10, "oct": 8}
_TEST_OPERATORS = {"<", ">", "=", "<=", ">=", "&", "^"}
_MATH_OPERATORS = {"+", "-", "*", "/", "<<", ">>"}
HIGHEST = (1 << 63) - 1


class _Options:
    """The comma list after the fixed arguments: "relative, little, string, hex, multiplier 4"."""

    def __init__(self, words: list[str], valued: set[str]) -> None:
        self.flags: set[str] = set()
        self.values: dict[str, str] = {}
        for word in words:
            key, _, value = word.partition(" ")
            if key in valued:
                self.values[key] = value.strip()
            elif not value and key in {
                "relative", "little", "big", "string", "hex", "dec", "oct", "align", "dce", "from_beginning",
                "from_end", "rawbytes",
            }:  # fmt: skip
                self.flags.add(key)
            else:
                raise ValueError(f"unknown option {word!r}")

    @property
    def base(self) -> int:
        if "string" not in self.flags:
            return 0
        return next((base for name, base in _BASES.items() if name in self.flags), 10)

    def number(self, key: str, default: int = 0) -> int:
        return integer(self.values[key]) if key in self.values else default


def _number(draft: Draft, text: str) -> Number:
    return text if text in draft.variables else integer(text)


def _count(draft: Draft, text: str, base: int) -> Number:
    number = _number(draft, text)
    if isinstance(number, int) and not 0 <= number <= (23 if base else 8):
        raise ValueError(f"cannot read {number} bytes")
    return number


def _byte_test(draft: Draft, value: str | None) -> None:
    arguments = words(value)
    if len(arguments) < 4:
        raise ValueError("needs: bytes, operator, value, offset")
    options = _Options(arguments[4:], {"bitmask"})
    negated, operator = negatable(arguments[1])
    if operator not in _TEST_OPERATORS and not (negated and operator == ""):
        raise ValueError(f"unknown operator {arguments[1]}")
    draft.add(
        ByteTest(
            _count(draft, arguments[0], options.base),
            operator or "=",
            negated,
            _number(draft, arguments[2]),
            _number(draft, arguments[3]),
            "relative" in options.flags,
            "little" in options.flags,
            options.base,
            options.number("bitmask"),
            "dce" in options.flags,
        )
    )


def _byte_jump(draft: Draft, value: str | None) -> None:
    arguments = words(value)
    if len(arguments) < 2:
        raise ValueError("needs: bytes, offset")
    options = _Options(arguments[2:], {"multiplier", "post_offset", "bitmask"})
    draft.add(
        ByteJump(
            _count(draft, arguments[0], options.base),
            _number(draft, arguments[1]),
            "relative" in options.flags,
            "little" in options.flags,
            options.base,
            options.number("multiplier", 1),
            "align" in options.flags,
            "from_beginning" in options.flags,
            "from_end" in options.flags,
            options.number("post_offset"),
            options.number("bitmask"),
            "dce" in options.flags,
        )
    )


def _byte_extract(draft: Draft, value: str | None) -> None:
    arguments = words(value)
    if len(arguments) < 3:
        raise ValueError("needs: bytes, offset, name")
    options = _Options(arguments[3:], {"multiplier", "align"})
    count = integer(arguments[0])
    if not 0 < count <= (23 if options.base else 8):
        raise ValueError(f"cannot read {count} bytes")
    draft.variables.append(arguments[2])
    draft.add(
        ByteExtract(
            count,
            integer(arguments[1]),
            arguments[2],
            "relative" in options.flags,
            "little" in options.flags,
            options.base,
            options.number("multiplier", 1),
            options.number("align"),
            "dce" in options.flags,
        )
    )


def _byte_math(draft: Draft, value: str | None) -> None:
    given: dict[str, str] = {}
    for word in words(value):
        key, _, rest = word.partition(" ")
        if key in given:
            raise ValueError(f"{key} is given twice")
        given[key] = rest.strip()
    if missing := {"bytes", "offset", "oper", "rvalue", "result"} - set(given):
        raise ValueError(f"needs {', '.join(sorted(missing))}")
    if given["oper"] not in _MATH_OPERATORS:
        raise ValueError(f"unknown operator {given['oper']}")
    base = _BASES[given["string"]] if "string" in given else 0
    match = ByteMath(
        _count(draft, given["bytes"], base),
        integer(given["offset"]),
        given["oper"],
        _number(draft, given["rvalue"]),
        given["result"],
        "relative" in given,
        given.get("endian") == "little",
        base,
        integer(given.get("bitmask", "0")),
        "dce" in given,
    )
    if match.operator == "/" and match.value == 0:
        raise ValueError("divides by zero")
    draft.variables.append(given["result"])
    draft.add(match)


def _isdataat(draft: Draft, value: str | None) -> None:
    arguments = words(value)
    negated, position = negatable(arguments[0])
    if set(arguments[1:]) - {"relative", "rawbytes"}:
        raise ValueError(f"unknown option in {value}")
    draft.add(IsDataAt(_number(draft, position), "relative" in arguments, negated))


def size(wanted: Comparison) -> Size:
    operator, first, second = wanted
    return {
        "=": Size(first, first),
        "!=": Size(first, first, negated=True),
        "<": Size(0, first - 1),
        "<=": Size(0, first),
        ">": Size(first + 1, HIGHEST),
        ">=": Size(first, HIGHEST),
        "range": Size(first + 1, second - 1),
    }[operator]


def _bsize(draft: Draft, value: str | None) -> None:
    if draft.current is None and draft.base64 is None:
        raise ValueError("needs a sticky buffer before it")
    draft.add(size(comparison(value)))


def _urilen(draft: Draft, value: str | None) -> None:
    condition, _, kind = required(value).partition(",")
    buffer = {"": "http.uri", "norm": "http.uri", "raw": "http.uri.raw"}.get(kind.strip())
    if buffer is None:
        raise ValueError(f"unknown option {kind}")
    draft.section(buffer).matches.append(size(comparison(condition.replace(" ", ""))))


def _base64_decode(draft: Draft, value: str | None) -> None:
    given = {key: rest for key, _, rest in (word.partition(" ") for word in words(value))} if value else {}
    if set(given) - {"bytes", "offset", "relative"}:
        raise ValueError(f"unknown option in {value}")
    draft.add(
        Base64Decode(integer(given.get("bytes", "0")), integer(given.get("offset", "0")), "relative" in given)
    )


def _base64_data(draft: Draft, value: str | None) -> None:
    nothing(value)
    draft.begin_base64()


def _dataset(draft: Draft, value: str | None) -> None:
    arguments = words(value)
    if len(arguments) < 2:
        raise ValueError("needs: command, name")
    if arguments[0] not in {"set", "unset", "isset", "isnotset"}:
        raise ValueError(f"unknown command {arguments[0]}")
    given = {key: rest.strip() for key, _, rest in (word.partition(" ") for word in arguments[2:])}
    kind = given.get("type", "")
    if kind not in {"", "string", "md5", "sha256", "ipv4", "ip", "ipv6"}:
        raise ValueError(f"unknown type {kind}")
    _need_buffer(draft)
    draft.sets[arguments[1]] = _files(kind, given)
    draft.add(InSet(arguments[0], arguments[1], kind))


def _datarep(draft: Draft, value: str | None) -> None:
    arguments = words(value)
    if len(arguments) < 3 or arguments[1] not in {"<", ">", "="}:
        raise ValueError("needs: name, one of < > =, value")
    given = {key: rest.strip() for key, _, rest in (word.partition(" ") for word in arguments[3:])}
    _need_buffer(draft)
    kind = given.get("type", "string")
    draft.sets[arguments[0]] = _files(kind, given)
    draft.add(InSet("datarep", arguments[0], kind, arguments[1], integer(arguments[2])))


def _files(kind: str, given: Mapping[str, str]) -> tuple[str, str, str]:
    """Type, file to read, file to write. A rule may not choose where on the host something is written."""
    state = given.get("state", "")
    save = given.get("save") or state
    if save.startswith("/") or ".." in save.split("/"):
        raise ValueError("a set is saved below the data directory: neither an absolute path nor ..")
    return kind, given.get("load") or state, save


def _need_buffer(draft: Draft) -> None:
    if draft.current is None:
        raise ValueError("needs a sticky buffer before it")


def _asn1(draft: Draft, value: str | None) -> None:
    given = {key: rest for key, _, rest in (word.partition(" ") for word in words(unquoted(value)))}
    known = {"bitstring_overflow", "double_overflow", "oversize_length", "absolute_offset", "relative_offset"}
    if set(given) - known:
        raise ValueError(f"unknown option in {value}")
    offset = integer(given.get("absolute_offset") or given.get("relative_offset") or "0")
    arguments = (
        "bitstring_overflow" in given,
        "double_overflow" in given,
        integer(given["oversize_length"]) if "oversize_length" in given else 0,
        offset,
        "relative_offset" in given,
    )
    draft.add(Check("asn1", arguments))


BYTES: dict[str, Callable[[Draft, str | None], None]] = {
    "byte_test": _byte_test,
    "byte_jump": _byte_jump,
    "byte_extract": _byte_extract,
    "byte_math": _byte_math,
    "isdataat": _isdataat,
    "bsize": _bsize,
    "urilen": _urilen,
    "base64_decode": _base64_decode,
    "base64_data": _base64_data,
    "dataset": _dataset,
    "datarep": _datarep,
    "asn1": _asn1,
}
