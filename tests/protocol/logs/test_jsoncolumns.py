"""Objects with the same keys read together give what each gives alone."""

from __future__ import annotations

import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sentinel.model import Batch
from sentinel.protocol.logs import jsoncolumns, jsonlog
from sentinel.protocol.logs.clock import Clock
from sentinel.protocol.logs.lines import Lines, records

CELLS = {
    "time": ["2026-03-02T08:00:00+01:00", 1772438400, 1772438400.5, "-", None],
    "remote_addr": ["192.0.2.7", "::ffff:192.0.2.7", "198.51.100.9, 192.0.2.7", "[2001:db8::1]:443", "unix:", "-", None],
    "remote_port": ["4711", 4711],
    "request": ["GET /a?b=c HTTP/1.1", "POST /x", "-", "", "\x16\x03"],
    "request_method": ["GET", "POST", "-"],
    "request_uri": ["/", "/p?id=1", "/%e4", "/\udce4", "/\u4e2d", None],
    "args": ["", "x=1"],
    "uri": ["/"],
    "status": [200, "404", 0, "-"],
    "server_protocol": ["HTTP/1.1", "HTTP/2.0", "x"],
    "http_user_agent": ["Mozilla", "-", "", None],
    "upstream": [True, 0.25, None],
    "message": ["Failed password for root from 192.0.2.9 port 1 ssh2", ""],
    "event": ["login_failed", "x"],
    "nested": [{"host": "shop.example"}, [1, 2]],
    "ClientHost": ["192.0.2.1"],
    "Status": [500],
}  # fmt: skip


@st.composite
def logs(draw):
    """Lines of a few sets of keys, as programs write them, and some that are none."""
    shapes = draw(
        st.lists(st.lists(st.sampled_from(sorted(CELLS)), min_size=1, unique=True), min_size=1, max_size=2)
    )
    lines = []
    for keys in draw(st.lists(st.sampled_from(shapes), min_size=1, max_size=40)):
        value = {key: draw(st.sampled_from(CELLS[key])) for key in keys}
        text = json.dumps(value, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogateescape")
        lines.append(
            draw(
                st.sampled_from([text] * 12 + [b"", b"{", text + b" x", b"2026-03-02T08:00:00Z host " + text])
            )
        )
    return lines


def alone(lines):
    clock = Clock()
    return records([jsonlog._row(line, clock) for line in lines])


@given(logs())
def test_columns_are_what_each_line_says(lines):
    data = b"".join(line + b"\n" for line in lines)
    offsets = np.cumsum([0, *(len(line) + 1 for line in lines)], dtype=np.int64)
    table = jsonlog.read(Lines.of(Batch(data, offsets, "x")), Clock())
    expected = alone(lines)
    assert table.parsed.tolist() == expected.parsed.tolist()
    assert table.times.tolist() == expected.times.tolist()
    assert set(table.names()) == set(expected.names())
    for name in expected.names():
        assert table.column(name).values() == expected.column(name).values(), name


def test_a_web_server_s_lines_make_one_group():
    lines = [
        json.dumps({"time": 1772438400 + n, "remote_addr": f"192.0.2.{n}", "request_method": "GET", "request_uri": "/", "status": 200}).encode()
        for n in range(jsoncolumns.FEWEST)
    ]  # fmt: skip
    data = b"\n".join(lines)
    offsets = np.cumsum([0, *(len(line) + 1 for line in lines[:-1]), len(lines[-1])], dtype=np.int64)
    table = jsonlog.read(Lines.of(Batch(data, offsets, "x")), Clock())
    assert [group.rows for group in table.groups] == [list(range(jsoncolumns.FEWEST))]
    assert table.single == {}
