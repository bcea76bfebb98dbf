"""Run by test_ring.py inside a network namespace of its own: one scenario, its result as JSON on stdout."""

import json
import socket
import struct
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from waiting import until

from sentinel import process
from sentinel.capture import privileges
from sentinel.capture.backlog import Backlog
from sentinel.capture.ring import Ring
from sentinel.errors import CapabilityError

ONLY_IPV4 = (
    "4,40 0 0 12,21 0 1 2048,6 0 0 262144,6 0 0 0"  # the kernel's own IPv6 chatter is none of our business
)
UDP = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 48, 1, 0, 64, 17, 0, b"\x0a\0\0\1", b"\x0a\0\0\2")


def frame(port, kind=b"\x08\x00"):
    return b"\xff" * 6 + b"\x02" * 6 + kind + UDP + struct.pack(">HHHH", port, 9, 28, 0) + b"x" * 20


def link():
    for command in ("link set lo up", "link add nptest0 type veth peer name nptest1"):
        process.run(["ip", *command.split()])
    for name in ("nptest0", "nptest1"):
        process.run(["ip", "link", "set", name, "up"])
    while b"state UP" not in process.run(["ip", "link", "show", "nptest0"]).stdout:
        time.sleep(0.01)  # until its queue is in place, packets are thrown away
    sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    sender.bind(("nptest0", 0))
    return sender


def collect(ring, quiet_seconds=0.5):
    """What the ring has, until nothing came for a while."""
    stop, found = threading.Event(), []
    last = time.monotonic()
    for batch in ring.batches(stop):
        if batch:
            found.append(batch)
            last = time.monotonic()
        elif time.monotonic() - last > quiet_seconds:
            stop.set()
    return found


def exact():
    sender = link()
    with Ring("nptest1", megabytes=4, filter_text=ONLY_IPV4) as ring:
        stop, seen = threading.Event(), []
        reader = threading.Thread(
            target=lambda: seen.extend(len(batch) for batch in ring.batches(stop) if batch)
        )
        reader.start()
        for number in range(20_000):
            sender.send(frame(number % 1000))
        until(lambda: sum(seen) + ring.counters.dropped >= 20_000)
        stop.set()
        reader.join()
        return {
            "sent": 20_000,
            "rows": sum(seen),
            "seen": ring.counters.seen,
            "dropped": ring.counters.dropped,
        }


def overflow():
    sender = link()
    with Ring("nptest1", megabytes=2, filter_text=ONLY_IPV4) as ring:
        for number in range(30_000):
            sender.send(frame(number % 1000))
        rows = sum(len(batch) for batch in collect(ring))
        return {"sent": 30_000, "rows": rows, "seen": ring.counters.seen, "dropped": ring.counters.dropped}


def backlog():
    """More than the ring holds, taken out of it in time; then with a bound that is soon reached."""
    sender, results = link(), {}
    for name, limit in (("wide", 8 << 20), ("narrow", 1)):
        with Ring("nptest1", megabytes=1, filter_text=ONLY_IPV4) as ring:
            waiting, numbers = Backlog([ring], limit), []
            for number in range(20_000):
                sender.send(frame(number))
                if number % 1000 == 0:
                    waiting.serve(1)
            while (found := waiting.take(1)) is not None:
                numbers += [int.from_bytes(row[34:36]) for row in found[1].rows()]
            for batch in collect(ring):
                numbers += [int.from_bytes(row[34:36]) for row in batch.rows()]
            dropped = ring.counters.dropped
            results[name] = {
                "rows": len(numbers),
                "sorted": numbers == sorted(numbers),
                "sent": 20_000,
                "dropped": dropped,
            }
    return results


def contents():
    sender = link()
    with Ring("nptest1", megabytes=2, filter_text=ONLY_IPV4) as ring:
        before = time.time_ns()
        sender.send(frame(1))
        sender.send(frame(2, b"\x81\x00\x20\x05\x08\x00"))
        rows, tags, times = [], [], []
        for batch in collect(ring):
            rows += [row.hex() for row in batch.rows()]
            tags += batch.vlan.tolist() if batch.vlan is not None else [0] * len(batch)
            times += batch.times.tolist()
        recent = all(before - 10**9 < moment < time.time_ns() for moment in times)
        return {"rows": rows, "expected": [frame(1).hex(), frame(2).hex()], "tags": tags, "recent": recent}


def loopback():
    link()
    with Ring("lo", megabytes=2, filter_text=ONLY_IPV4) as ring:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for _ in range(5):
                sender.sendto(b"once", ("127.0.0.1", 9))
        rows = [
            row for batch in collect(ring) for row in batch.rows() if row.endswith(b"once") and row[23] == 17
        ]
        return {"rows": len(rows)}


def fanout():
    sender = link()
    with (
        Ring("nptest1", megabytes=2, filter_text=ONLY_IPV4, fanout=7) as one,
        Ring("nptest1", megabytes=2, filter_text=ONLY_IPV4, fanout=7) as two,
    ):
        for number in range(2000):
            sender.send(frame(number % 100))
        ports = [{row[34:36].hex() for batch in collect(ring) for row in batch.rows()} for ring in (one, two)]
        return {"seen": [one.counters.seen, two.counters.seen], "shared": len(ports[0] & ports[1])}


def dropped_privileges():
    sender = link()
    with Ring("nptest1", megabytes=2, filter_text=ONLY_IPV4) as ring:
        held = "CAP_NET_RAW" in privileges.effective()
        privileges.drop()
        sender.send(frame(1))
        rows = sum(len(batch) for batch in collect(ring))
        try:
            Ring("nptest1")
            refused = ""
        except CapabilityError as error:
            refused = str(error)
        return {"held": held, "left": sorted(privileges.effective()), "rows": rows, "refused": refused}


print(json.dumps(globals()[sys.argv[1]]()))
