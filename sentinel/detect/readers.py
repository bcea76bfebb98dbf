"""The bytes of a buffer as rules see them at this moment: values of a transaction, windows of growing bodies.

In: a transaction, a direction, a buffer's name. Out: a list of Views (most buffers have one). HTTP bodies are looked
at from a size on and then in windows with some overlap, as Suricata's request-body-minimal-inspect-size and
-inspect-window say, so that a large body is not searched again from its start for every packet.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from sentinel.detect.filemagic import description
from sentinel.detect.transforms import transform
from sentinel.detect.view import View

if TYPE_CHECKING:
    from sentinel.detect.groups import Key
    from sentinel.model import File, Transaction


class Window(NamedTuple):
    least: int  # bytes of a body before it is looked at, unless it ends
    size: int


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """Suricata's libhtp defaults."""

    windows: tuple[Window, Window] = (Window(32_768, 4_096), Window(40_960, 16_384))
    limits: tuple[int, int] = (102_400, 102_400)


BODY_DONE = 4  # HTTP progress past the body
_BODIES = ("http.request_body", "http.response_body")


@dataclass(slots=True)
class TxState:
    """What one engine knows of one transaction; rule numbers mean nothing to an engine with other rules."""

    owner: object

    # Of each direction: rule -> bits of its matched parts, DONE when finished.
    flags: tuple[dict[int, int], dict[int, int]] = field(default_factory=lambda: ({}, {}))
    scanned: dict[tuple[int, Key], Any] = field(default_factory=dict)  # value a matcher has seen already
    inspected: dict[str, int] = field(default_factory=dict)  # bytes of each body looked at
    views: dict[tuple[int, Key], tuple[Any, list[View]]] = field(default_factory=dict)
    again: tuple[set[int], set[int]] = field(
        default_factory=lambda: (set(), set())
    )  # rules to match once more
    files: int = 0  # seen so far
    progress: list[Any] = field(default_factory=lambda: [None, None])  # of each direction when last scanned
    moment: int = -1  # the packet that `bodies` belongs to
    bodies: dict[str, View | None] = field(default_factory=dict)


class Reader:
    def __init__(self, limits: BodyLimits) -> None:
        self._limits = limits
        self.moment = 0  # counts packets, so that a body advances once a packet

    def state(self, tx: Transaction) -> TxState:
        state = tx.detect_state
        if not isinstance(state, TxState) or state.owner is not self:
            state = tx.detect_state = TxState(self)
        return state

    def views(self, tx: Transaction, direction: int, key: Key) -> list[View]:
        state = self.state(tx)
        token, made = self._raw(tx, direction, key[0], state)
        if token is None:
            return []
        known = state.views.get((direction, key))
        if known is not None and known[0] == token:
            return known[1]
        if key[1]:
            changed = ((view, transform(view.data, key[1])) for view in made)
            made = [View(data, view.offset, view.end) for view, data in changed if data is not None]
        state.views[direction, key] = (token, made)
        return made

    def value(self, tx: Transaction, direction: int, name: str) -> Any:
        """What the parser filled in under a name."""
        found = tx.buffers[direction].get(name)
        if found is None and tx.derive is not None:
            found = tx.derive(tx, direction, name)
        return found

    def _raw(self, tx: Transaction, direction: int, name: str, state: TxState) -> tuple[Any, list[View]]:
        """A token that changes with the value, and the value's views; (None, []) while there is none."""
        if name == "file.data" and direction == 1 and tx.protocol == "http":
            name = "http.response_body"
        if name in _BODIES:
            view = self._body(tx, direction, name, state)
            return (None, []) if view is None else ((len(view.data), view.offset, view.end), [view])
        if name == "file.data":
            return self._files(tx, direction)
        if name in {"file.name", "file.magic"}:
            files = (file for file in tx.files if file.direction == direction)
            told = [description(file) if name == "file.magic" else file.name for file in files]
            names = [each for each in told if each is not None]  # a file without a name has an empty one
            return (tuple(names), [View(each) for each in names]) if names else (None, [])
        found = self.value(tx, direction, name)
        if found is None:
            return None, []
        if isinstance(found, list):
            return tuple(found), [View(each) for each in found]
        if not isinstance(found, bytes):
            found = str(found).encode("latin-1", "replace")
        return found, [View(found)]

    def _files(self, tx: Transaction, direction: int) -> tuple[Any, list[View]]:
        ready = [file for file in tx.files if file.direction == direction and self._ready(tx, file)]
        if not ready:
            return None, []
        token = tuple((len(file.data), file.closed) for file in ready)
        return token, [View(bytes(file.data), 0, file.closed) for file in ready]

    def _ready(self, tx: Transaction, file: File) -> bool:
        if not file.data:
            return False
        return file.closed or len(file.data) >= self._limits.windows[0].least or tx.done[file.direction]

    def _body(self, tx: Transaction, direction: int, name: str, state: TxState) -> View | None:
        if state.moment != self.moment:
            state.moment = self.moment
            state.bodies = {}
        if name not in state.bodies:
            state.bodies[name] = self._advance(tx, direction, name, state)
        return state.bodies[name]

    def _advance(self, tx: Transaction, direction: int, name: str, state: TxState) -> View | None:
        body = self.value(tx, direction, name)
        if not body:
            return None
        least, size = self._limits.windows[direction]
        seen = int(self.value(tx, direction, f"{name}_seen") or len(body))
        over = tx.progress[direction] >= BODY_DONE or tx.done[direction]
        limit = self._limits.limits[direction]
        if seen < least and not over and (limit == 0 or seen < limit):
            return None
        before = state.inspected.get(name, 0)
        offset = 0
        if before > least:
            fresh = seen - before
            offset = max(0, before - (size - fresh)) if fresh < size else before - size // 4
        state.inspected[name] = seen
        return View(bytes(body[offset:]), offset, over)
