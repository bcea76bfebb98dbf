"""Run by test_netwatch.py inside a network namespace of its own: a real `sentinel run network`, its results as JSON.

python netlive.py SCENARIO FOLDER
"""

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import yaml
from waiting import until

from sentinel import process

FOLDER = Path(sys.argv[2])
NEAR, FAR = "nfwatch0", "nfwatch1"
ONLY_UDP = "6,40 0 0 12,21 0 3 2048,48 0 0 23,21 0 1 17,6 0 0 262144,6 0 0 0"
RULE = 'alert udp any any -> any any (msg:"{word}"; content:"{word}"; sid:{sid};)\n'


def frame(port, payload=b"needle", source=1, tag=b""):
    udp = struct.pack(">HHHH", port, 9, 8 + len(payload), 0) + payload
    ip = struct.pack(
        ">BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0, bytes((10, 0, 0, source)), b"\x0a\0\0\2"
    )
    return b"\xff" * 6 + b"\x02" * 6 + tag + b"\x08\x00" + ip + udp


def link(*pairs):
    process.run(["ip", "link", "set", "lo", "up"])
    for near, far in pairs or [(NEAR, FAR)]:
        process.run(["ip", "link", "add", near, "type", "veth", "peer", "name", far])
        for name in (near, far):
            process.run(["ip", "link", "set", name, "up"])
        while b"state UP" not in process.run(["ip", "link", "show", near]).stdout:
            time.sleep(0.01)  # until its queue is in place, packets are thrown away


def sender(name=NEAR):
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    sock.bind((name, 0))
    return sock


class Daemon:
    def __init__(self, **network):
        (FOLDER / "rules").mkdir(exist_ok=True)
        self.config = {
            "state_directory": str(FOLDER / "state"),
            "network": {"interfaces": [FAR], "rules": [str(FOLDER / "rules")], "bpf": ONLY_UDP, **network},
        }
        self.write()
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(str(FOLDER / "notify"))
        self.notify.settimeout(60)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "sentinel", "run", "network", "--config", str(FOLDER / "sentinel.yml")],
            env=os.environ
            | {"NOTIFY_SOCKET": str(FOLDER / "notify"), "CACHE_DIRECTORY": str(FOLDER / "cache")},
            stderr=(FOLDER / "log").open("w"),
        )
        self.hear("READY=1")

    def write(self, **more):
        (FOLDER / "sentinel.yml").write_text(yaml.safe_dump(self.config | more))

    def hear(self, word):
        while word not in (message := self.notify.recv(4096).decode()):
            pass
        return message

    def reload(self):
        self.process.send_signal(signal.SIGHUP)
        return self.hear("READY=1")

    def stop(self):
        self.process.terminate()
        code = self.process.wait(60)
        assert code == 0, (FOLDER / "log").read_text()

    def journals(self):
        return {
            path.name: [json.loads(line) for line in path.read_text().splitlines()]
            for path in sorted((FOLDER / "state" / "journal").glob("*.jsonl"))
        }

    def figures(self):
        """Values over all processes, as the endpoint shows them: name{labels} -> value."""
        from prometheus_client import CollectorRegistry
        from prometheus_client.multiprocess import MultiProcessCollector

        registry = CollectorRegistry()
        MultiProcessCollector(registry, path=str(FOLDER / "state" / "metrics"))
        return {
            sample.name + json.dumps(sample.labels, sort_keys=True): sample.value
            for family in registry.collect()
            for sample in family.samples
        }

    def packets(self, name=FAR):
        return self.figures().get(f'sentinel_network_packets_total{{"interface": "{name}"}}', 0)

    def take(self, number, name=FAR):
        """Until the kernel has handed over so many packets; what a ring holds is judged before the end."""
        until(lambda: self.packets(name) + dropped(self) >= number, f"fewer than {number} packets")


def rules(*words):
    (FOLDER / "rules").mkdir(exist_ok=True)
    text = "".join(RULE.format(word=word, sid=number) for number, word in enumerate(words, 1))
    (FOLDER / "rules" / "a.rules").write_text(text)


