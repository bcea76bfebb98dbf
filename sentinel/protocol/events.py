"""How a decoder says that something is wrong with a packet: names as in the rule keywords decode-event and stream-event.

Nothing raises on traffic. An anomaly is an event; a packet that cannot be decoded further is also `invalid`, and then
only rules on events look at it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sentinel.model import Packet


def invalid(packet: Packet, event: str) -> None:
    """Decoding ends here. Without an IP header, nothing but the packet's events is looked at."""
    packet.events.append(event)
    packet.invalid = packet.version == 0


def stream(packet: Packet, event: str) -> None:
    """A stream event (stream-event:NAME, without the "stream." in rules)."""
    packet.events.append("stream." + event)
