"""make bench-live: the packet rate at which a watcher on a veth first loses 0.1 %, Sentinel beside the installed Suricata.

    python tests/bench/bench_live.py [--rules FILE] [--pcaps FOLDER] [--http PCAP] [--seconds 3] [--limit 300000]
    python tests/bench/bench_live.py --reload RATE [--rules FILE] [--http PCAP]


Traffic is replayed by tcpreplay at rising rates into one end of a veth pair in a namespace of its own; the watcher, one
worker, sits on the other end with the same rules and the same ring. The rate rises by half until more than 0.1 % is
lost, then the gap is halved three times. For each step `sent` is what tcpreplay says, `seen` and `lost` what the watcher
says; `sent - seen - lost` must be 0 for Sentinel. With --reload the rules change while packets flow at that rate: what
was lost, how long the new rules took, and how much memory. Needs root, tcpreplay, nginx, wrk, tcpdump, suricata.
"""

import argparse
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml
from bench_network import mixed_capture, shop_capture

from sentinel import shipped

NEAR, FAR = "snlive0", "snlive1"
LOSS = 0.001
RING_MEGABYTES = 32
START_RATE, STEP, HALVINGS = 2_000, 1.5, 3
SETTLE_SECONDS, PATIENCE_SECONDS = 1.5, 60