def dropped(daemon):
    return sum(
        value
        for name, value in daemon.figures().items()
        if name.startswith("sentinel_network_dropped_packets")
    )


def workers():
    """Two workers on two interfaces; flows of a few packets each."""
    link((NEAR, FAR), ("nfwatch2", "nfwatch3"))
    rules("needle")
    daemon = Daemon(workers=2, interfaces=[FAR, "nfwatch3"])
    senders = [sender(NEAR), sender("nfwatch2")]
    for _ in range(5):
        for port in range(1000, 1100):
            for number, sock in enumerate(senders):
                sock.send(frame(port, source=number + 1))
    daemon.take(500)
    daemon.take(500, "nfwatch3")
    daemon.stop()
    seen = {
        name: [(eve["src_ip"], eve["src_port"]) for eve in events]
        for name, events in daemon.journals().items()
    }
    return {
        "alerts": {name: len(flows) for name, flows in seen.items()},
        "shared": len(set(seen["network-1.jsonl"]) & set(seen["network-2.jsonl"])),
        "flows": len({flow for flows in seen.values() for flow in flows}),
        "packets": [daemon.packets(FAR), daemon.packets("nfwatch3")],
        "dropped": dropped(daemon),
        "restarts": daemon.figures()['sentinel_component_restarts_total{"component": "network-1"}'],
    }


def killed_worker():
    """A worker that dies is started again and rejoins the group."""
    link()
    rules("needle")
    daemon = Daemon(workers=2)
    from sentinel.state import State

    def pids():
        rows = State(FOLDER / "state").read("SELECT name, pid FROM component WHERE name LIKE 'network-%'")
        return {row["name"]: row["pid"] for row in rows}

    first = pids()
    os.kill(first["network-2"], signal.SIGKILL)
    until(lambda: pids()["network-2"] != first["network-2"])
    sock = sender()
    for port in range(1000, 1200):
        sock.send(frame(port))
    daemon.take(200)
    daemon.stop()
    alerts = {name: len(events) for name, events in daemon.journals().items()}
    return {"restarted": pids()["network-2"] != first["network-2"], "alerts": alerts}


def reload():
    """Packets flow all the time; rules change from one word to another while they do."""
    link()
    rules("before")
    daemon = Daemon()
    sock, stop, sent = sender(), threading.Event(), 0

    def talk():
        nonlocal sent
        while not stop.is_set():
            sock.send(frame(1000 + sent % 500, b"before after %d" % sent))
            sent += 1
            time.sleep(0.0005)

    talker = threading.Thread(target=talk)
    talker.start()
    daemon.take(100)
    before = daemon.figures()
    rules("never", "after")
    answer = daemon.reload()
    daemon.take(sent + 100)
    stop.set()
    talker.join()
    daemon.take(sent)
    daemon.stop()
    (events,) = daemon.journals().values()
    after = daemon.figures()

    def digests(figures):
        return sorted(
            json.loads(name.partition("_info")[2])["hash"]
            for name, value in figures.items()
            if name.startswith("sentinel_rules_info") and value == 1
        )

    return {
        "sent": sent,
        "seen": daemon.packets(),
        "dropped": dropped(daemon),
        "alerts": len(events),
        "order": "".join("b" if eve["alert"]["signature"] == "before" else "a" for eve in events),
        "answer": answer,
        "hashes": [digests(before), digests(after)],
        "load_seconds": after['sentinel_rules_load_seconds{"plane": "network"}'],
        "reloads": after['sentinel_reloads_total{"component": "network", "result": "ok"}'],
    }


def refused_reload():
    """A rule file that is gone: what ran goes on, and says so."""
    link()
    rules("needle")
    daemon = Daemon()
    daemon.config["network"]["rules"] = [str(FOLDER / "nowhere")]
    daemon.write()
    answer = daemon.reload()
    sender().send(frame(1000))
    daemon.take(1)
    daemon.stop()
    (events,) = daemon.journals().values()
    figures = daemon.figures()
    return {
        "answer": answer,
        "alerts": len(events),
        "refused": figures['sentinel_reloads_total{"component": "network", "result": "refused"}'],
    }


