r"""Network namespaces, raw packets and random policies for the firewall's tests and its bench.

The process moves itself into namespaces (setns acts on the calling thread; children inherit), so that the code under
test runs in the guarded host exactly as in production. Topology:

    outside --- eth0 \\
                      guarded host --- eth1 --- beyond
    outside --- eth2 /
"""

import contextlib
import ctypes
import fcntl
import json
import os
import socket
import struct
import subprocess

CLONE_NEWNET = 0x40000000
SIOCGIFHWADDR = 0x8927
LIBC = ctypes.CDLL(None, use_errno=True)
LOCAL4, LOCAL6 = 0x0A4D0000, 0xFD77 << 112  # 10.77.0.0/16 and fd77::/64 are the host's own
PROTOCOLS = {"tcp": 6, "udp": 17, "icmp": 1, "icmpv6": 58, "gre": 47, "esp": 50, "ospf": 89}


def check(result):
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


class Spaces:
    """Scratch namespaces that end with us."""

    def __init__(self):
        self.home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        self.open = []

    def new(self):
        with self.back():
            check(LIBC.unshare(CLONE_NEWNET))
            descriptor = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
            sh("ip link set lo up")
        self.open.append(descriptor)
        return descriptor

    @contextlib.contextmanager
    def back(self):
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            yield
        finally:
            check(LIBC.setns(before, CLONE_NEWNET))
            os.close(before)

    @contextlib.contextmanager
    def inside(self, descriptor):
        with self.back():
            check(LIBC.setns(descriptor, CLONE_NEWNET))
            yield

    def close(self):
        check(LIBC.setns(self.home, CLONE_NEWNET))
        for descriptor in [*self.open, self.home]:
            os.close(descriptor)


def sh(command):
    for line in command.strip().splitlines():
        subprocess.run(line.split(), check=True, capture_output=True)


def nft(script):
    return subprocess.run(
        ["nft", "-f", "-"], input=script.encode(), check=True, capture_output=True
    ).stdout.decode()


def listed(name, table="probe"):
    text = subprocess.run(
        ["nft", "-j", "list", "set", "inet", table, name], check=True, capture_output=True
    ).stdout
    return [
        one for item in json.loads(text)["nftables"] if "set" in item for one in item["set"].get("elem", [])
    ]


class Lab:
    """Guarded host between two others, and a table that remembers which packets came through it."""

    def __init__(self, spaces):
        self.spaces = spaces
        self.host, self.outside, self.beyond = spaces.new(), spaces.new(), spaces.new()
        me = f"/proc/{os.getpid()}/fd"
        with spaces.inside(self.host):
            for here, there, space in (
                ("eth0", "a0", self.outside),
                ("eth2", "a1", self.outside),
                ("eth1", "c0", self.beyond),
            ):
                sh(f"ip link add {here} type veth peer name {there} netns {me}/{space}")
            self._addresses()
            nft(PROBE)
            self.macs = {name: mac(name) for name in ("eth0", "eth1", "eth2")}
        with spaces.inside(self.outside):
            sh("ip link set a0 up\nip link set a1 up")
            self.wires = {"eth0": wire("a0"), "eth2": wire("a1")}
        with spaces.inside(self.beyond):
            sh("ip link set c0 up")
        with spaces.inside(self.host):
            self.raw = {
                4: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW),
                6: socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW),
            }
        for one in self.raw.values():  # tells our packets from the kernel's own answers
            one.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, 7)

    def _addresses(self):
        for key, value in (
            ("ipv4.conf.all.rp_filter", 0), ("ipv4.conf.default.rp_filter", 0), ("ipv4.ip_forward", 1),
            ("ipv6.conf.all.forwarding", 1), ("ipv6.conf.all.accept_dad", 0), ("ipv6.conf.default.accept_dad", 0),
        ):  # fmt: skip
            path = "/proc/sys/net/" + key.replace(".", "/")
            with open(path, "w") as file:
                file.write(str(value))
        sh("""ip link set eth0 up
            ip link set eth1 up
            ip link set eth2 up
            ip addr add 10.99.0.1/24 dev eth0
            ip addr add 10.98.0.1/24 dev eth1
            ip -6 addr add fd98::1/64 dev eth1 nodad
            ip route add local 10.77.0.0/16 dev lo
            ip -6 route add local fd77::/64 dev lo
            ip neigh add 10.98.0.2 lladdr 02:00:00:00:00:99 nud permanent dev eth1
            ip -6 neigh add fd98::2 lladdr 02:00:00:00:00:99 nud permanent dev eth1
            ip route add default via 10.98.0.2 dev eth1
            ip -6 route add default via fd98::2 dev eth1""")
        for name in ("eth0", "eth1", "eth2"):
            with open(f"/proc/sys/net/ipv4/conf/{name}/rp_filter", "w") as file:
                file.write("0")

    def send(self, interface, data):
        """A frame from outside into the host's interface."""
        kind = b"\x08\x00" if data[0] >> 4 == 4 else b"\x86\xdd"
        self.wires[interface].send(self.macs[interface] + b"\x02\x00\x00\x00\x00\x01" + kind + data)

    def emit(self, data):
        """A packet of the host itself."""
        if data[0] >> 4 == 4:
            target = (socket.inet_ntop(socket.AF_INET, data[16:20]), 0)
            family = 4
        else:
            target = (socket.inet_ntop(socket.AF_INET6, data[24:40]), 0)
            family = 6
        with contextlib.suppress(PermissionError):  # the output hook said no
            self.raw[family].sendto(data, target)

    def seen(self):
        """Numbers of the packets that passed since the last call."""
        with self.spaces.inside(self.host):
            found = set(listed("seen4")) | set(listed("seen6"))
            nft("flush set inet probe seen4\nflush set inet probe seen6")
        return found

    def arrived(self):
        with self.spaces.inside(self.host):
            found = set(listed("came4")) | set(listed("came6"))
            nft("flush set inet probe came4\nflush set inet probe came6")
        return found

    def close(self):
        for one in [*self.raw.values(), *self.wires.values()]:
            one.close()


