"""What the columnar path asks of detection. Folders may not import each other: detect/screen.py offers exactly this."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet

    import numpy as np
    from numpy.typing import NDArray

    from sentinel.protocol.headers import Headers

# Protocol, source port, destination port, source and destination address (IPv4 as a number; 0 and 0 for IPv6).
Ends = tuple[int, int, int, int, int]


class Screen(Protocol):
    """What detection offers to this path."""

    @property
    def usable(self) -> bool:
        """False: rules are loaded that need every packet."""

    @property
    def decoder_events(self) -> bool:
        """Do rules ask for events of decoding? Then pieces of datagrams are never put aside."""

    def rows(self, headers: Headers) -> NDArray[np.bool_]:
        """Rows whose header alone may match a rule."""

    def lone(self, headers: Headers) -> NDArray[np.bool_]:
        """Rows that may match rules which need nothing else of a flow, if they are its first."""

    @property
    def large(self) -> int:
        """From how many bytes of a direction on rules ask for the sizes of TCP sessions."""

    def sized(self, headers: Headers) -> NDArray[np.bool_]:
        """Rows that may match such rules, once their session is large."""

    def stream(
        self,
        ends: Ends,
        to_server: bool,
        data: bytes,
        *,
        packets: Sequence[bytes] | None,
        whole: bool,
        apps: AbstractSet[str],
        notes: set[Any],
    ) -> int:
        """May a rule match these bytes of a stream or datagram? -1: yes. Else how many of the last ones to show again.

        `packets`: the last ones as they were sent, where that is known. `whole`: they are all that there was so far. `apps`: every application protocol that the flow may turn out to
        speak. `notes`: what the screen wants to remember about the flow.
        """
