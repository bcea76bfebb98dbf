"""Are the checksums of a packet's headers right? (RFC 1071)

In: a decoded packet. Out: a verdict. Suricata ignores TCP segments with a wrong checksum, because their receiver does;
captures on the sending host show wrong ones all the time (the network card fills them in), so `Automatic` watches the
first packets of a capture and stops checking when too many are wrong.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sentinel.model import Packet

SAMPLE_PACKETS = 1000  # Suricata's numbers: after a thousand packets,
INVALID_RATIO = 10  # more than one in ten wrong means offloading


def internet_sum(data: bytes) -> int:
    """The one's complement sum of all 16-bit words: 2**16 is 1 modulo 65535, so the remainder is the sum."""
    if len(data) % 2:
        data += b"\0"
    return int.from_bytes(data, "big") % 0xFFFF


def transport_valid(packet: Packet) -> bool:
    """TCP, UDP or ICMPv6 with its pseudo header; a UDP checksum of zero says that there is none."""
    segment = packet.data[packet.l4 : packet.payload_end]
    if packet.proto == 17 and segment[6:8] == b"\0\0":
        return True
    pseudo = packet.src + packet.dst + len(segment).to_bytes(4, "big") + packet.proto.to_bytes(4, "big")
    return internet_sum(pseudo + segment) == 0


class Automatic:
    """Decides packet by packet whether TCP checksums count."""

    def __init__(self, *, enabled: bool) -> None:
        self.enabled = enabled
        self.packets = 0
        self.invalid = 0

    def accepts(self, packet: Packet) -> bool:
        if not self.enabled or packet.reassembled:
            return True
        if transport_valid(packet):
            return True
        self.invalid += 1
        return False

    def count(self) -> None:
        """One more captured packet; the sample decides about all that follow."""
        self.packets += 1
        if self.packets == SAMPLE_PACKETS and self.invalid and self.packets // self.invalid < INVALID_RATIO:
            self.enabled = False