PROBE = """table inet probe {
    set seen4 { typeof ip id; size 65535; flags dynamic; }
    set seen6 { typeof ip6 flowlabel; size 65535; flags dynamic; }
    set came4 { typeof ip id; size 65535; flags dynamic; }
    set came6 { typeof ip6 flowlabel; size 65535; flags dynamic; }
    chain through {
        add @seen4 { ip id }
        add @seen6 { ip6 flowlabel }
    }
    chain came_in {
        add @came4 { ip id }
        add @came6 { ip6 flowlabel }
    }
    chain came {
        type filter hook prerouting priority -350;
        iifname { "eth0", "eth2" } jump came_in
    }
    chain inbound {
        type filter hook input priority 100;
        iifname { "eth0", "eth2" } jump through
    }
    chain forward {
        type filter hook forward priority 100;
        jump through
    }
    chain outbound {
        type filter hook output priority 100;
        oifname "eth1" meta mark 7 jump through
    }
}
"""


def mac(interface):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        answer = fcntl.ioctl(asking, SIOCGIFHWADDR, struct.pack("256s", interface.encode()))
    return answer[18:24]


def wire(interface):
    found = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    found.bind((interface, 0))
    return found


# --- packets ----------------------------------------------------------------------------------------------------


def packet(number, family, source, destination, protocol, port, source_port):
    """The first packet of a connection; `number` is its IP id or flow label."""
    body = BODIES[protocol](number, port, source_port)
    size = 4 if family == 4 else 16
    near, far = source.to_bytes(size, "big"), destination.to_bytes(size, "big")
    body = with_checksum(protocol, body, near, far)
    code = PROTOCOLS[protocol]
    if family == 6:
        return struct.pack(">IHBB", 6 << 28 | number, len(body), code, 64) + near + far + body
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(body), number, 0, 64, code, 0) + near + far
    return head[:10] + struct.pack(">H", checksum(head)) + head[12:] + body


ICMP_REQUESTS = (
    (8, "echo-request"),
    (13, "timestamp-request"),
    (15, "info-request"),
    (17, "address-mask-request"),
)  # a packet's port says which
BODIES = {
    "tcp": lambda n, port, sport: struct.pack(">HHIIBBHHH", sport, port, n, 0, 0x50, 2, 1024, 0, 0),
    "udp": lambda n, port, sport: struct.pack(">HHHH", sport, port, 8, 0),
    "icmp": lambda n, port, sport: struct.pack(">BBHHH12x", ICMP_REQUESTS[port % 4][0], 0, 0, n & 0xFFFF, 1),
    "icmpv6": lambda n, port, sport: struct.pack(">BBHHH", 128, 0, 0, n & 0xFFFF, 1),
    "gre": lambda n, port, sport: struct.pack(">HH", 0, 0x0800),
    "esp": lambda n, port, sport: struct.pack(">II", n, 1),
    "ospf": lambda n, port, sport: struct.pack(">BBHI", 2, 1, 8, n),
}
CHECKSUM_AT = {"tcp": 16, "udp": 6, "icmp": 2, "icmpv6": 2}


def with_checksum(protocol, body, near, far):
    at = CHECKSUM_AT.get(protocol)
    if at is None:
        return body
    pseudo = b"" if protocol == "icmp" else near + far + struct.pack(">II", len(body), PROTOCOLS[protocol])
    return body[:at] + struct.pack(">H", checksum(pseudo + body) or 0xFFFF) + body[at + 2 :]


