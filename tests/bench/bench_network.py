"""make bench-network: Sentinel beside the installed Suricata, same captures and rules, one worker each, alerts only.

    python tests/bench/bench_network.py --rules FILE [--pcaps FOLDER] [--seconds 3] [--http PCAP] [--profile]

Two captures are built here: HTTP shop traffic (nginx and wrk over a veth pair: keep-alive, JSON bodies) and, with
--pcaps, a mix of all captures of a folder one after the other. Loading time is subtracted on both sides by running an
empty capture first. Needs root, nginx, wrk, tcpdump, suricata. Prints packets/s, MB/s, alerts and (sid, flow) pairs.
"""

import argparse
import cProfile
import json
import logging
import os
import pstats
import struct
import subprocess
import tempfile
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
    (folder / "nginx.conf").write_text(NGINX.format(d=folder))
    (folder / "shop.lua").write_text(WRK)
    subprocess.run(["ip", "netns", "del", SPACE], check=False, stderr=subprocess.DEVNULL)
    run("ip", "netns", "add", SPACE)
    try:
        run("ip", "link", "add", "snbench0", "type", "veth", "peer", "name", "snbench1", "netns", SPACE)
        run("ip", "addr", "add", "10.77.0.1/24", "dev", "snbench0")
        run("ip", "link", "set", "snbench0", "up")
        run("ip", "-n", SPACE, "addr", "add", "10.77.0.2/24", "dev", "snbench1")
        run("ip", "-n", SPACE, "link", "set", "snbench1", "up")
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
                run("wrk", "-t1", "-c40", f"-d{seconds}", "-s", str(folder / "shop.lua"), "http://10.77.0.2/")
                time.sleep(1)
                tcpdump.terminate()
            nginx.terminate()
    finally:
        run("ip", "netns", "del", SPACE)
    return capture


def mixed_capture(folder, source):
    """All Ethernet captures one after the other, times moved so that they never go back."""
    now, path = 1_700_000_000_000_000_000, folder / "mix.pcap"
    with path.open("wb") as out:
        out.write(GLOBAL_HEADER)
        for capture in sorted(source.rglob("*.pcap")):
            begin, last = None, 0
            for batch in read(capture):
                if batch.link_type != 1:
                    break
                for at, row in zip(batch.times.tolist(), batch.rows(), strict=True):
                    begin = at if begin is None else begin
                    last = max(last, min(at - begin, 60 * 10**9))
                    moment = now + last
                    out.write(
                        struct.pack("<IIII", moment // 10**9, moment % 10**9 // 1000, len(row), len(row))
                        + row
                    )
            now += last + 10**9
    return path


def pair(eve):
    ends = [(eve.get(f"{side}_ip", ""), eve.get(f"{side}_port", 0)) for side in ("src", "dest")]
    return eve["alert"]["signature_id"], tuple(sorted(map(str, ends)))


def suricata(capture, rules, folder):
    out = folder / f"suricata-{capture.stem}"
    out.mkdir(exist_ok=True)
    argv = [
        "suricata", "-c", "/etc/suricata/suricata.yaml", "--runmode", "single", "-k", "none", "-S", str(rules),
        "--set", "unix-command.enabled=no", "--set", "outputs.0.fast.enabled=no", "-l", str(out), "-r", str(capture),
        "--set", f"outputs.1.eve-log.filename={out}/eve.json", "--set", "outputs.1.eve-log.types.0.alert.tagged-packets=no",
    ]  # fmt: skip
    started = os.times()
    run(*argv)
    ended = os.times()
    seconds = ended.children_user + ended.children_system - started.children_user - started.children_system
    events = map(json.loads, (out / "eve.json").read_text().splitlines())
    return seconds, [event for event in events if event["event_type"] == "alert"]


def sentinel(capture, rules):
    started = time.process_time()
    alerts = [alert.to_eve() for alert in replay_network(capture, [rules])]
    return time.process_time() - started, alerts


def compare(capture, empty, rules, folder):
    sizes = [(len(batch), len(batch.data)) for batch in read(capture)]
    packets, size = sum(n for n, _ in sizes), sum(n for _, n in sizes) / 1e6
    print(f"\n{capture.stem}: {packets} packets, {size:.1f} MB")
    results = {}
    for name, measure in (
        ("suricata", lambda path: suricata(path, rules, folder)),
        ("sentinel", lambda path: sentinel(path, rules)),
    ):
        idle, _ = measure(empty)
        seconds, alerts = measure(capture)
        busy = max(seconds - idle, 1e-3)
        results[name] = {pair(each) for each in alerts}
        print(
            f"  {name:<9} load {idle:6.2f} s  run {busy:7.2f} s  {packets / busy:10.0f} packets/s  "
            f"{size / busy:8.1f} MB/s  {len(alerts)} alerts"
        )
    missing, extra = results["suricata"] - results["sentinel"], results["sentinel"] - results["suricata"]
    print(
        f"  (sid, flow) pairs: {len(results['suricata'] & results['sentinel'])} same, {len(missing)} missing, {len(extra)} extra"
    )
    for sid, ends in sorted(missing)[:10]:
        print(f"    missing {sid} {ends}")
    for sid, ends in sorted(extra)[:10]:
        print(f"    extra   {sid} {ends}")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--rules", type=Path, default=shipped.folder("rules") / "network", help="file or folder"
    )
    parser.add_argument("--pcaps", type=Path)
    parser.add_argument("--http", type=Path, help="an HTTP capture made before, instead of building one")
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--profile", action="store_true")
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
        captures += [mixed_capture(folder, given.pcaps)] if given.pcaps else []
        for capture in captures:
            compare(capture, empty, rules, folder)
            if given.profile:
                profiler = cProfile.Profile()
                profiler.runcall(sentinel, capture, rules)
                pstats.Stats(profiler).sort_stats("tottime").print_stats(25)


if __name__ == "__main__":
    main()
