"""Bare frames that stand for a flow: decoding them gives the flow's key as the columnar path knows it.

In: packets that the columnar path did not decode (odd frames, ICMP errors, datagrams made of fragments). Out: keys of the
flows they belong to, all decoded at once: one decoding costs as much for a thousand frames as for one.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np

from sentinel.model import Batch
from sentinel.protocol import headers
from sentinel.protocol.deferred import TCP, Frame
from sentinel.protocol.grouping import ACK

if TYPE_CHECKING:
    from sentinel.model import Packet

UDP = 17


def keys(likenesses: list[Frame], *, seed: int, use_vlan: bool = True) -> list[int]:
    if not likenesses:
        return []
    found: list[int] = headers.decode(joined(likenesses), seed=seed, use_vlan=use_vlan).key.tolist()
    return found


def of_flow(packet: Packet, frame: Frame) -> list[Frame]:
    """A frame whose key is that of the packet's flow, if it is one that this path may have put aside."""
    ends = packet.embedded or (packet.proto, packet.src, packet.sport, packet.dst, packet.dport)
    return [_datagram(ends, packet, frame)] if ends[0] in {TCP, UDP} else []


def joined(frames: list[Frame]) -> Batch:
    """Frames made by `tagged`, as one batch."""
    offsets = np.zeros(len(frames) + 1, np.int64)
    np.cumsum([len(frame.data) for frame in frames], out=offsets[1:])
    data = b"".join(frame.data for frame in frames)
    return Batch(data=data, offsets=offsets, source="", link_type=headers.ETHERNET)


def _datagram(ends: tuple[int, bytes, int, bytes, int], packet: Packet, frame: Frame) -> Frame:
    """A bare datagram with these addresses and ports: its key is that of the flow."""
    proto, source, sport, target, dport = ends
    rest = struct.pack(">IIBBHHH", 0, 0, 0x50, ACK, 0, 0, 0) if proto == TCP else b"\0\x08\0\0"
    body = struct.pack(">HH", sport, dport) + rest
    if len(source) == 4:
        head = struct.pack(">BBHIBBH", 0x45, 0, 20 + len(body), 0, 64, proto, 0)
    else:
        head = struct.pack(">IHBB", 6 << 28, len(body), proto, 64)
    return tagged(head + source + target + body, packet, frame)


def tagged(data: bytes, packet: Packet, frame: Frame) -> Frame:
    """An IP datagram as it would have come along with the packet."""
    tags = b"".join(struct.pack(">HH", headers.VLANS[0], tag) for tag in packet.vlan)
    kind = struct.pack(">H", headers.IPV4 if data[0] >> 4 == 4 else headers.IPV6)
    data = bytes(12) + tags + kind + data
    return Frame(frame.sequence, frame.number, frame.time, data, len(data), headers.ETHERNET, 0)


def single(frame: Frame) -> Batch:
    return Batch(
        data=frame.data,
        offsets=np.array([0, len(frame.data)], np.int64),
        source="",
        link_type=frame.link_type,
        vlan=np.array([frame.tag], np.uint32) if frame.tag else None,
    )
