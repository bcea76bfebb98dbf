"""Traffic for rule tests: a case (a small mapping) -> the frames of one conversation.

A case is one of
    uri / method / host / agent / headers / body / response / status      an HTTP request and its answer
    tcp: PORT, client: TEXT, server: TEXT                                 a TCP conversation on that port
    tls: {sni, org, cn, days, from, version}                              a TLS handshake up to the certificate
    dns: NAME, type: N                                                    a DNS query over UDP
    syn: N | sweep: PORT | flags: LETTERS | ping: N | bulk: BYTES         segments and datagrams without a conversation
`out: 1` turns it round: our host is the client. `repeat` repeats the whole conversation. Text is Latin-1.
Each case has an address of its own, so that all cases of a file fit in one capture and thresholds do not mix.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import struct
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from scapy.layers.dns import DNS, DNSQR
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import Ether

SERVER, OUTSIDE = "10.0.0.5", "198.51.100.7"
START = 1_780_000_000.0  # 2026-05-28; certificates are dated relative to it
BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
LINK = bytes(Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02", type=0x0800))
FLAGS = {letter: 1 << bit for bit, letter in enumerate("FSRPAU")}
SEGMENT = 60_000
TCP_KINDS = ("uri", "tcp", "tls", "bulk")


class Capture:
    """Frames in order, one clock; `write` makes the pcap."""

    def __init__(self):
        self.frames = []
        self.clock = START
        self.peers = 0

    def add(self, case):
        """Append a case's traffic; the address that tells it from all others."""
        self.peers += 1
        base = "10.1.0.0" if case.get("out") or "dns" in case else "203.0.0.0"
        peer = str(ipaddress.ip_address(base) + 256 * (self.peers // 200) + self.peers % 200 + 1)
        for number in range(case.get("repeat", 1)):
            self._one(case, peer, 20_000 + number)
        self.clock += 1
        return peer

    def write(self, path):
        """A classic pcap, microseconds, Ethernet."""
        with path.open("wb") as file:
            file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 1 << 18, 1))
            for clock, frame in self.frames:
                seconds, rest = divmod(round(clock * 1_000_000), 1_000_000)
                file.write(struct.pack("<IIII", seconds, rest, len(frame), len(frame)) + frame)

    def _one(self, case, peer, port):
        server = case.get("dst", OUTSIDE) if case.get("out") else SERVER
        if "dns" in case:
            return self._dns(case, peer, port)
        if any(kind in case for kind in TCP_KINDS):
            return self._conversation(case, peer, server, port)
        return self._stray(case, peer, server)

    def _send(self, packet):
        self.frames.append((self.clock, LINK + bytes(packet)))
        self.clock += 0.0005

    def _dns(self, case, peer, port):
        query = DNS(id=port & 0xFFFF, rd=1, qd=DNSQR(qname=case["dns"], qtype=case.get("type", 1)))
        self._send(IP(src=peer, dst="10.0.0.53") / UDP(sport=port, dport=53) / query)

    def _stray(self, case, peer, server):
        if "ping" in case:
            for number in range(case["ping"]):
                self._send(IP(src=peer, dst=server) / ICMP(seq=number) / (b"x" * case.get("size", 56)))
        for number in range(case.get("syn", 0)):
            self._send(IP(src=peer, dst=server) / TCP(sport=40_000 + number, dport=number + 1, flags="S"))
        for number in range(case.get("count", 0)):
            target = (
                server
                if case.get("one") or "flags" in case
                else str(ipaddress.ip_address("10.9.0.1") + number)
            )
            port = case.get("sweep", 80)
            self._send(
                IP(src=peer, dst=target)
                / TCP(sport=41_000 + number, dport=port, flags=case.get("flags", "S"))
            )

    def _conversation(self, case, peer, server, sport):
        dport = case.get("tcp", 443 if "tls" in case else 80)
        talk = Conversation(self._send, peer, server, sport, dport)
        for from_client, data in exchange(case):
            talk.say(from_client, data)
        talk.close()


