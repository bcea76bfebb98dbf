"""Keywords about files in transit: name, extension, size, hash, type. All of a rule hold for the same file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from sentinel.detect.arguments import comparison, negatable, required, unquoted
from sentinel.detect.keywords_content import pattern_bytes
from sentinel.detect.rule import Check

if TYPE_CHECKING:
    from collections.abc import Callable

    from sentinel.detect.draft import Draft

_PROTOCOLS = frozenset({"http", "http2", "smtp", "ftp", "ftp-data", "smb", "nfs", "dcerpc"})
_DIGEST = {"filemd5": 32, "filesha1": 40, "filesha256": 64}


def _add(draft: Draft, kind: str, *arguments: object) -> None:
    draft.app_checks.append((Check("file", (kind, *arguments)), _PROTOCOLS, (True, True)))


def _text(kind: str) -> Callable[[Draft, str | None], None]:
    def parse(draft: Draft, value: str | None) -> None:
        negated, text = negatable(value)
        _add(draft, kind, negated, pattern_bytes(unquoted(text)).lower())

    return parse


def _digests(kind: str) -> Callable[[Draft, str | None], None]:
    def parse(draft: Draft, value: str | None) -> None:
        negated, name = negatable(value)
        path = Path(draft.folder) / unquoted(name)
        try:
            text = path.read_text("latin-1")
        except OSError as error:
            raise ValueError(f"{path}: {error.strerror}") from None
        found = frozenset(
            bytes.fromhex(word)
            for word in re.findall(r"^\s*([0-9A-Fa-f]+)", text, re.MULTILINE)
            if len(word) == _DIGEST[kind]
        )
        _add(draft, kind, negated, found)

    return parse


def _filesize(draft: Draft, value: str | None) -> None:
    _add(draft, "filesize", comparison(required(value).replace(" ", "")))


def _filestore(draft: Draft, value: str | None) -> None:
    """Sentinel keeps no files; the rule still says that there is one."""
    _add(draft, "filestore")


FILES: dict[str, Callable[[Draft, str | None], None]] = {
    "filename": _text("filename"),
    "fileext": _text("fileext"),
    "filemagic": _text("filemagic"),
    "filesize": _filesize,
    "filestore": _filestore,
    **{name: _digests(name) for name in _DIGEST},
}
