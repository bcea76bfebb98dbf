"""Coverage-guided fuzzing of the network plane below and beside the applications: `fuzz_network.py TARGET SECONDS`.

Targets: frames (decode, defragment, reassemble), paths (the columnar path gives the alerts of the reference path),
pcap and pcapng files, rules, threshold.config, reputation lists. Invariants: traffic never raises; files and rules raise
nothing but the error that their reader documents. The loop is in fuzzing.py.
"""

import contextlib
import importlib.util
import struct
import tempfile
from functools import cache
from pathlib import Path

import fuzzing
import numpy as np

HERE = Path(__file__).parent
RULES = """
alert tcp any any -> any any (content:"needle"; sid:1;)
alert tcp-pkt any any -> any any (content:"needle"; sid:2;)
alert udp any any -> any any (content:"needle"; nocase; sid:3;)
alert http any any -> any any (http.uri; content:"/a b"; sid:4;)
alert dns any any -> any any (dns.query; content:"shop"; sid:5;)
"""
LINK_TYPES = (1, 101, 113, 276, 0, 12, 108, 1)


@cache
def neighbour(name):
    place = {"frames": HERE.parent / "protocol", "conversations": HERE}[name]
    spec = importlib.util.spec_from_file_location(name, place / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# --- frames: count of link type, then length (2 bytes) and frame ------------------------------------------------------
def pack(frames, link=0):
    return bytes((link,)) + b"".join(len(frame).to_bytes(2, "big") + frame for frame in frames)


def unpack(blob):
    from sentinel.model import Batch

    frames, pos = [], 1
    while pos + 2 <= len(blob) and len(frames) < 200:
        size = int.from_bytes(blob[pos : pos + 2], "big") % 4096
        frames.append(blob[pos + 2 : pos + 2 + size])
        pos += 2 + size
    offsets = np.zeros(len(frames) + 1, np.int64)
    np.cumsum([len(frame) for frame in frames], out=offsets[1:])
    times = np.arange(len(frames), dtype=np.int64) * 10**7 + 10**18
    link = LINK_TYPES[blob[0] % len(LINK_TYPES)] if blob else 1
    return Batch(b"".join(frames), offsets, "fuzz", 1, times, link)


def talk(messages, port):
    """A TCP session in frames, with its handshake."""
    f, seq, frames = neighbour("frames"), [100, 500], []

    def add(side, flags, data=b""):
        ends = {"sport": 4000, "dport": port} if side == 0 else {"sport": port, "dport": 4000}
        hosts = (f.CLIENT, f.SERVER) if side == 0 else (f.SERVER, f.CLIENT)
        segment = f.tcp(data, seq=seq[side], ack=seq[1 - side], flags=flags, **ends)
        frames.append(f.ethernet(f.ipv4(segment, 6, *hosts)))
        seq[side] += len(data) + (1 if flags & 3 else 0)

    add(0, f.SYN)
    add(1, f.SYN | f.ACK)
    add(0, f.ACK)
    for side, data in messages:
        for start in range(0, len(data), 500):
            add(side, f.PSH | f.ACK, data[start : start + 500])
            add(1 - side, f.ACK)
    add(0, f.FIN | f.ACK)
    add(1, f.FIN | f.ACK)
    return frames


def frame_seeds():
    f = neighbour("frames")
    samples = neighbour("conversations").CONVERSATIONS
    whole = [pack(talk(samples[name][2], samples[name][1])) for name in ("http", "smtp", "dns-tcp", "tls")]
    datagram = f.udp(b"needle" * 20, 1000, 53)
    pieces = [
        f.ethernet(f.ipv4(datagram[:64], 17, fragment=0x2000, ident=7)),
        f.ethernet(f.ipv4(datagram[64:], 17, fragment=8, ident=7)),
        f.ethernet(f.ipv4(datagram[48:96], 17, fragment=6, ident=7)),
    ]
    inner = f.ipv4(f.udp(b"needle", 1, 2), 17)
    tunnels = [
        f.ethernet(b"\0\5\x81\0\0\7\x08\0" + inner, 0x88A8),
        f.ethernet(f.ipv4(b"\0\0\x08\0" + inner, 47)),
        f.ethernet(f.ipv4(inner, 4)),
        f.ethernet(f.ipv4(f.udp(b"\x08\0\0\0\0\0\7\0" + f.ethernet(inner), 1000, 4789), 17)),
        f.ethernet(f.ipv6(f.udp(b"needle", 1, 2), 17), 0x86DD),
        f.ethernet(f.ipv6(b"\x11\0\0\1\0\0\0\7" + f.udp(b"needle", 1, 2), 44), 0x86DD),
        f.ethernet(f.ipv6(b"\x3c\0\1\4\0\0\0\0\x11\0\1\4\0\0\0\0" + f.udp(b"n", 1, 2), 0), 0x86DD),
    ]
    talked = talk([(0, b"nee"), (0, b"dle needle"), (1, b"needle")], 9999)
    shuffled = [*talked[:3], talked[5], talked[3], talked[4], talked[3], *talked[6:]]
    return [*whole, pack(pieces), pack(tunnels), pack(shuffled), pack([inner], 1)]


def frames(blob):
    from sentinel.protocol.network import NetworkParser
    from sentinel.protocol.settings import ProtocolSettings

    parser = NetworkParser(ProtocolSettings(flows=1000, fragments=100), {})
    batch = unpack(blob)
    seen = sum(not packet.pseudo for packet in parser.feed(batch))
    list(parser.finish())
    assert len(batch) <= seen <= 40 * len(batch), "each frame is a packet, a tunnel makes a few more"
    assert len(parser.flows.flows) <= 1000


@cache
def built():
    from sentinel.detect.build import build
    from sentinel.detect.settings import STOCK_VARIABLES

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "a.rules").write_text(RULES)
        return build([Path(folder) / "a.rules"], STOCK_VARIABLES)


