"""Joins the derived columns to a batch: `attach(columns, Derivation)` and from then on `columns.column(name)` makes them.

A name is asked of the log format first; what it does not have is an alias, a part, a form (`NAME|decoded`,
`NAME|masked`), a shop field or a personal-data field. Invariant: deriving never raises, whatever the bytes are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentinel.protocol.derive import decoding, taxonomy

if TYPE_CHECKING:
    from collections.abc import Callable

    from sentinel.model import Column, Columns


class Derivation:
    """What a site configures: its shop vocabulary and the key of personal-data hashes."""

    def attach(self, columns: Columns) -> Columns:
        parse = columns.derive

        def derive(columns: Columns, name: str) -> Column | None:
            found = parse(columns, name) if parse is not None else None
            return self._make(columns, name) if found is None else found

        columns.derive = derive
        return columns

    def _make(self, columns: Columns, name: str) -> Column | None:
        base, _, form = name.partition("|")
        if form:
            make = _FORMS.get(form)
            target = taxonomy.ALIASES.get(base, base)
            if target != base:
                return columns.column(f"{target}|{form}")
            return make(columns, base) if make is not None else None
        if name in taxonomy.ALIASES:
            return taxonomy.alias(columns, name)
        part = taxonomy.PARTS.get(name)
        return part(columns) if part is not None else None


def _decoded(columns: Columns, name: str) -> Column | None:
    part = taxonomy.FORMED_PARTS.get(name)
    if part is not None:
        return part(columns, "|decoded")
    column = columns.column(name) if name in decoding.DECODED else None
    if column is None or (name == "event.original" and columns.column("url.original") is None):
        return None
    return decoding.decoded(column, plus=name in decoding.WITH_PLUS)


_FORMS: dict[str, Callable[[Columns, str], Column | None]] = {"decoded": _decoded}
