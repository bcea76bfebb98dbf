"""What Sentinel costs while nothing happens: all components together, shipped rules loaded.

    python tests/bench/bench_idle.py [SECONDS]      a minute of nothing, then a minute with a request a second

Memory is summed over the processes of `sentinel run`. The sum of RSS counts a page that several of them share in each;
PSS counts it once, so its sum is what all components together take from the host. Limits: 350 MB by RSS, 2 % of one
core. 32 MB of the network component are its capture ring (network.ring_megabytes).
"""

import os
import sys
import tempfile
import time
from pathlib import Path

from sentinel.demo.lab import SHOP, Lab
from sentinel.demo.stage import Stage

LIMIT_MEGABYTES = 350
LIMIT_PERCENT = 2.0
SETTLE_SECONDS = 10  # compiled, cached, ready; first reports written
TICKS = os.sysconf("SC_CLK_TCK")
# a customer of the shop: the request is on the wire and its line in the access log
CUSTOMER = """
import sys, time, urllib.request
end = time.monotonic() + float(sys.argv[2])
while time.monotonic() < end:
    urllib.request.urlopen(f"http://{sys.argv[1]}/", timeout=5).read()
    time.sleep(1)
"""


def family(pid):
    """The process and all below it, with what they are."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    found = {pid: words[-2] if "--daemon" in words else "supervisor"}
    for child in children:
        found |= family(int(child))
    return found


def cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory(pid):
    """(RSS, PSS) in MB."""
    sizes = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, value, _ = line.split()
        sizes[name] = int(value) / 1000 * 1.024
    return sizes["Rss:"], sizes["Pss:"]


def measure(title, supervisor, seconds):
    processes = family(supervisor)
    before, began = {pid: cpu_seconds(pid) for pid in processes}, time.monotonic()
    time.sleep(seconds)
    wall = time.monotonic() - began
    print(f"\n{title}, {wall:.0f} s")
    print(f"  {'process':12} {'RSS MB':>8} {'PSS MB':>8} {'CPU %':>7}")
    total = [0.0, 0.0, 0.0]
    for pid, name in processes.items():
        row = (*memory(pid), 100 * (cpu_seconds(pid) - before[pid]) / wall)
        total = [a + b for a, b in zip(total, row, strict=True)]
        print(f"  {name:12} {row[0]:8.1f} {row[1]:8.1f} {row[2]:7.2f}")
    print(f"  {'together':12} {total[0]:8.1f} {total[1]:8.1f} {total[2]:7.2f}")
    return total


def main(seconds=60.0):
    with tempfile.TemporaryDirectory(prefix="sentinel-idle-") as folder, Lab() as lab:
        stage = Stage(lab, Path(folder))
        stage.config.write_text(
            stage.config.read_text().replace("[wan0, wan1]", "[wan1]")
        )  # as most hosts have
        stage.open_shop()
        supervisor = stage.start_sentinel()
        time.sleep(SETTLE_SECONDS)
        quiet = measure("nothing happens", supervisor.pid, seconds)
        customer = lab.customer.start(
            [sys.executable, "-c", CUSTOMER, SHOP, str(seconds + 5)], Path(folder) / "customer.log"
        )
        busy = measure("a request a second", supervisor.pid, seconds)
        customer.wait(30)
    rss, pss, percent = (max(pair) for pair in zip(quiet, busy, strict=True))
    print(f"\nRSS {rss:.0f} MB (limit {LIMIT_MEGABYTES}; sum of PSS {pss:.0f} MB), ", end="")
    print(f"CPU {percent:.2f} % of one core (limit {LIMIT_PERCENT})")
    return 0 if rss <= LIMIT_MEGABYTES and percent <= LIMIT_PERCENT else 1


if __name__ == "__main__":
    sys.exit(main(*map(float, sys.argv[1:])))
