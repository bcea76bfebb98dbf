"""Both engines on one capture and one rule file; what differs.

In: frames with times, rule texts, settings by Suricata's names. Out: per (sid, flow) how often each engine alerted,
and which rules only one of them would load.
"""

import collections
import ipaddress
import json
import logging
import re
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

from sentinel.detect.load import load
from sentinel.detect.settings import DetectSettings
from sentinel.pipeline import replay_network

START = 1_700_000_000_000_000_000
GLOBAL_HEADER = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262_144, 1)
DEFAULTS = {"packet-alert-max": "255"}
_REFUSED = re.compile(r"^.*error parsing signature .* at line (\d+)\s*$", re.MULTILINE)


def write_capture(path, frames):
    """`frames`: (seconds since the start, Ethernet frame)."""
    with path.open("wb") as out:
        out.write(GLOBAL_HEADER)
        for seconds, frame in frames:
            moment = START + int(seconds * 1e9)
            out.write(
                struct.pack("<IIII", moment // 10**9, moment % 10**9 // 1000, len(frame), len(frame)) + frame
            )


def flow_key(eve):
    ends = [(eve.get(f"{side}_ip"), eve.get(f"{side}_port") or 0) for side in ("src", "dest")]
    return " ".join(sorted(f"{ipaddress.ip_address(host) if host else ''}/{port}" for host, port in ends))


def tally(events):
    counted = collections.Counter()
    for event in events:
        counted[event["alert"]["signature_id"], flow_key(event)] += 1
    return counted


def suricata(capture, rules, settings, folder):
    out = folder / "suricata"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    checksum = "none" if settings.get("checksum-validation", "none") == "none" else "all"
    argv = [
        "suricata", "-c", "/etc/suricata/suricata.yaml", "--runmode", "single", "-k", checksum, "-S", str(rules),
        "--set", "unix-command.enabled=no", "--set", "outputs.0.fast.enabled=no", "-l", str(out), "-r", str(capture),
        "--set", f"outputs.1.eve-log.filename={out}/eve.json",
        "--set", "outputs.1.eve-log.types.0.alert.tagged-packets=no",
    ]  # fmt: skip
    for name, value in settings.items():
        if name != "checksum-validation":
            argv += ["--set", f"{name}={value}"]
    done = subprocess.run(argv, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"suricata failed: {done.stderr[-2000:]}")
    log = done.stdout + done.stderr
    refused = {int(line) for line in _REFUSED.findall(log)}
    reasons = [line for line in log.splitlines() if line.startswith(("Error", "E:"))]
    events = map(json.loads, (out / "eve.json").read_text().splitlines())
    return tally(event for event in events if event["event_type"] == "alert"), refused, reasons


def sentinel(capture, rules, settings):
    logging.disable(logging.CRITICAL)
    events = (alert.to_eve() for alert in replay_network(capture, [rules], settings))
    counted = tally(event for event in events if event["alert"]["source"] == "network")
    variables = DetectSettings().variables()
    variables |= {
        name.rsplit(".", 1)[1]: value for name, value in settings.items() if name.startswith("vars.")
    }
    failed = load([rules], variables).failed
    return counted, {failure.line: failure.reason for failure in failed}


class Comparison:
    """What one run of both engines found."""

    def __init__(self, frames, rules, settings=None, keep=None, labels=()):
        settings = DEFAULTS | (settings or {})
        with tempfile.TemporaryDirectory(prefix="sentinel-differential-") as name:
            folder = Path(keep or name)
            folder.mkdir(exist_ok=True, parents=True)
            folder.chmod(0o755)
            capture, file = folder / "all.pcap", folder / "all.rules"
            if isinstance(frames, Path):
                capture = frames
            else:
                write_capture(capture, frames)
            file.write_text("\n".join(rules) + "\n", "latin-1")
            self.theirs, self.refused, self.reasons = suricata(capture, file, settings, folder)
            self.ours, self.failed = sentinel(capture, file, settings)
        self.rules = rules
        self.labels = labels
        self.by_sid = {sid_of(rule): rule for rule in rules if "sid:" in rule}

    @property
    def one_sided(self):
        """Rules that only one engine loads."""
        return {sid_of(self.rules[line - 1]) for line in self.refused ^ self.failed.keys()}

    @property
    def differing(self):
        keys = {key for key in self.theirs.keys() | self.ours.keys() if self.theirs[key] != self.ours[key]}
        return sorted(key for key in keys if key[0] not in self.one_sided)

    @property
    def loading(self):
        """(rule, reason of ours or None) for each rule that only one engine loads."""
        return [
            (self.rules[line - 1], self.failed.get(line))
            for line in sorted(self.refused ^ self.failed.keys())
        ]

    def report(self, limit=20, out=sys.stdout):
        print(
            f"{len(self.rules)} rules, {sum(self.theirs.values())} alerts of Suricata, {sum(self.ours.values())} ours, "
            f"{len(self.differing)} (sid, flow) differ, {len(self.loading)} rules load in one engine only",
            file=out,
        )
        for rule, reason in self.loading[:limit]:
            print(f"  loads only in {'Suricata: ' + reason if reason else 'Sentinel'}\n    {rule}", file=out)
        flows = collections.defaultdict(list)
        for sid, flow in self.differing:
            flows[flow].append(sid)
        for flow, sids in list(flows.items())[:limit]:
            label = next((each for each in self.labels if f"{each.split()[0]}/" in flow), "")
            print(f"  {flow} {label}: {len(sids)} sids", file=out)
            for sid in sids[:3]:
                print(
                    f"    Suricata {self.theirs[sid, flow]}, Sentinel {self.ours[sid, flow]}: {self.by_sid.get(sid)}",
                    file=out,
                )


def sid_of(rule):
    found = re.search(r"sid:\s*(\d+)", rule)
    return int(found[1]) if found else 0
