"""Frames for tests, built from numbers: no capture files in the tree."""

import struct

import numpy as np

from sentinel.model import Batch
from sentinel.protocol.network import NetworkParser
from sentinel.protocol.settings import ProtocolSettings

CLIENT, SERVER = bytes([10, 0, 0, 1]), bytes([192, 168, 0, 2])
SYN, ACK, FIN, RST, PSH = 2, 16, 1, 4, 8


def ethernet(payload, kind=0x0800):
    return b"\x02" * 6 + b"\x04" * 6 + struct.pack(">H", kind) + payload


def ipv4(payload, proto=6, src=CLIENT, dst=SERVER, options=b"", ident=1, fragment=0, total=None):
    header = 20 + len(options)
    size = header + len(payload) if total is None else total
    return (
        struct.pack(">BBHHHBBH", 0x40 | header // 4, 0, size, ident, fragment, 64, proto, 0)
        + src
        + dst
        + options
        + payload
    )


def ipv6(payload, proto=6, src=b"\x20" * 16, dst=b"\x21" * 16, length=None):
    return (
        struct.pack(">IHBB", 6 << 28, len(payload) if length is None else length, proto, 64)
        + src
        + dst
        + payload
    )


def tcp(payload=b"", sport=1000, dport=80, seq=0, ack=0, flags=ACK, window=65000, options=b""):
    offset = (5 + len(options) // 4) << 4
    fields = (sport, dport, seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, offset, flags, window, 0, 0)
    return struct.pack(">HHIIBBHHH", *fields) + options + payload


def udp(payload=b"", sport=1000, dport=2000, length=None):
    return struct.pack(">HHHH", sport, dport, 8 + len(payload) if length is None else length, 0) + payload


def batch(frames, link_type=1, step=1_000_000, start=10**18, first=1):
    offsets = np.zeros(len(frames) + 1, np.int64)
    np.cumsum([len(frame) for frame in frames], out=offsets[1:])
    times = np.arange(len(frames), dtype=np.int64) * step + start
    return Batch(b"".join(frames), offsets, "test", first, times, link_type)


class Recorder:
    """An application layer that keeps what it is given."""

    def __init__(self):
        self.data = {True: bytearray(), False: bytearray()}
        self.gaps = []
        self.ended = set()
        self.datagrams = []

    def feed(self, flow, to_server, data, *, eof=False, gap=0, time=0):
        flow.app_proto = flow.app_proto or "test"
        if gap:
            self.gaps.append((to_server, len(self.data[to_server]), gap))
        self.data[to_server] += data
        if eof:
            self.ended.add(to_server)
        return []

    def datagram(self, flow, to_server, payload, time=0):
        self.datagrams.append((to_server, payload))
        return []

    def take_events(self, flow):
        return []

    def take_reversed(self, flow):
        return False

    def prune(self, flow):
        pass


def run(frames, options=None, link_type=1, **settings):
    """All packets and the application layer's record of a capture."""
    apps = Recorder()
    parser = NetworkParser(ProtocolSettings(**settings), options or {}, apps)
    packets = list(parser.feed(batch(frames, link_type)))
    return packets + list(parser.finish()), apps


def events(packets):
    return [event for packet in packets for event in packet.events]


class Talk:
    """A TCP conversation that builds its own frames; `server` and `client` count what each side sent."""

    def __init__(self, client=100, server=5000):
        self.client, self.server = client, server
        self.frames = []

    def send(self, payload=b"", flags=ACK, seq=None, **fields):
        self.frames.append(self.up(payload, flags, self.client if seq is None else seq, **fields))
        if seq is None:
            self.client += len(payload) + bool(flags & (SYN | FIN))
        return self

    def answer(self, payload=b"", flags=ACK, seq=None, **fields):
        self.frames.append(self.down(payload, flags, self.server if seq is None else seq, **fields))
        if seq is None:
            self.server += len(payload) + bool(flags & (SYN | FIN))
        return self

    def up(self, payload, flags, seq, **fields):
        ack = self.server if flags & ACK else 0
        return ethernet(ipv4(tcp(payload, seq=seq, ack=fields.pop("ack", ack), flags=flags, **fields)))

    def down(self, payload, flags, seq, **fields):
        segment = tcp(payload, 80, 1000, seq, fields.pop("ack", self.client), flags, **fields)
        return ethernet(ipv4(segment, src=SERVER, dst=CLIENT))

    def handshake(self):
        return self.send(flags=SYN).answer(flags=SYN | ACK).send()

    def close(self):
        return self.send(flags=FIN | ACK).answer(flags=FIN | ACK).send()