def run(*argv):
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def link():
    run("ip", "link", "set", "lo", "up")
    run("ip", "link", "add", NEAR, "type", "veth", "peer", "name", FAR)
    for name in (NEAR, FAR):
        Path(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6").write_text("1")
        run("ip", "link", "set", name, "mtu", "65535", "up")
    while "state UP" not in run("ip", "link", "show", NEAR):
        time.sleep(0.01)


class Sentinel:
    """`sentinel run network`, its figures read as its metrics endpoint reads them."""

    name = "sentinel"

    def __init__(self, rules, folder):
        self.folder = folder / "sentinel"
        self.folder.mkdir()
        config = {
            "state_directory": str(self.folder / "state"),
            "network": {"interfaces": [FAR], "rules": [str(rules)], "ring_megabytes": RING_MEGABYTES},
        }
        (self.folder / "sentinel.yml").write_text(yaml.safe_dump(config))
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(str(self.folder / "notify"))
        self.notify.settimeout(120)
        environment = {"NOTIFY_SOCKET": str(self.folder / "notify"), "CACHE_DIRECTORY": str(folder / "cache")}
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "sentinel",
                "run",
                "network",
                "--config",
                str(self.folder / "sentinel.yml"),
            ],
            env=os.environ | environment,
            stderr=(self.folder / "log").open("w"),
        )
        self.wait_ready()

    def wait_ready(self):
        while b"READY=1" not in self.notify.recv(4096):
            pass

    def memory(self):
        """RSS now and at its highest, MiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return [int(re.search(rf"{word}:\s+(\d+)", status)[1]) // 1024 for word in ("VmRSS", "VmHWM")]

    def figures(self):
        """(seen, lost)."""
        from prometheus_client import CollectorRegistry
        from prometheus_client.multiprocess import MultiProcessCollector

        registry = CollectorRegistry()
        MultiProcessCollector(registry, path=str(self.folder / "state" / "metrics"))
        samples = [sample for family in registry.collect() for sample in family.samples]
        seen = sum(one.value for one in samples if one.name == "sentinel_network_packets_total")
        lost = sum(one.value for one in samples if one.name == "sentinel_network_dropped_packets_total")
        return int(seen), int(lost)

    def alerts(self):
        return sum(1 for _ in (self.folder / "state" / "journal" / "network.jsonl").open())

    def reload(self):
        """Seconds until the new rules are built; they are in force with the next batch."""
        started = time.monotonic()
        self.process.send_signal(signal.SIGHUP)
        self.wait_ready()
        return time.monotonic() - started


class Suricata:
    """One worker on a TPACKET_V3 ring of the same size, alerts only; figures from its own statistics."""

    name = "suricata"

    def __init__(self, rules, folder):
        self.folder = folder / "suricata"
        self.folder.mkdir()
        config = {
            "af-packet": [
                {
                    "interface": FAR, "threads": 1, "cluster-id": 99, "cluster-type": "cluster_flow", "defrag": True,
                    "use-mmap": True, "tpacket-v3": True, "block-size": 1 << 18, "ring-size": RING_MEGABYTES << 9,
                }
            ],
            "stats": {"enabled": True, "interval": 1},
            "outputs": [
                {"eve-log": {"enabled": True, "filename": "eve.json", "types": [{"alert": {}}, {"stats": {}}]}}
            ],
        }  # fmt: skip
        stock = Path("/etc/suricata/suricata.yaml").read_text()
        (self.folder / "own.yaml").write_text("%YAML 1.1\n---\n" + yaml.safe_dump(config))
        (self.folder / "all.yaml").write_text(stock + f"\ninclude: {self.folder}/own.yaml\n")
        self.process = subprocess.Popen(
            [
                "suricata", "-c", str(self.folder / "all.yaml"), f"--af-packet={FAR}", "--runmode", "workers", "-k", "none",
                "-S", str(rules), "-l", str(self.folder), "--set", "unix-command.enabled=no",
            ],
            stdout=(self.folder / "log").open("w"),
            stderr=subprocess.STDOUT,
        )  # fmt: skip
        deadline = time.monotonic() + 120
        while "Engine started" not in (self.folder / "log").read_text():
            time.sleep(0.2)
            if self.process.poll() is not None or time.monotonic() > deadline:
                sys.exit((self.folder / "log").read_text())

    def _events(self, kind):
        for line in (self.folder / "eve.json").read_text().splitlines():
            if line.endswith("}") and f'"event_type":"{kind}"' in line:
                yield json.loads(line)

    def figures(self):
        last = list(self._events("stats"))[-1:]
        capture = last[0]["stats"]["capture"] if last else {}
        drops = capture.get("kernel_drops", 0)
        return capture.get("kernel_packets", 0) - drops, drops

    def alerts(self):
        return sum(1 for _ in self._events("alert"))


def replay(capture, rate, limit):
    """Packets sent, and the rate that was reached."""
    text = run(
        "tcpreplay", "-i", NEAR, "--preload-pcap", "--pps", str(rate), "--limit", str(limit), str(capture)
    )
    sent = int(re.search(r"Successful packets:\s+(\d+)", text)[1])
    return sent, float(re.search(r"([\d.]+) pps", text)[1])


def settled(watcher, before, sent):
    """Figures once they account for everything, or no longer change."""
    last, since = None, time.monotonic()
    deadline = since + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        time.sleep(0.3)
        now = watcher.figures()
        if now[0] + now[1] - sum(before) >= sent:
            break
        if now != last:
            last, since = now, time.monotonic()
        elif time.monotonic() - since > PATIENCE_SECONDS / 3:
            break
    return now[0] - before[0], now[1] - before[1]


def fresh(capture, number, packets, path):
    """The first packets of a capture as traffic between other hosts: a session that is repeated is not a session."""
    with capture.open("rb") as source, path.open("wb") as out:
        out.write(source.read(24))
        for _ in range(packets):
            head = source.read(16)
            if len(head) < 16:
                break
            frame = bytearray(source.read(struct.unpack_from("<I", head, 8)[0]))
            if frame[12:14] == b"\x08\0" and len(frame) >= 34:
                frame[28], frame[32] = (frame[28] + number) % 256, (frame[32] + number) % 256
            out.write(head + frame)
    return path


def step(watcher, capture, rate, given):
    before = watcher.figures()
    packets = min(given.limit, int(rate * given.seconds))
    given.steps += 1
    own = fresh(capture, given.steps, packets, watcher.folder / "step.pcap")
    sent, reached = replay(own, rate, packets)
    seen, lost = settled(watcher, before, sent)
    share = (sent - seen) / sent
    print(
        f"  {watcher.name:<9} {rate:>8} packets/s (reached {reached:8.0f})  sent {sent:>7}  seen {seen:>7}  lost {lost:>7}  "
        f"sent - seen - lost {sent - seen - lost:>5}  loss {share:8.3%}",
        flush=True,
    )
    return share <= LOSS, reached > 0.9 * rate


def first_loss(watcher, capture, given):
    """The highest rate that went through, and the lowest at which more than 0.1 % was lost (0: the sender is slower)."""
    good, bad, rate = 0, 0, START_RATE
    while not bad:
        fine, reached = step(watcher, capture, rate, given)
        if fine and not reached:
            return good, 0
        if not fine:
            bad = rate
            break
        good, rate = rate, int(rate * STEP)
    for _ in range(HALVINGS if good else 0):
        middle = (good + bad) // 2
        fine, _ = step(watcher, capture, middle, given)
        good, bad = (middle, bad) if fine else (good, middle)
    return good, bad


def measure(capture, rules, folder, given):
    print(f"\n{capture.stem}", flush=True)
    results = {}
    for engine in given.engines.split(","):
        with tempfile.TemporaryDirectory(prefix="live-", dir=folder) as name:
            Path(name).chmod(0o755)
            watcher = {"sentinel": Sentinel, "suricata": Suricata}[engine](rules, Path(name))
            time.sleep(SETTLE_SECONDS)
            results[engine] = first_loss(watcher, capture, given)
            print(f"  {engine}: {watcher.alerts()} alerts", flush=True)
            watcher.process.terminate()
            watcher.process.wait(60)
    for engine, (good, bad) in results.items():
        text = (
            f"first between {good} and {bad}" if bad else f"not even at {good}, and tcpreplay is no faster:"
        )
        print(f"{capture.stem}: {engine} loses 0.1 % {text} packets/s")


def reload_under_traffic(capture, rules, folder, given):
    watcher = Sentinel(rules, folder)
    time.sleep(SETTLE_SECONDS)
    sender = subprocess.Popen(
        ["tcpreplay", "-i", NEAR, "--preload-pcap", "--pps", str(given.reload), "--loop", "0", "--duration", "40", str(capture)],
        stdout=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    before = watcher.figures()
    time.sleep(4)
    for number in range(1, 4):
        with rules.open("a") as file:
            file.write(
                f'\nalert tcp any any -> any any (msg:"new"; content:"needle-{number}"; sid:{9990 + number};)\n'
            )
        memory, losses = watcher.memory(), watcher.figures()[1]
        took = watcher.reload()
        time.sleep(2)
        print(
            f"reload {number}: new rules after {took:.1f} s, RSS {memory[0]} -> {watcher.memory()[0]} MiB, highest "
            f"{watcher.memory()[1]} MiB, lost meanwhile {watcher.figures()[1] - losses}",
            flush=True,
        )
    text, _ = sender.communicate()
    sent = int(re.search(r"Successful packets:\s+(\d+)", text)[1])
    seen, lost = settled(watcher, before, sent)
    print(
        f"{given.reload} packets/s: sent {sent}, seen {seen}, lost {lost}, sent - seen - lost {sent - seen - lost}"
    )
    watcher.process.terminate()
    watcher.process.wait(60)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--rules", type=Path, default=shipped.folder("rules") / "network", help="file or folder"
    )
    parser.add_argument("--pcaps", type=Path, help="a folder of captures; all of them become one mix")
    parser.add_argument("--http", type=Path, help="an HTTP capture made before, instead of building one")
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--limit", type=int, default=300_000, help="packets of one step at most")
    parser.add_argument("--engines", default="sentinel,suricata")
    parser.add_argument(
        "--reload", type=int, metavar="RATE", help="reload under traffic of so many packets/s instead"
    )
    given = parser.parse_args()
    given.steps = 0
    if "SENTINEL_BENCH_INSIDE" not in os.environ:
        os.environ["SENTINEL_BENCH_INSIDE"] = "1"
        os.execvp("unshare", ["unshare", "--net", "--mount", sys.executable, *sys.argv])
    with tempfile.TemporaryDirectory(prefix="sentinel-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        rules = folder / "all.rules"
        files = [given.rules] if given.rules.is_file() else sorted(given.rules.rglob("*.rules"))
        rules.write_bytes(b"\n".join(file.read_bytes() for file in files))
        captures = [given.http or shop_capture(folder, 3)]
        captures += [mixed_capture(folder, given.pcaps)] if given.pcaps else []
        link()
        if given.reload:
            reload_under_traffic(captures[0], rules, folder, given)
            return
        for capture in captures:
            measure(capture, rules, folder, given)


if __name__ == "__main__":
    main()