class Conversation:
    """A TCP session in order: handshake, segments each answered by an ACK, FIN from both sides."""

    def __init__(self, send, client, server, sport, dport):
        self.send = send
        self.ends = {True: (client, server, sport, dport), False: (server, client, dport, sport)}
        self.next = {True: 1000, False: 5000}
        self._segment(True, "S")
        self._segment(False, "SA")
        self._segment(True, "A")

    def say(self, from_client, data):
        for start in range(0, len(data), SEGMENT):
            self._segment(from_client, "PA", data[start : start + SEGMENT])
            self._segment(not from_client, "A")

    def close(self):
        self._segment(True, "FA")
        self._segment(False, "FA")
        self._segment(True, "A")

    def _segment(self, from_client, flags, data=b""):
        src, dst, sport, dport = self.ends[from_client]
        ack = self.next[not from_client] if "A" in flags else 0
        self.send(segment(src, dst, sport, dport, flags, self.next[from_client], ack, data))
        self.next[from_client] += len(data) + ("S" in flags) + ("F" in flags)


def segment(src, dst, sport, dport, flags, seq, ack, data):
    """IPv4 and TCP by hand: a thousand times a second faster than crafting; checksums are left out (as offloaded)."""
    bits = sum(FLAGS[letter] for letter in flags)
    tcp = struct.pack(">HHIIBBHHH", sport, dport, seq, ack, 0x50, bits, 65_535, 0, 0)
    ends = ipaddress.ip_address(src).packed + ipaddress.ip_address(dst).packed
    return struct.pack(">BBHHHBBH", 0x45, 0, 40 + len(data), 0, 0x4000, 64, 6, 0) + ends + tcp + data


def exchange(case):
    """(from the client?, bytes) in order."""
    if "uri" in case:
        return [(True, request(case)), (False, answer(case))]
    if "tls" in case:
        return [(True, client_hello(case["tls"])), (False, server_hello(case["tls"]))]
    if "bulk" in case:
        return [(True, b"z" * case["bulk"])]
    said = [
        (True, case.get("client", "").encode("latin-1")),
        (False, case.get("server", "").encode("latin-1")),
    ]
    return said[::-1] if not case.get("client") else said


def request(case):
    body = case.get("body", "").encode("latin-1")
    headers = {
        "Host": case.get("host", "shop.example"),
        "User-Agent": case.get("agent", BROWSER),
        "Accept": "*/*",
    }
    headers |= case.get("headers", {})
    if body:
        headers |= {"Content-Type": "application/x-www-form-urlencoded", "Content-Length": str(len(body))}
    lines = [
        f"{case.get('method', 'GET')} {case['uri']} HTTP/1.1",
        *(f"{k}: {v}" for k, v in headers.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def answer(case):
    body = case.get("response", "<p>hello</p>").encode("latin-1")
    status = {404: "404 Not Found"}.get(case.get("status"), "200 OK")
    head = f"HTTP/1.1 {status}\r\nServer: nginx\r\nContent-Type: text/html\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


# --- TLS (RFC 5246): only what a rule can see ---------------------------------------------------------------------


def record(kind, body, version=0x0303):
    return struct.pack(">BHH", kind, version, len(body)) + body


def handshake(kind, body):
    return bytes([kind]) + len(body).to_bytes(3, "big") + body


def client_hello(tls):
    version = tls.get("version", 0x0303)
    name = tls.get("sni", "shop.example").encode()
    entry = b"\x00" + struct.pack(">H", len(name)) + name
    extension = struct.pack(">HHH", 0, len(entry) + 2, len(entry)) + entry
    suites = b"\x00\x04\xc0\x2f\x00\x9c"
    body = struct.pack(">H", version) + bytes(32) + b"\x00" + suites + b"\x01\x00"
    return record(22, handshake(1, body + struct.pack(">H", len(extension)) + extension))


def server_hello(tls):
    version = tls.get("version", 0x0303)
    hello = handshake(2, struct.pack(">H", version) + bytes(32) + b"\x00" + b"\xc0\x2f\x00")
    der = certificate(
        tls.get("cn", "shop.example"), tls.get("org", "Shop"), tls.get("days", 90), tls.get("from", 0)
    )
    chain = len(der).to_bytes(3, "big") + der
    listed = handshake(11, len(chain).to_bytes(3, "big") + chain)
    return record(22, hello, version) + record(22, listed, version) + record(22, handshake(14, b""), version)


@cache
def certificate(common_name, organization, days, year):
    """Valid until `days` after the capture begins; `year` moves its beginning into the future."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )
    now = dt.datetime.fromtimestamp(START, dt.UTC)
    begin = dt.datetime(year, 1, 2, tzinfo=dt.UTC) if year else now - dt.timedelta(days=30)
    end = begin + dt.timedelta(days=90) if year else now + dt.timedelta(days=days)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(begin).not_valid_after(end)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)
