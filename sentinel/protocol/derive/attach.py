"""Joins the derived columns to a batch: `Derivation(...).attach(columns)`, and from then on `columns.column(name)` makes them.

A name is asked of the log format first; what it does not have is an alias, a part, a form (`NAME|decoded`),
a shop field or a personal-data field. Invariant: deriving never raises, whatever the bytes are.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from sentinel.errors import InvalidInputError, Problem
from sentinel.protocol.derive import command, decoding, shop, taxonomy
from sentinel.protocol.derive.personal import PersonalData, masked
from sentinel.protocol.derive.shop import Vocabulary

if TYPE_CHECKING:
    from collections.abc import Callable

    from sentinel.model import Column, Columns
    from sentinel.protocol.derive.settings import DeriveSettings

    Derive = Callable[[Columns, str], Column | None]


class Derivation:
    """What a site configures: its shop vocabulary and the key of personal-data hashes."""

    def __init__(self, vocabulary: Vocabulary | None = None, key: bytes = b"") -> None:
        self._vocabulary = vocabulary or Vocabulary()
        self._personal = PersonalData(key or secrets.token_bytes(32))

    @classmethod
    def of(cls, settings: DeriveSettings) -> Derivation:
        key = b""
        if settings.personal_data_key_file is not None:
            try:
                key = settings.personal_data_key_file.read_bytes().strip()
            except OSError as error:
                path = str(settings.personal_data_key_file)
                raise InvalidInputError([Problem(path, 0, error.strerror or str(error))]) from None
        return cls(
            Vocabulary(
                {str(key): value for key, value in settings.shop.actions.items()}, settings.shop.preset
            ),
            key,
        )

    def attach(self, columns: Columns) -> Columns:
        parse = columns.derive

        def derive(columns: Columns, name: str) -> Column | None:
            found = _logged(parse, columns, name)
            return self._make(columns, name) if found is None else found

        def basis(columns: Columns, name: str) -> frozenset[str]:
            base = name.partition("|")[0]
            base = taxonomy.ALIASES.get(base, base)
            if base not in columns.columns and (found := _logged(parse, columns, base)) is not None:
                columns.columns[base] = found
            if base in columns.columns:
                return frozenset({base})
            return _BASIS.get(base, _UNKNOWN if base.startswith("pii.") else frozenset({base}))

        columns.derive = derive
        columns.basis = basis
        columns.mask = masked
        return columns

    def _make(self, columns: Columns, name: str) -> Column | None:
        base, _, form = name.partition("|")
        if form:
            target = taxonomy.ALIASES.get(base, base)
            if target != base:
                return columns.column(f"{target}|{form}")
            make = _FORMS.get(form)
            return make(columns, base) if make is not None else None
        if name in taxonomy.ALIASES:
            return taxonomy.alias(columns, name)
        if name.startswith("pii."):
            return self._personal.column(columns, name)
        if name == "shop.action":
            return self._vocabulary.column(columns)
        part = _PARTS.get(name)
        return part(columns) if part is not None else None


def _logged(parse: Derive | None, columns: Columns, name: str) -> Column | None:
    """What the format has under that name."""
    if parse is None:
        return None
    if columns.whole is None:
        return parse(columns, name)
    whole, rows = columns.whole
    found = _logged(parse, whole, name)
    if found is None:
        return None
    whole.columns[name] = found
    return found.take(rows)


def _decoded(columns: Columns, name: str) -> Column | None:
    part = taxonomy.FORMED_PARTS.get(name)
    if part is not None:
        return part(columns, "|decoded")
    column = columns.column(name) if name in decoding.DECODED else None
    if column is None:
        return None
    return decoding.decoded(column, plus=name in decoding.WITH_PLUS)


_TARGET = frozenset({"url.original"})
_UNKNOWN: frozenset[str] = frozenset({"event.original"})
# What else than a column of its own name a derived column is computed from.
_BASIS = {
    "url.path": _TARGET,
    "url.query": _TARGET,
    "url.extension": _TARGET,
    "http.request.referrer.query": frozenset({"http.request.referrer"}),
    "request.command": _TARGET,
    "shop.item": _TARGET | {"http.request.method"},
    "shop.action": _TARGET | {"http.request.method"},
    "@timestamp": _UNKNOWN,
}
_PARTS: dict[str, Callable[[Columns], Column | None]] = {
    **taxonomy.PARTS,
    "shop.item": shop.item,
    "request.command": command.command,
}
_FORMS: dict[str, Callable[[Columns, str], Column | None]] = {"decoded": _decoded}
