"""The bytes a rule looks at, with what it learns on the way: lower-cased copy, place in a stream, variables."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(slots=True)
class Scope:
    """What matches of one rule share while one packet or transaction is looked at."""

    values: dict[str, int] = field(default_factory=dict)  # byte_extract, byte_math
    little_endian: bool = False  # of a DCE/RPC header
    in_set: Callable[[Any, bytes], bool] | None = None
    captured: Callable[[str, str, bytes], None] | None = None


class View:
    __slots__ = ("_lower", "data", "end", "offset")

    def __init__(self, data: bytes, offset: int = 0, end: bool = True) -> None:
        self.data = data
        self.offset = offset  # where `data` begins in the whole buffer, when it is a window
        self.end = end  # no more of this buffer will come
        self._lower: bytes | None = None

    @property
    def lower(self) -> bytes:
        if self._lower is None:
            self._lower = self.data.lower()
        return self._lower
