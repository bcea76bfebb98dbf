"""Family: threshold, detection_filter, and what threshold.config says of suppression and rates, over seconds of traffic."""

import tempfile
from pathlib import Path

from differential.traffic import Session, tcp, udp

CLIENTS = ["10.5.0.1", "10.5.0.2", "10.5.0.3", "203.0.113.5"]
SERVERS = ["192.168.7.7", "192.168.7.8"]
WORDS = ["abc", "GET", "xyz"]
TRACKS = ["by_src", "by_dst", "by_rule", "by_both"]


def _rate(rng):
    kind, track = rng.choice(("limit", "threshold", "both")), rng.choice(TRACKS)
    if rng.random() < 0.2:
        return f"detection_filter:track {track}, count {rng.choice((1, 2, 4))}, seconds {rng.choice((1, 3, 10))}; "
    if rng.random() < 0.1:
        return ""
    return f"threshold:type {kind}, track {track}, count {rng.choice((1, 2, 3, 5))}, seconds {rng.choice((1, 2, 5, 30))}; "


def rules(rng, first_sid, count):
    for sid in range(first_sid, first_sid + count):
        shape = rng.random()
        if shape < 0.3:
            yield f'alert udp any any -> any any (content:"{rng.choice(WORDS)}"; {_rate(rng)}sid:{sid};)'
        elif shape < 0.55:
            yield f"alert tcp any any -> any any (flags:S; {_rate(rng)}sid:{sid};)"
        elif shape < 0.7:
            yield f'alert tcp any any -> any any (flow:established; content:"{rng.choice(WORDS)}"; {_rate(rng)}sid:{sid};)'
        elif shape < 0.85:
            yield f'alert http any any -> any any (http.uri; content:"{rng.choice(("a", "b"))}"; {_rate(rng)}sid:{sid};)'
        else:
            yield f"alert ip any any -> any any ({_rate(rng)}sid:{sid};)"


def settings(rng, sids):
    """Lines of threshold.config for some of the rules."""
    lines = []
    for sid in rng.sample(sids, len(sids) // 3):
        shape = rng.random()
        if shape < 0.35:
            address = rng.choice(
                ("10.5.0.1", "10.5.0.0/24", "[10.5.0.2,192.168.7.8]", "!10.5.0.1", "192.168.0.0/16")
            )
            lines.append(
                f"suppress gen_id 1, sig_id {sid}, track {rng.choice(('by_src', 'by_dst', 'by_either'))}, ip {address}"
            )
        elif shape < 0.4:
            lines.append(f"suppress gen_id 1, sig_id {sid}")
        elif shape < 0.7:
            lines.append(
                f"threshold gen_id 1, sig_id {sid}, type {rng.choice(('limit', 'threshold', 'both'))}, track {rng.choice(TRACKS)}, count {rng.choice((1, 2, 4))}, seconds {rng.choice((1, 5, 20))}"
            )
        else:
            lines.append(
                f"rate_filter gen_id 1, sig_id {sid}, track {rng.choice(TRACKS)}, count {rng.choice((1, 2, 3))}, seconds {rng.choice((1, 5))}, "
                f"new_action {rng.choice(('alert', 'drop', 'pass', 'reject'))}, timeout {rng.choice((0, 1, 5))}"
            )
    path = Path(tempfile.mkdtemp(prefix="sentinel-rates-")) / "threshold.config"
    path.parent.chmod(0o755)
    path.write_text("\n".join(lines) + "\n")
    return {"threshold-file": str(path)}


def sessions(rng, count):
    """(seconds, frames) of each: bursts and pauses."""
    out = []
    for _ in range(count):
        client, server = rng.choice(CLIENTS), rng.choice(SERVERS)
        sport = 1024 + rng.randrange(60000)
        shape = rng.random()
        if shape < 0.5:
            frames = [
                udp(client, server, sport, 5555, rng.choice(WORDS).encode()) for _ in range(rng.randint(1, 4))
            ]
        elif shape < 0.7:
            frames = [tcp(client, server, sport, 4444, rng.randrange(1 << 31), 0, 2)]
        elif shape < 0.85:
            frames = Session(rng, client, server, sport, 4444).run([(True, rng.choice(WORDS).encode())])
        else:
            uri = rng.choice((b"/a", b"/b", b"/ab"))
            answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
            frames = Session(rng, client, server, sport, 80).run(
                [(True, b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % uri), (False, answer)]
            )
        out.append(frames)
    return out


def schedule(rng, conversations):
    clock, out = 0.0, []
    for frames in conversations:
        clock += rng.choice((0.01, 0.01, 0.1, 0.4, 0.999, 1.0, 1.001, 2.5, 6, 31))
        for each in frames:
            clock += rng.choice((0.001, 0.001, 0.05))
            out.append((clock, each))
    return out
