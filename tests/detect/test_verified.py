"""Random rules over random traffic, held to what Suricata 7.0.10 said (recorded by tests/soak/differential)."""

import base64
import collections
import gzip
import json
import struct
from pathlib import Path

import pytest

from sentinel.pipeline import replay_network

RECORDED = sorted((Path(__file__).parent.parent / "scenarios" / "suricata").glob("*.json.gz"))
START = 1_700_000_000


def capture(path, frames):
    with path.open("wb") as out:
        out.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262_144, 1))
        for seconds, text in frames:
            frame = base64.b64decode(text)
            micro = round((START + seconds) * 1e6)
            out.write(struct.pack("<IIII", micro // 10**6, micro % 10**6, len(frame), len(frame)) + frame)


def flow(eve):
    ends = [(eve.get(f"{side}_ip", ""), eve.get(f"{side}_port") or 0) for side in ("src", "dest")]
    return " ".join(sorted(f"{address}/{port}" for address, port in ends))


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.name.split(".")[0])
def test_same_alerts_as_suricata(path, tmp_path):
    known = json.loads(gzip.decompress(path.read_bytes()))
    capture(tmp_path / "all.pcap", known["frames"])
    (tmp_path / "all.rules").write_text("\n".join(known["rules"]), "latin-1")
    settings = {"packet-alert-max": "255"}
    for name, value in known["settings"].items():
        settings[name] = value
        if name.endswith("-file"):
            (tmp_path / name).write_text(value)
            settings[name] = str(tmp_path / name)
    found = collections.Counter()
    for alert in replay_network(tmp_path / "all.pcap", [tmp_path / "all.rules"], settings):
        eve = alert.to_eve()
        found[eve["alert"]["signature_id"], flow(eve)] += 1
    wanted = {(sid, where): count for sid, where, count in known["expected"]}
    assert {key: found[key] for key in found.keys() | wanted if found[key] != wanted.get(key, 0)} == {}
    assert wanted
