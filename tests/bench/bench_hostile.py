"""make bench-hostile: traffic that is made to hurt the watcher. Memory, the longest stall and what was evicted, against limits.

    python tests/bench/bench_hostile.py [--rules FILE] [--only NAME] [--scale 1.0]

Each load runs in a process of its own through the same parser and engine as live traffic, in batches as the ring gives
them. A stall is the longest time in which a worker can do nothing else: between two packets, or before the first and after
the last of a batch. Between two packets it empties the ring, gives signs of life and exports figures, so the longest batch is
only how late a stop, a reload and the batch's alerts may be. CPU time is meant, as the machine may be busy. Exit code 1 when a limit is broken. Loads: syn-flood (1,000,000 flows), fragment-flood, tiny-fragments,
pipeline (10,000 requests in one connection), many-pipelines, gzip-bomb, deflate-in-chunks, regex (payloads against
expressions that backtrack), segments (one byte each, out of order), overlaps, headers, dns-labels, smtp-mime.
"""

import argparse
import json
import os
import resource
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path

import numpy as np

from sentinel import metrics, shipped
from sentinel.capture.ring import BLOCK_BYTES, JOINED_BLOCKS
from sentinel.model import Batch
from sentinel.netwatch import adapted

STALL_SECONDS = 1.0
RSS_MEGABYTES = 256  # the shipped unit allows 1 GiB
RING_HEADER_BYTES = 82  # of each packet in a block
CLIENT, SERVER = b"\x0a\0\0\1", b"\xc0\xa8\0\2"
ETHERNET = b"\x02" * 6 + b"\x04" * 6 + b"\x08\0"
SYN, ACK, PSH, FIN = 2, 16, 8, 1
REGEX = """
alert tcp any any -> any any (content:"aaa"; pcre:"/^(a+)+$/"; sid:9990001;)
alert tcp any any -> any any (content:"aaa"; pcre:"/(a|aa)+b/"; sid:9990002;)
alert http any any -> any any (http.uri; content:"x="; pcre:"/(x+x+)+y/"; sid:9990003;)
alert http any any -> any any (http.request_body; content:"a"; pcre:"/(.*a){20}$/s"; sid:9990004;)
alert tcp any any -> any any (content:"a"; content:"a"; within:10; content:"a"; within:10; content:"b"; within:10; sid:9990005;)
"""


def ipv4(payload, proto=6, src=CLIENT, dst=SERVER, ident=1, fragment=0):
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), ident & 0xFFFF, fragment, 64, proto, 0)
    return ETHERNET + head + src + dst + payload


def tcp(payload=b"", sport=40_000, dport=80, seq=0, ack=0, flags=ACK):
    return (
        struct.pack(">HHIIBBHHH", sport, dport, seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, 0x50, flags, 65_000, 0, 0)
        + payload
    )


def session(messages, sport=40_000, dport=80, segment=1400, client=CLIENT):
    """A TCP connection in frames; messages are (side, bytes)."""
    seq = [1_000, 5_000]

    def send(side, flags, data=b""):
        ports = (sport, dport) if side == 0 else (dport, sport)
        ends = (client, SERVER) if side == 0 else (SERVER, client)
        frame = ipv4(tcp(data, *ports, seq[side], seq[1 - side], flags), 6, *ends)
        seq[side] += len(data) + bool(flags & (SYN | FIN))
        return frame

    yield send(0, SYN)
    yield send(1, SYN | ACK)
    yield send(0, ACK)
    for side, data in messages:
        for start in range(0, len(data), segment):
            yield send(side, PSH | ACK, data[start : start + segment])
            yield send(1 - side, ACK)
    yield send(0, FIN | ACK)
    yield send(1, FIN | ACK)


def syn_flood(scale):
    for number in range(int(1_000_000 * scale)):
        source = struct.pack(">I", 0x0B000000 + number * 2_654_435_761 % 0x00FFFFFF)
        yield ipv4(tcp(sport=number % 64_000 + 1_024, flags=SYN, seq=number), 6, source)


