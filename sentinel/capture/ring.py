"""Live packets: an AF_PACKET TPACKET_V3 ring, mapped into memory -> Batch, of one or a few kernel blocks.

In: an interface and its settings. Out: batches with nanosecond times and the VLAN tags that the kernel took off. No
libpcap. The kernel writes packets into blocks of a ring; we copy a block, hand it back, and work on the copy, so the
only Python done per packet is one step along the block's list. What the ring could not take is counted by the kernel
and read from it: `seen + dropped` is exactly what passed the filter. What the interface lost before it came that far is
read too (proc_pid_net(5), dev): `drop` is the host's queue or the driver, `fifo` the card's own buffer.

Linux: Documentation/networking/packet_mmap.rst, packet(7). Needs CAP_NET_RAW until the socket is open.
"""

from __future__ import annotations

import fcntl
import mmap
import select
import socket
import struct
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from sentinel import metrics
from sentinel.capture import bpf
from sentinel.errors import CapabilityError, SentinelError
from sentinel.model import Batch

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator

ETH_P_ALL = 0x0003
SIOCGIFHWADDR = 0x8927
SOL_PACKET = 263
PACKET_ADD_MEMBERSHIP, PACKET_RX_RING, PACKET_STATISTICS, PACKET_VERSION = 1, 5, 6, 10
PACKET_FANOUT, PACKET_IGNORE_OUTGOING = 18, 23
TPACKET_V3 = 2
FANOUT_HASH, FANOUT_FLAG_DEFRAG = 0, 0x8000
MEMBERSHIP_PROMISCUOUS = 1
STATUS_KERNEL, STATUS_USER, STATUS_VLAN_VALID = 0, 1, 1 << 4

# Blocks are handed over half empty when traffic is slow, and the ring is lost for as long as its blocks last: small blocks
# let a reader be late for seconds (128 of them: 7.7 s). The largest GRO packet (64 KiB) fits four times.
BLOCK_BYTES = 1 << 18
JOINED_BLOCKS = 8  # a reader that is behind gets larger batches, which cost less a packet
FRAME_BYTES = 2048  # only a divisor of the block for the kernel: version 3 packs frames of any length
RETIRE_MILLISECONDS = 60  # a block that is not full is handed over after this time
POLL_SECONDS = 0.2
STATISTICS_SECONDS = 1.0
BLOCK_HEADER = struct.Struct("=IIIIII")  # version, private, status, packets, first packet, length
NEXT = struct.Struct("=I")
HARDWARE_LOOPBACK = 772
HARDWARE_LINK_TYPES = {1: 1, HARDWARE_LOOPBACK: 1}  # ARPHRD_ETHER, ARPHRD_LOOPBACK; others give bare IP
LINK_TYPE_RAW = 101

HOW_TO_GRANT = (
    "run it under the shipped systemd unit, as root, or `setcap cap_net_raw+ep` on a Python of its own"
)


DROP_REASONS = ("ring_full", "interface", "overrun")


@dataclass(slots=True)
class Counters:
    """Since the ring was opened. `frozen` counts how often the whole ring was full; `lost` is what never reached it."""

    seen: int = 0
    dropped: int = 0
    frozen: int = 0
    blocks: int = 0
    lost: int = 0


