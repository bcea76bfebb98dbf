"""Capture files: both byte orders and resolutions, pcapng, and damage that ends the reading but never crashes."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel.capture.pcap import read
from sentinel.errors import SentinelError

FRAMES = [bytes([number]) * (60 + number) for number in range(5)]


def pcap(frames=FRAMES, order="<", magic=0xA1B2C3D4, link_type=1):
    records = [
        struct.pack(order + "IIII", 1000 + n, 5 + n, len(frame), len(frame) + 7) + frame
        for n, frame in enumerate(frames)
    ]
    return struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 65535, link_type) + b"".join(records)


def block(order, kind, body):
    body += b"\0" * (-len(body) % 4)
    size = struct.pack(order + "I", len(body) + 12)
    return struct.pack(order + "I", kind) + size + body + size


def pcapng(order="<", link_type=1, options=b""):
    section = block(order, 0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1))
    interface = block(order, 1, struct.pack(order + "HHI", link_type, 0, 0) + options)
    packets = b"".join(
        block(order, 6, struct.pack(order + "IIIII", 0, 0, 1_000_000 + n, len(f), len(f)) + f)
        for n, f in enumerate(FRAMES)
    )
    return section + interface + block(order, 5, b"unknown blocks are skipped") + packets


def rows(path, **options):
    capture = read(path, **options)
    return [row for batch in capture for row in batch.rows()], capture


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(("magic", "unit"), [(0xA1B2C3D4, 1000), (0xA1B23C4D, 1)])
def test_classic(tmp_path, order, magic, unit):
    path = tmp_path / "x.pcap"
    path.write_bytes(pcap(order=order, magic=magic))
    (batch,) = read(path)
    assert list(batch.rows()) == FRAMES
    assert batch.times.tolist() == [(1000 + n) * 10**9 + (5 + n) * unit for n in range(5)]
    assert batch.original.tolist() == [len(frame) + 7 for frame in FRAMES]
    assert (batch.link_type, batch.first) == (1, 1)


def test_batches_are_numbered(tmp_path):
    path = tmp_path / "x.pcap"
    path.write_bytes(pcap())
    assert [(batch.first, len(batch)) for batch in read(path, rows=2)] == [(1, 2), (3, 2), (5, 1)]


@pytest.mark.parametrize("order", "<>")
def test_pcapng(tmp_path, order):
    path = tmp_path / "x.pcapng"
    path.write_bytes(pcapng(order))
    found, capture = rows(path, rows=2)
    assert found == FRAMES
    assert not capture.damage


def test_pcapng_time_resolution(tmp_path):
    path = tmp_path / "x.pcapng"
    path.write_bytes(pcapng(options=struct.pack("<HHB3xHH", 9, 1, 9, 0, 0)))
    (batch,) = read(path)
    assert batch.times[0] == 1_000_000


@pytest.mark.parametrize(("number", "kind"), [(12, 101), (228, 101), (229, 101), (108, 0), (276, 276)])
def test_link_types_under_one_name(tmp_path, number, kind):
    path = tmp_path / "x.pcap"
    path.write_bytes(pcap(link_type=number))
    assert [batch.link_type for batch in read(path)] == [kind]


def test_not_a_capture(tmp_path):
    path = tmp_path / "x.pcap"
    path.write_bytes(b"GET / HTTP/1.1\r\n")
    with pytest.raises(SentinelError, match="not a capture file"):
        list(read(path))
    with pytest.raises(SentinelError, match="No such file"):
        list(read(tmp_path / "none"))
    path.write_bytes(pcap(link_type=147))
    with pytest.raises(SentinelError, match="link type 147"):
        list(read(path))


@pytest.mark.parametrize("cut", [1, 20, 61, 79])
def test_torn_file_gives_what_is_whole(tmp_path, cut):
    path = tmp_path / "x.pcap"
    path.write_bytes(pcap()[:-cut])
    found, capture = rows(path)
    assert found == FRAMES[:-1]
    assert "cut off" in capture.damage


def test_impossible_length_stops(tmp_path):
    path = tmp_path / "x.pcap"
    path.write_bytes(pcap(FRAMES[:2]) + struct.pack("<IIII", 0, 0, 1 << 30, 1 << 30) + b"x" * 100)
    found, capture = rows(path)
    assert found == FRAMES[:2]
    assert "packet 3 claims" in capture.damage


@settings(max_examples=150)
@given(st.sampled_from([pcap(), pcapng(), pcapng(">")]), st.data())
def test_damage_never_crashes(tmp_path_factory, whole, data):
    content = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("fuzz") / "x"
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        found, _ = rows(path)
    except SentinelError:
        return
    assert all(len(row) <= len(content) for row in found)