def settings():
    """What sentinel.yml may say about alerts, all at once."""
    link()
    rules("needle", "hidden")
    (FOLDER / "threshold.config").write_text("suppress gen_id 1, sig_id 2\n")
    (FOLDER / "categories").write_text("1,Bad,x\n")
    (FOLDER / "scores").write_text("10.0.0.1,1,100\n")
    with (FOLDER / "rules" / "a.rules").open("a") as file:
        file.write('alert ip any any -> any any (msg:"reputation"; iprep:src,Bad,>,50; sid:3;)\n')
        file.write('alert udp any any -> any any (msg:"hushed"; content:"needle"; sid:4;)\n')
    network = {
        "threshold_file": str(FOLDER / "threshold.config"),
        "reputation": {"categories": str(FOLDER / "categories"), "files": [str(FOLDER / "scores")]},
        "alert_payload": True,
        "alert_packet": True,
        "community_id_seed": 1,
    }
    daemon = Daemon(**network)
    daemon.write(exceptions=[{"rule": 4, "until": "2100-01-01T00:00:00Z", "reason": "CHG-1"}])
    daemon.reload()
    raw = frame(1000, b"needle hidden")
    sender().send(raw)
    daemon.take(1)
    daemon.stop()
    (events,) = daemon.journals().values()
    found = {eve["alert"]["signature"]: eve for eve in events}
    wanted = ("event_type", "payload", "packet", "packet_info", "community_id", "in_iface", "exception")
    return {
        "frame": raw.hex(),
        "alerts": {name: {key: eve.get(key) for key in wanted} for name, eve in found.items()},
        "active": daemon.figures()['sentinel_alert_exceptions{"state": "active"}'],
    }


def capture_options():
    """Filter, promiscuous mode and tags of the ring, as sentinel.yml sets them."""
    link()
    rules("needle")
    only_port_5 = "8,40 0 0 12,21 0 5 2048,48 0 0 23,21 0 3 17,40 0 0 34,21 0 1 5,6 0 0 262144,6 0 0 0"
    daemon = Daemon(bpf=only_port_5, promiscuous=True)
    flags = process.run(["ip", "-details", "link", "show", FAR]).stdout.decode()
    sock = sender()
    for port in (4, 5, 6):
        sock.send(frame(port))
    sock.send(
        frame(5, source=7, tag=b"\x81\x00\x00\x2a")
    )  # the kernel takes the tag off: the filter sees plain IP
    daemon.take(2)
    daemon.stop()
    (events,) = daemon.journals().values()
    return {
        "promiscuous": "promiscuity 1" in flags,
        "alerts": [[eve["src_ip"], eve["src_port"], eve.get("vlan")] for eve in events],
    }


def large_packets():
    """Segmentation offload: the loopback hands over TCP packets of 64 KiB, and their bytes are all inspected."""
    link()
    (FOLDER / "rules").mkdir()
    (FOLDER / "rules" / "a.rules").write_text(
        'alert tcp any any -> any any (msg:"end"; content:"needle at the end"; sid:1;)\n'
    )
    process.run(["ip", "link", "set", "lo", "mtu", "65536"])
    daemon = Daemon(interfaces=["lo"], bpf="")
    server = socket.create_server(("127.0.0.1", 0))
    client = socket.create_connection(server.getsockname())
    other, _ = server.accept()
    with client, other, server:
        client.sendall(b"x" * 60_000 + b"needle at the end")
        received = 0
        while received < 60_017:
            received += len(other.recv(65_536))
    until(lambda: any(daemon.journals().values()))
    daemon.stop()
    (events,) = daemon.journals().values()
    return {"alerts": [eve["alert"]["signature"] for eve in events], "packets": daemon.packets("lo")}


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]]()))