def paths(blob):
    from sentinel.protocol.fastpath import FastParser
    from sentinel.protocol.network import NetworkParser
    from sentinel.protocol.settings import ProtocolSettings

    engine = built().engine

    def alerts(parser):
        packets = [packet for half in halves(unpack(blob)) for packet in parser.feed(half)]
        return sorted(
            (alert.signature_id, alert.src_ip, alert.src_port, alert.dest_port)
            for part in (packets, parser.finish())
            for packet in part
            for alert in engine.inspect(packet)
        )

    settings = ProtocolSettings.model_validate({})
    slow, fast = alerts(NetworkParser(settings, {})), alerts(FastParser(settings, {}, engine.screen))
    assert slow == fast, f"reference {slow}, columnar {fast}"


def halves(batch):
    """Two batches, so that something is kept from one to the next."""
    from sentinel.model import Batch

    middle = len(batch) // 2
    for low, high in ((0, middle), (middle, len(batch))):
        if low < high:
            start, end = batch.offsets[low], batch.offsets[high]
            yield Batch(
                batch.data[start:end],
                batch.offsets[low : high + 1] - start,
                "fuzz",
                low + 1,
                batch.times[low:high],
                batch.link_type,
            )


# --- files ------------------------------------------------------------------------------------------------------------
def pcap_seeds():
    rows = [b"\x02" * 60, b"\x04" * 90]
    found = []
    for order, magic in (("<", 0xA1B2C3D4), (">", 0xA1B2C3D4), ("<", 0xA1B23C4D)):
        records = b"".join(struct.pack(f"{order}IIII", 1, 2, len(row), len(row)) + row for row in rows)
        found.append(struct.pack(f"{order}IHHiIII", magic, 2, 4, 0, 0, 65_535, 1) + records)
    return found