class Ring:
    """One worker's ring on one interface. Workers of the same `fanout` group share the interface's flows."""

    def __init__(
        self,
        interface: str,
        *,
        megabytes: int = 32,
        promiscuous: bool = False,
        filter_text: str = "",
        fanout: int | None = None,
        counts_losses: bool = True,
    ) -> None:
        """Of the workers on one interface, one `counts_losses` of the interface itself."""
        self.interface = interface
        self.counters = Counters()
        hardware = _hardware_type(interface)
        self.link_type = HARDWARE_LINK_TYPES.get(hardware, LINK_TYPE_RAW)
        program = bpf.compile_filter(filter_text) if filter_text else b""
        self.blocks = max(2, (megabytes << 20) // BLOCK_BYTES)
        self.socket = _open(interface)
        try:
            self._configure(hardware, program, promiscuous=promiscuous, fanout=fanout)
        except OSError as error:
            self.socket.close()
            raise SentinelError(f"{interface}: cannot set up capture: {error.strerror}") from None
        self.memory = mmap.mmap(self.socket.fileno(), self.blocks * BLOCK_BYTES)
        self._next_block = 0
        self._packets = 0
        self._counts_losses = counts_losses
        self._lost = interface_losses(interface)
        self._read_statistics_at = 0.0

    def _configure(self, hardware: int, program: bytes, *, promiscuous: bool, fanout: int | None) -> None:
        sock = self.socket
        sock.setsockopt(SOL_PACKET, PACKET_VERSION, struct.pack("=i", TPACKET_V3))
        frames = self.blocks * BLOCK_BYTES // FRAME_BYTES
        request = (BLOCK_BYTES, self.blocks, FRAME_BYTES, frames, RETIRE_MILLISECONDS, 0, 0)
        sock.setsockopt(SOL_PACKET, PACKET_RX_RING, struct.pack("=7I", *request))
        # Before binding, so that nothing unfiltered gets in, nor anything that another worker of the group sees too.
        first = bpf.NOTHING if fanout is not None else program
        if first:
            bpf.attach(sock, first)
        if (
            hardware == HARDWARE_LOOPBACK
        ):  # each packet passes the loopback twice; the second is the received one
            sock.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        sock.bind((self.interface, ETH_P_ALL))
        if promiscuous:
            index = socket.if_nametoindex(self.interface)
            membership = struct.pack("=iHH8s", index, MEMBERSHIP_PROMISCUOUS, 0, b"")
            sock.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, membership)
        if fanout is not None:
            mode = FANOUT_HASH | FANOUT_FLAG_DEFRAG
            sock.setsockopt(SOL_PACKET, PACKET_FANOUT, struct.pack("=I", (fanout & 0xFFFF) | mode << 16))
            bpf.attach(sock, program or bpf.EVERYTHING)

    def batches(self, stop: threading.Event) -> Iterator[Batch | None]:
        """Batches until `stop`, then what the ring still holds; None when nothing came for a while."""
        poller = select.poll()
        poller.register(self.socket, select.POLLIN | select.POLLERR)
        while not stop.is_set():
            batch = self.take()
            if batch is None:
                poller.poll(POLL_SECONDS * 1000)
                batch = self.take()
            self._statistics_if_due()
            yield batch
        time.sleep(2 * RETIRE_MILLISECONDS / 1000)
        while (batch := self.take()) is not None:
            yield batch
        self.read_statistics()

    def take(self, most_blocks: int = JOINED_BLOCKS) -> Batch | None:
        """What is in the next blocks that the kernel filled, or None."""
        pieces: list[tuple[bytes, int]] = []
        while len(pieces) < most_blocks and (piece := self._block()) is not None:
            pieces.append(piece)
        if not pieces:
            return None
        self._read_drops()
        return self._batch(pieces)

    def _block(self) -> tuple[bytes, int] | None:
        """A copy of the next block and how many packets are in it; the kernel gets the block back."""
        base = self._next_block * BLOCK_BYTES
        _, _, status, packets, first, length = BLOCK_HEADER.unpack_from(self.memory, base)
        if not status & STATUS_USER:
            return None
        data = self.memory[base + first : base + max(length, first)]
        NEXT.pack_into(self.memory, base + 8, STATUS_KERNEL)
        self._next_block = (self._next_block + 1) % self.blocks
        self.counters.blocks += 1
        self.counters.seen += packets
        return data + bytes(-len(data) % 8), packets

    def _batch(self, pieces: list[tuple[bytes, int]]) -> Batch:
        """Frame headers are gathered with NumPy; only the list through each block is walked one by one."""
        places: list[int] = []
        begin, unpack = 0, NEXT.unpack_from
        for piece, count in pieces:
            position = 0
            for _ in range(count):
                places.append(begin + position)
                position += unpack(piece, position)[0]
            begin += len(piece)
        data, packets = b"".join([piece for piece, _ in pieces]), len(places)
        heads = np.array(places, np.int64)
        words = np.frombuffer(data, np.uint32, len(data) // 4)
        at = heads // 4
        starts = heads + (words[at + 6] & 0xFFFF)
        ends = starts + words[at + 3]
        offsets = np.zeros(packets + 1, np.int64)
        np.cumsum(ends - starts, out=offsets[1:])
        rows = b"".join([data[a:b] for a, b in zip(starts.tolist(), ends.tolist(), strict=True)])
        tagged = (words[at + 5] & STATUS_VLAN_VALID) != 0
        batch = Batch(
            data=rows,
            offsets=offsets,
            source=self.interface,
            first=self._packets + 1,
            times=words[at + 1].astype(np.int64) * 1_000_000_000 + words[at + 2],
            link_type=self.link_type,
            original=words[at + 4].astype(np.int64),
            vlan=np.where(tagged, words[at + 8], 0).astype(np.uint32) if tagged.any() else None,
        )
        self._packets += packets
        return batch

    def _statistics_if_due(self) -> None:
        now = time.monotonic()
        if now - self._read_statistics_at >= STATISTICS_SECONDS:
            self._read_statistics_at = now
            self.read_statistics()

    def read_statistics(self) -> Counters:
        """Ask the kernel (which forgets what it told) and export: packets, drops by reason, time of the last one."""
        self._read_drops()
        counters = self.counters
        exported = self._exported_packets
        if counters.seen > exported:
            metrics.network_packets.inc(counters.seen - exported, interface=self.interface)
            metrics.network_last_packet.set(time.time(), interface=self.interface)
            self._exported_packets = counters.seen
        if self._counts_losses:
            lost = interface_losses(self.interface)
            self._count("interface", lost[0] - self._lost[0])
            self._count("overrun", lost[1] - self._lost[1])
            self._lost = lost
        self._count("ring_full", counters.dropped - self._exported_drops)
        self._exported_drops = counters.dropped
        return counters

    def _read_drops(self) -> None:
        """With every batch: what follows a loss has to know of it."""
        raw = self.socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 12)
        _, dropped, frozen = struct.unpack("=III", raw)
        self.counters.dropped += dropped
        self.counters.frozen += frozen

    def _count(self, reason: str, packets: int) -> None:
        if packets > 0:
            metrics.network_dropped.inc(packets, interface=self.interface, reason=reason)
            self.counters.lost += packets if reason != "ring_full" else 0

    _exported_packets = _exported_drops = 0

    def close(self) -> None:
        self.memory.close()
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def interface_losses(interface: str) -> tuple[int, int]:
    """(dropped, overrun) of what the interface received, since it exists."""
    for line in Path("/proc/self/net/dev").read_text().splitlines()[2:]:
        name, _, figures = line.partition(":")
        if name.strip() == interface:
            _, _, _, dropped, overrun, *_ = map(int, figures.split())
            return dropped, overrun
    return 0, 0  # the interface is gone


def _open(interface: str) -> socket.socket:
    try:
        return socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)  # protocol 0: nothing before bind
    except PermissionError:
        raise CapabilityError(f"{interface}: capture needs CAP_NET_RAW: {HOW_TO_GRANT}") from None


def _hardware_type(interface: str) -> int:
    """ARPHRD_ number; asked by ioctl because /sys shows the network namespace it was mounted in."""
    request = struct.pack("16s24x", interface.encode())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            answer = fcntl.ioctl(sock, SIOCGIFHWADDR, request)
        except OSError:
            known = ", ".join(name for _, name in socket.if_nameindex())
            raise SentinelError(f"{interface}: no such interface (there are: {known})") from None
    return int(struct.unpack_from("=H", answer, 16)[0])
