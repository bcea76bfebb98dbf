"""Rules over packets made with Scapy, through the whole network plane: capture file -> parser -> engine -> alerts."""

import itertools

import pytest

CLIENT, SERVER = "10.1.1.2", "192.168.5.6"


class Conversation:
    """A TCP session as a host would see it, in whole segments and in order."""

    def __init__(self, sport=40000, dport=80, client=CLIENT, server=SERVER):
        self.ports, self.hosts = (sport, dport), (client, server)
        self.seq = [1000, 5000]
        self.packets = []
        self._raw(0, "S")
        self.seq[0] += 1
        self._raw(1, "SA")
        self.seq[1] += 1
        self._raw(0, "A")

    def _raw(self, side, flags, data=b""):
        from scapy.layers.inet import IP, TCP
        from scapy.layers.l2 import Ether

        other = 1 - side
        segment = TCP(
            sport=self.ports[side],
            dport=self.ports[other],
            flags=flags,
            seq=self.seq[side],
            ack=self.seq[other],
        )
        frame = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
        self.packets.append(frame / IP(src=self.hosts[side], dst=self.hosts[other]) / segment / data)

    def _send(self, side, data):
        for start in range(0, len(data), 1400):
            self._raw(side, "PA", data[start : start + 1400])
            self.seq[side] += len(data[start : start + 1400])
            self._raw(1 - side, "A")

    def request(self, data):
        self._send(0, data)
        return self

    def response(self, data):
        self._send(1, data)
        return self

    def close(self):
        for side in (0, 1):
            self._raw(side, "FA")
            self.seq[side] += 1
        self._raw(0, "A")
        return self.packets


def http(uri="/", *, method="GET", headers="", body=b"", status="200 OK", answer=b"fine", answer_headers=""):
    """One exchange over a session of its own."""
    head = f"{method} {uri} HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: Test/1.0\r\n{headers}"
    if body:
        head += f"Content-Length: {len(body)}\r\n"
    reply = f"HTTP/1.1 {status}\r\nServer: nginx\r\nContent-Length: {len(answer)}\r\n{answer_headers}\r\n"
    session = Conversation(sport=next(_PORTS))
    return session.request(head.encode() + b"\r\n" + body).response(reply.encode() + answer).close()


_PORTS = itertools.count(41000)


@pytest.fixture
def exchange():
    return http


@pytest.fixture
def conversation():
    return Conversation


@pytest.fixture
def replay(tmp_path):
    """Rules and packets -> the alerts as EVE objects."""
    from scapy.utils import wrpcap

    from sentinel.pipeline import replay_network

    count = itertools.count()

    def run(rules, packets, **options):
        number = next(count)
        capture, file = tmp_path / f"{number}.pcap", tmp_path / f"{number}.rules"
        for i, packet in enumerate(packets):
            packet.time = 1_700_000_000 + i * 0.01
        wrpcap(str(capture), packets)
        file.write_text(rules)
        overrides = {key.replace("__", ".").replace("_", "-"): value for key, value in options.items()}
        return [alert.to_eve() for alert in replay_network(capture, [file], overrides)]

    return run


@pytest.fixture
def fired(replay):
    """Rules and packets -> the sids that alerted, in order."""

    def run(rules, packets, **options):
        return [eve["alert"]["signature_id"] for eve in replay(rules, packets, **options)]

    return run


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CACHE_DIRECTORY", str(tmp_path / "cache"))


@pytest.fixture
def rule():
    """Text of options, or of a whole rule -> Rule."""
    from sentinel.detect.settings import STOCK_VARIABLES
    from sentinel.detect.suricata import Context, parse_rule

    def parse(text, folder="."):
        if not text.startswith(("alert ", "drop ", "pass ", "warn ")):
            text = f"alert tcp any any -> any any ({text} sid:1;)"
        return parse_rule(
            text, Context(STOCK_VARIABLES, {"trojan-activity": ("A trojan", 1)}, folder), "x", 1
        )

    return parse