def checksum(data):
    total = sum(struct.unpack(f">{len(data) // 2}H", data[: len(data) // 2 * 2]))
    total += data[-1] << 8 if len(data) % 2 else 0
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


# --- random policies --------------------------------------------------------------------------------------------


def address_text(family, number):
    size, kind = (4, socket.AF_INET) if family == 4 else (16, socket.AF_INET6)
    return socket.inet_ntop(kind, number.to_bytes(size, "big"))


class RandomPolicy:
    """A policy file, and packets that look for its edges."""

    def __init__(self, random):
        self.random = random
        self.edges = {(family, local): [] for family in (4, 6) for local in (False, True)}
        self.ports = [22, 80, 443]
        groups = {f"g{i}": self.entries(random.randint(1, 8)) for i in range(random.randint(1, 5))}
        groups |= {f"n{i}": [random.choice(list(groups)), *self.entries(2)] for i in range(2)}
        groups["everyone"] = ["0.0.0.0/0", "::/0"]
        self.groups = groups
        services = {f"s{i}": [self.service() for _ in range(random.randint(1, 4))] for i in range(4)}
        self.services = [
            *services,
            "ping",
            "any",
            "tcp/22",
            "udp/53",
            "icmp",
            "icmpv6",
            *(f"icmp/{name}" for _, name in ICMP_REQUESTS),
            "icmpv6/echo-request",
            "gre",
            "esp",
            "tcp",
            "ospf",
        ]
        actions = ["accept", "drop", "reject"]
        self.data = {
            "default": {name: random.choice(actions) for name in ("inbound", "outbound", "forward")},
            "groups": groups,
            "services": services,
            "interfaces": {"front": ["eth0"], "side": ["eth2"], "all": ["eth*"]},
            "inbound": [self.rule("inbound") for _ in range(random.randint(0, 10))],
            "outbound": [self.rule("outbound") for _ in range(random.randint(0, 10))],
            "forward": [self.rule("forward") for _ in range(random.randint(0, 8))],
            "failsafe": [{"allow": "tcp/22", "from": random.choice(list(groups))}]
            if random.random() < 0.3
            else [],
            "never_ban": random.sample(list(groups), 1) if random.random() < 0.5 else [],
        }
        self.bans = [self.ban() for _ in range(random.randint(0, 6))]

    def entries(self, count, local=False):
        return [self.entry(local) for _ in range(count)]

    def entry(self, local=False):
        family = self.random.choice((4, 6))
        first = self.address(family, local)
        bits = 32 if family == 4 else 128
        kind = self.random.choice(("one", "net", "range", "timed"))
        if kind == "range":
            last = first + self.random.randint(1, 300)
            self.remember(family, local, first, last)
            return f"{address_text(family, first)}-{address_text(family, last)}"
        length = bits if kind == "one" else bits - self.random.randint(1, 12)
        size = 1 << (bits - length)
        first -= first % size
        self.remember(family, local, first, first + size - 1)
        text = f"{address_text(family, first)}/{length}"
        if kind == "timed" and not local:
            until = self.random.choice(("2020-01-01T00:00:00Z", "2199-01-01T00:00:00Z"))
            return {"address": text, "until": until}
        return text

    def remember(self, family, local, first, last):
        self.edges[family, local] += [first, last, first - 1, last + 1]

    def address(self, family, local):
        if local:
            return (
                (LOCAL4 | self.random.getrandbits(15))
                if family == 4
                else LOCAL6 | self.random.getrandbits(20)
            )
        if family == 4:
            return (
                self.random.choice((0xC6120000, 0xAC100000, 0xCB007100)) + self.random.getrandbits(12) + 4096
            )
        return (0x20010DB8 << 96) + (self.random.getrandbits(3) << 64) + self.random.getrandbits(12) + 4096

    def service(self):
        protocol = self.random.choice(("tcp", "udp"))
        low = self.random.randint(1, 60_000)
        high = low + self.random.choice((0, 0, 5, 1000))
        self.ports += [low, high, low - 1, high + 1]
        return f"{protocol}/{low}" if low == high else f"{protocol}/{low}-{high}"

    def scope(self, local=False):
        if local:
            return self.entries(self.random.randint(1, 3), local=True)
        names = list(self.groups)
        return self.random.choice(
            [self.random.choice(names), self.random.sample(names, 2), self.entries(2)[:1]]
        )

    def rule(self, direction):
        random = self.random
        action = random.choice(("allow", "allow", "allow", "deny", "reject"))
        rule = {action: random.sample(self.services, random.randint(1, 2))}
        far, near = ("to", "from") if direction == "outbound" else ("from", "to")
        if random.random() < 0.7:
            rule[far] = [e if isinstance(e, str) else e["address"] for e in listing(self.scope())]
        if random.random() < 0.2:
            rule[near] = self.scope(local=direction != "forward") if direction != "forward" else "g0"
        if random.random() < 0.3 and direction != "outbound":
            rule["interface"] = random.choice(("front", "side", "all", "eth0"))
        if random.random() < 0.2 and direction != "inbound":
            rule["interface" if direction == "outbound" else "out_interface"] = random.choice(
                ("eth1", "eth9", "e*")
            )
        if random.random() < 0.2:
            rule["until"] = random.choice(("2020-01-01T00:00:00Z", "2199-01-01T00:00:00Z"))
        if random.random() < 0.15:
            rule["log"] = True
        return rule

    def ban(self):
        family = self.random.choice((4, 6))
        number = self.pick(family, False)
        length = self.random.choice((32, 30, 24, 22) if family == 4 else (64, 56, 60))
        size = 1 << ((32 if family == 4 else 128) - length)
        return f"{address_text(family, number - number % size)}/{length}"

    def pick(self, family, local):
        known = self.edges[family, local]
        if known and self.random.random() < 0.7:
            return self.random.choice(known)
        return self.address(family, local)

    def tuples(self, count):
        """(direction, interface, family, source, destination, protocol, port, source port)"""
        for _ in range(count):
            direction = self.random.choice(("inbound", "inbound", "outbound", "forward"))
            family = self.random.choice((4, 6))
            source = self.pick(family, direction == "outbound")
            destination = self.pick(family, direction == "inbound")
            other = "icmp" if family == 4 else "icmpv6"
            protocol = self.random.choice(("tcp", "tcp", "tcp", "udp", "udp", other, "gre", "esp", "ospf"))
            if direction == "forward" and protocol == "ospf":
                protocol = "udp"
            port = (
                self.random.choice(self.ports)
                if self.random.random() < 0.8
                else self.random.randint(1, 65_535)
            )
            source_port = 22 if self.random.random() < 0.03 else self.random.randint(1024, 65_535)
            interface = "eth1" if direction == "outbound" else self.random.choice(("eth0", "eth2"))
            yield direction, interface, family, source, destination, protocol, port, source_port


def listing(value):
    return value if isinstance(value, list) else [value]


def firsts(tuples):
    """Without answers: a protocol without ports is one connection for a pair of addresses, whoever speaks."""
    known = set()
    for one in tuples:
        *_, source, destination, protocol, _, _ = one
        pair = (protocol, min(source, destination), max(source, destination))
        if protocol in {"gre", "esp", "ospf"}:
            if pair in known:
                continue
            known.add(pair)
        yield one


# --- the kernel's word against the evaluator's ------------------------------------------------------------------


def disagreements(lab, random, count):
    """Apply a random policy, send `count` random packets, compare each one's fate with `explain`."""
    import time

    from sentinel import yamlfile
    from sentinel.firewall import bans, explain, kernel, networks, policy
    from sentinel.firewall import compile as compiler
    from sentinel.firewall import nft as render
    from sentinel.firewall.policy import Action, Direction

    wanted = RandomPolicy(random)
    text = yamlfile.dump(wanted.data)
    parsed = policy.parse(text, "random.yml")
    now = time.time_ns()
    banned = [networks.parse(name) for name in dict.fromkeys(wanted.bans)]
    elements = {
        (e.family, e.length, e.network): e
        for network in banned
        for e in bans.elements(network, now, now + 10**12, now)
    }
    with lab.spaces.inside(lab.host):
        table = render.render(compiler.compile_policy(parsed), now)
        kernel.run_script(table + "".join(render.fill(e.set_name, [str(e)]) for e in elements.values()))
    lab.seen(), lab.arrived()
    tuples = list(firsts(wanted.tuples(2 * count)))[:count]
    from_outside = set()
    for number, (direction, interface, family, *rest) in enumerate(tuples, 1):
        if direction != "outbound":
            lab.send(interface, packet(number, family, *rest))
            from_outside.add(number)
    passed = lab.seen() & from_outside
    lost = from_outside - lab.arrived()
    assert not lost, f"{len(lost)} packets never reached the host"
    for number, (direction, _, family, *rest) in enumerate(tuples, 1):
        if direction == "outbound":
            lab.emit(packet(number, family, *rest))
    passed |= lab.seen() - from_outside
    found = []
    for number, (direction, interface, family, source, destination, protocol, port, source_port) in enumerate(
        tuples, 1
    ):
        one = explain.Packet(
            Direction(direction), family, source, destination, protocol, port, source_port,
            {"icmp": ICMP_REQUESTS[port % 4][1], "icmpv6": "echo-request"}.get(protocol, ""),
            None if direction == "outbound" else interface,
            None if direction == "inbound" else "eth1",
        )  # fmt: skip
        decision = explain.decide(parsed, one, now, bans=banned)
        if (decision.action is Action.ACCEPT) != (number in passed):
            found.append((tuples[number - 1], decision, number in passed))
    return found
