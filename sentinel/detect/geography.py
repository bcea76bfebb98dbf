"""Country of an address from a MaxMind DB file (format version 2), for the geoip keyword.

In: a file in the published format (maxmind.github.io/MaxMind-DB). Out: ISO codes. The file is mapped, not read.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from sentinel.errors import InvalidInputError, Problem

MARKER = b"\xab\xcd\xefMaxMind.com"
DEPTH_LIMIT = 32  # of nested values; the format needs about five


class Countries:
    def __init__(self, data: Any) -> None:
        self._data = data
        start = data.rfind(MARKER)
        if start < 0:
            raise ValueError("not a MaxMind DB file")
        meta = _Decoder(data, start + len(MARKER)).value(start + len(MARKER))[0]
        self._nodes = int(meta["node_count"])
        self._bits = int(meta["record_size"])
        self._version = int(meta["ip_version"])
        if self._bits not in {24, 28, 32}:
            raise ValueError("unknown record size")
        self._decoder = _Decoder(data, self._nodes * self._bits // 4 + 16)
        self.country = lru_cache(maxsize=10_000)(self._country)

    @classmethod
    def open(cls, path: str) -> Countries | None:
        if not path:
            return None
        try:
            with Path(path).open("rb") as file:
                return cls(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
            raise InvalidInputError([Problem(path, 0, str(error))]) from None

    def _country(self, address: bytes) -> str:
        if len(address) == 4 and self._version == 6:
            address = b"\0" * 12 + address
        if len(address) == 16 and self._version == 4:
            return ""
        node = 0
        for byte in address:
            for bit in range(7, -1, -1):
                node = self._child(node, byte >> bit & 1)
                if node >= self._nodes:
                    return self._code(node)
        return ""

    def _child(self, node: int, side: int) -> int:
        at = node * self._bits // 4
        if self._bits == 28:
            middle = self._data[at + 3]
            if side == 0:
                return int((middle & 0xF0) << 20) | int.from_bytes(self._data[at : at + 3], "big")
            return int((middle & 0x0F) << 24) | int.from_bytes(self._data[at + 4 : at + 7], "big")
        size = self._bits // 8
        return int.from_bytes(self._data[at + side * size : at + (side + 1) * size], "big")

    def _code(self, node: int) -> str:
        if node == self._nodes:
            return ""
        found = self._decoder.value(node - self._nodes + self._nodes * self._bits // 4)[0]
        country = found.get("country") if isinstance(found, dict) else None
        return str(country.get("iso_code", "")) if isinstance(country, dict) else ""


@dataclass(slots=True)
class _Decoder:
    data: Any
    base: int  # where pointers count from

    def value(self, at: int, depth: int = 0) -> tuple[Any, int]:
        if depth > DEPTH_LIMIT:
            raise ValueError("nested too deeply")
        control = self.data[at]
        kind, at = control >> 5, at + 1
        if kind == 1:
            return self._pointer(control, at, depth)
        if kind == 0:
            kind, at = self.data[at] + 7, at + 1
        size, at = self._size(control & 31, at)
        if kind == 7:
            return self._map(size, at, depth)
        if kind == 11:
            return self._array(size, at, depth)
        if kind == 14:
            return bool(size), at
        raw = self.data[at : at + size]
        if kind == 2:
            return raw.decode("utf-8", "replace"), at + size
        return (raw if kind in {3, 4, 15} else int.from_bytes(raw, "big")), at + size

    def _size(self, size: int, at: int) -> tuple[int, int]:
        if size < 29:
            return size, at
        extra = size - 28
        start = (29, 285, 65821)[extra - 1]
        return start + int.from_bytes(self.data[at : at + extra], "big"), at + extra

    def _pointer(self, control: int, at: int, depth: int) -> tuple[Any, int]:
        size = (control >> 3 & 3) + 1
        high = control & 7 if size < 4 else 0
        start = (0, 2048, 526336, 0)[size - 1]
        target = (high << 8 * size) + int.from_bytes(self.data[at : at + size], "big") + start
        return self.value(self.base + target, depth + 1)[0], at + size

    def _map(self, size: int, at: int, depth: int) -> tuple[dict[str, Any], int]:
        found: dict[str, Any] = {}
        for _ in range(size):
            key, at = self.value(at, depth + 1)
            found[key], at = self.value(at, depth + 1)
        return found, at

    def _array(self, size: int, at: int, depth: int) -> tuple[list[Any], int]:
        found = []
        for _ in range(size):
            item, at = self.value(at, depth + 1)
            found.append(item)
        return found, at