def pcapng_seeds():
    def block(kind, body, order="<"):
        body += bytes(-len(body) % 4)
        return (
            struct.pack(f"{order}II", kind, len(body) + 12) + body + struct.pack(f"{order}I", len(body) + 12)
        )

    found = []
    for order in "<>":
        section = block(0x0A0D0D0A, struct.pack(f"{order}IHHq", 0x1A2B3C4D, 1, 0, -1), order)
        options = struct.pack(f"{order}HHB3xHH", 9, 1, 9, 0, 0)
        interface = block(1, struct.pack(f"{order}HHI", 1, 0, 65_535) + options, order)
        packet = block(6, struct.pack(f"{order}IIIII", 0, 1, 2, 8, 8) + b"\x02" * 8, order)
        simple = block(3, struct.pack(f"{order}I", 8) + b"\x04" * 8, order)
        found.append(section + interface + packet + simple + section + interface + packet)
    return found


@cache
def scratch(name):
    return Path(tempfile.mkdtemp(prefix="sentinel-fuzz-")) / name


def capture(blob):
    from sentinel.capture.pcap import read
    from sentinel.errors import SentinelError

    path = scratch("x.pcap")
    path.write_bytes(blob)
    with contextlib.suppress(SentinelError):
        for batch in read(path):
            assert batch.offsets[-1] == len(batch.data)
            assert len(batch.times) == len(batch)


# --- rules ------------------------------------------------------------------------------------------------------------
def rule_seeds():
    lines = []
    for path in sorted((HERE.parents[1] / "rules" / "network").glob("*.rules")):
        lines += [line for line in path.read_bytes().splitlines() if line.startswith(b"alert")][::6]
    return lines + [line.encode() for line in RULES.split("\n") if line]


def rules(blob):
    from sentinel.detect.load import rule_lines
    from sentinel.detect.settings import STOCK_VARIABLES
    from sentinel.detect.suricata import Context, parse_rule

    context = Context(STOCK_VARIABLES, {}, ".")
    for number, text in rule_lines(blob):
        with contextlib.suppress(ValueError):
            parse_rule(text, context, "fuzz", number)


def thresholds(blob):
    from sentinel.detect.settings import STOCK_VARIABLES
    from sentinel.detect.thresholds import read_filters

    read_filters(blob.decode("utf-8", "replace"), "fuzz", STOCK_VARIABLES)


def reputation(blob):
    from sentinel.detect.reputation import reputation_of
    from sentinel.errors import SentinelError

    lists, categories = scratch("scores"), scratch("categories")
    head, _, tail = blob.partition(b"\n\n")
    categories.write_bytes(head)
    lists.write_bytes(tail)
    try:
        found = reputation_of(
            {"reputation-categories-file": str(categories), "reputation-files.0": str(lists)}
        )
    except SentinelError:
        return
    for name in found.categories:
        assert -1 <= found.score(name, b"\x0a\0\0\1") <= 127


THRESHOLDS = (
    b"suppress gen_id 1, sig_id 2, track by_src, ip [10.0.0.0/8,!10.1.1.1]\n",
    b"rate_filter gen_id 1, sig_id 2, track by_rule, count 1, seconds 60, new_action alert, timeout 30\n",
    b"threshold gen_id 1, sig_id 0, type both, track by_both, \\\n count 2, seconds 9\n",
)
TARGETS = {
    "frames": (frames, frame_seeds),
    "paths": (paths, frame_seeds),
    "pcap": (capture, pcap_seeds),
    "pcapng": (capture, pcapng_seeds),
    "rules": (rules, rule_seeds),
    "thresholds": (thresholds, lambda: THRESHOLDS),
    "reputation": (reputation, lambda: [b"1,Bad,x\n2,Good,y\n\n10.0.0.0/8,1,20\n2001:db8::1,2,127\n"]),
}

if __name__ == "__main__":
    fuzzing.main(lambda: TARGETS)