def fragment_flood(scale):
    """First fragments of datagrams that are never finished."""
    for number in range(int(300_000 * scale)):
        source = struct.pack(">I", 0x0B000000 + number // 60_000)
        yield ipv4(b"\0" * 1_400, 17, source, ident=number, fragment=0x2000)


def tiny_fragments(scale):
    """Whole datagrams in pieces of 8 bytes, the last first."""
    payload = struct.pack(">HHHH", 53, 53, 8 + 1_400, 0) + b"a" * 1_400
    pieces = [(start, payload[start : start + 8]) for start in range(0, len(payload), 8)]
    for number in range(int(500 * scale)):
        for start, piece in reversed(pieces):
            more = 0x2000 if start + 8 < len(payload) else 0
            yield ipv4(piece, 17, ident=number, fragment=more | start // 8)


REQUEST = b"GET /p%d?q=%%41%%42 HTTP/1.1\r\nHost: shop.example\r\nCookie: a=b\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def pipeline(scale, sport=40_000):
    count = int(10_000 * scale)
    requests = b"".join(REQUEST % number for number in range(count))
    yield from session([(0, requests), (1, ANSWER * count)], sport)


def many_pipelines(scale):
    for number in range(20):
        yield from pipeline(scale / 10, 40_000 + number)


def zeros(megabytes, wbits):
    packer = zlib.compressobj(9, zlib.DEFLATED, wbits)
    return b"".join(packer.compress(bytes(1 << 20)) for _ in range(megabytes)) + packer.flush()


def bombs(scale, encoding, wbits, chunk):
    """Bodies of a gigabyte each, once unpacked."""
    body = zeros(int(1_000 * scale), wbits)
    framed = b"".join(
        b"%x\r\n%b\r\n" % (len(body[i : i + chunk]), body[i : i + chunk]) for i in range(0, len(body), chunk)
    )
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: %b\r\nTransfer-Encoding: chunked\r\n\r\n" % encoding
    for number in range(4):
        yield from session([(0, REQUEST % number), (1, head + framed + b"0\r\n\r\n")], 40_000 + number)


def gzip_bomb(scale):
    return bombs(scale, b"gzip", 31, 65_536)


def deflate_in_chunks(scale):
    return bombs(scale, b"deflate, gzip", 31, 16)


def regex(scale):
    for number in range(int(60 * scale)):
        text = b"a" * 3_000 + b"!" + b"ab" * 200 + b"x" * 500
        body = b"POST /?x=%b HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b" % (
            b"x" * 800,
            len(text),
            text,
        )
        yield from session([(0, body), (1, ANSWER)], 40_000 + number)
        yield from session([(0, text * 4)], 42_000 + number, 9_999)


def segments(scale):
    """One byte a segment, every second one late."""
    data = (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 30000\r\n\r\n" + b"a" * 30_000)[
        : int(30_000 * scale)
    ]
    yield from list(session([], 40_001))[:3]
    order = [*range(1, len(data), 2), *range(0, len(data), 2)]
    for place in order:
        yield ipv4(tcp(data[place : place + 1], 40_001, 80, 1_001 + place, 5_001, PSH | ACK))
    yield ipv4(tcp(b"", 80, 40_001, 5_001, 1_001 + len(data), ACK), 6, SERVER, CLIENT)


def overlaps(scale):
    """The same range again and again with other bytes and other edges."""
    yield from list(session([], 40_002))[:3]
    for number in range(int(20_000 * scale)):
        start = number * 37 % 30_000
        yield ipv4(tcp(bytes((number % 251,)) * 700, 40_002, 80, 1_001 + start, 5_001, PSH | ACK))


def headers(scale):
    """Header lines without end, in many connections."""
    for number in range(int(60 * scale)):
        lines = b"".join(b"X-%d: %b\r\n" % (line, b"a" * 40) for line in range(2_000))
        yield from session([(0, b"GET / HTTP/1.1\r\nHost: a\r\n" + lines)], 40_000 + number)


def dns_labels(scale):
    """Names that point at themselves and at each other."""
    loop = b"\x00\x07\x01\x00\x00\x40\x00\x40\0\0\0\0" + b"\xc0\x0c\0\1\0\1" * 128
    chain = b"\x00\x07\x81\x80\0\1\0\x60\0\0\0\0\x3f" + b"a" * 63 + b"\xc0\x0c\0\1\0\1"
    chain += b"".join(struct.pack(">HHHIH", 0xC00C, 5, 1, 60, 2) + b"\xc0\x0c" for _ in range(96))
    for number in range(int(10_000 * scale)):
        for payload in (loop, chain):
            yield ipv4(struct.pack(">HHHH", 1_024 + number % 60_000, 53, 8 + len(payload), 0) + payload, 17)


def smtp_mime(scale):
    """Parts within parts, with names that never end."""
    nested = b"".join(
        b'--b\r\nContent-Type: multipart/mixed; boundary="b%d"\r\n\r\n--b%d\r\n' % (n, n) for n in range(300)
    )
    mail = b"Subject: x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" + nested * 20 + b"\r\n.\r\n"
    talk = [(1, b"220 a\r\n"), (0, b"EHLO a\r\n"), (1, b"250 a\r\n"), (0, b"MAIL FROM:<a@a>\r\n"), (1, b"250 a\r\n"),
            (0, b"RCPT TO:<a@a>\r\n"), (1, b"250 a\r\n"), (0, b"DATA\r\n"), (1, b"354 a\r\n"), (0, mail)]  # fmt: skip
    for number in range(int(20 * scale)):
        yield from session(talk, 40_000 + number, 25)


LOADS = {
    "syn-flood": syn_flood, "fragment-flood": fragment_flood, "tiny-fragments": tiny_fragments, "pipeline": pipeline,
    "many-pipelines": many_pipelines, "gzip-bomb": gzip_bomb, "deflate-in-chunks": deflate_in_chunks, "regex": regex,
    "segments": segments, "overlaps": overlaps, "headers": headers, "dns-labels": dns_labels, "smtp-mime": smtp_mime,
}  # fmt: skip


class Blocks:
    """Batches as the ring gives them, from calm traffic on: eight blocks, fewer while they are slow to judge."""

    def __init__(self, frames):
        self.frames = frames
        self.joined = JOINED_BLOCKS

    def __iter__(self):
        pending, size, first, now = [], 0, 1, 10**18
        for frame in self.frames:
            pending.append(frame)
            size += len(frame) + RING_HEADER_BYTES
            if size >= BLOCK_BYTES * self.joined:
                yield _batch(pending, first, now)
                first, now = first + len(pending), now + len(pending) * 2_000
                pending, size = [], 0
        if pending:
            yield _batch(pending, first, now)


def _batch(frames, first, now):
    offsets = np.zeros(len(frames) + 1, np.int64)
    np.cumsum([len(frame) for frame in frames], out=offsets[1:])
    times = now + np.arange(len(frames), dtype=np.int64) * 2_000  # half a million packets a second
    return Batch(b"".join(frames), offsets, "bench", first, times, 1)


def one(name, rules, given):
    """In a process of its own: figures as JSON on stdout."""
    from sentinel.config import NetworkSettings
    from sentinel.detect.build import build
    from sentinel.pipeline import STOCK_OPTIONS
    from sentinel.protocol.fastpath import FastParser

    settings = NetworkSettings.model_validate({})
    engine = build(
        [rules], settings.variables(), STOCK_OPTIONS, cache=Path(os.environ["CACHE_DIRECTORY"])
    ).engine
    parser = FastParser(settings, STOCK_OPTIONS, engine.screen)
    loaded = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    packets = alerts = 0
    longest = worst = total = 0.0
    blocks = Blocks(LOADS[name](given.scale))
    for batch in blocks:
        packets += len(batch)
        started = before = time.process_time()
        for packet in parser.feed(batch):
            alerts += len(engine.inspect(packet))
            now = time.process_time()
            longest, before = max(longest, now - before), now
        spent = time.process_time() - started
        longest = max(longest, time.process_time() - before)
        blocks.joined = adapted(blocks.joined, spent)
        worst, total = max(worst, spent), total + spent
    alerts += sum(len(engine.inspect(packet)) for packet in parser.finish())
    parser.export()
    counted = {
        series.family.removeprefix("sentinel_"): int(value)
        for series, value in metrics.held().items()
        if series.kind == "counter" and value
        and any(word in series.name for word in ("evicted", "eviction", "refused", "lost", "gaps", "timeouts", "errors"))
    }  # fmt: skip
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"packets": packets, "alerts": alerts, "longest": longest, "worst": worst, "total": total, "loaded": loaded // 1024, "peak": peak // 1024, "counted": counted}))  # fmt: skip


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--rules", type=Path, default=shipped.folder("rules") / "network", help="file or folder"
    )
    parser.add_argument("--only", choices=LOADS)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.inside:
        one(given.inside, given.rules, given)
        return
    broken = False
    with tempfile.TemporaryDirectory(prefix="sentinel-bench-") as folder:
        rules = Path(folder) / "all.rules"
        files = [given.rules] if given.rules.is_file() else sorted(given.rules.rglob("*.rules"))
        rules.write_bytes(b"\n".join(file.read_bytes() for file in files) + REGEX.encode())
        print(
            f"{'load':<18}{'packets':>9} {'packets/s':>10} {'stall':>8} {'batch':>8} {'RSS loaded':>11} {'highest':>9}  counted",
            flush=True,
        )
        for name in [given.only] if given.only else LOADS:
            argv = [
                sys.executable,
                __file__,
                "--inside",
                name,
                "--rules",
                str(rules),
                "--scale",
                str(given.scale),
            ]
            done = subprocess.run(
                argv,
                env=os.environ | {"CACHE_DIRECTORY": folder},
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                sys.exit(done.stderr)
            found = json.loads(done.stdout.splitlines()[-1])
            wrong = [
                word
                for word, bad in (
                    ("STALL", found["longest"] > STALL_SECONDS),
                    ("MEMORY", found["peak"] > RSS_MEGABYTES),
                )
                if bad
            ]
            broken = broken or bool(wrong)
            counted = ", ".join(f"{key} {value}" for key, value in found["counted"].items())
            print(
                f"{name:<18}{found['packets']:>9} {found['packets'] / max(found['total'], 1e-9):>10.0f} {found['longest']:>6.2f} s {found['worst']:>6.2f} s "
                f"{found['loaded']:>7} MiB {found['peak']:>5} MiB  {found['alerts']} alerts; {counted} {' '.join(wrong)}",
                flush=True,
            )
    print(f"limits: a stall of {STALL_SECONDS} s of CPU time, {RSS_MEGABYTES} MiB")
    sys.exit(int(broken))


if __name__ == "__main__":
    main()
