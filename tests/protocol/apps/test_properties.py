"""What holds for every parser: no bytes make it raise, memory is bounded, segmentation does not matter."""

import copy

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sentinel.protocol.apps.parsers import PARSERS
from sentinel.protocol.apps.session import MAX_FILE_BYTES, MAX_LIVE

ON = {"app-layer.protocols.pgsql.enabled": "yes", "app-layer.protocols.dnp3.enabled": "yes"}
DATAGRAMS = {"dns", "sip", "snmp", "krb5", "dhcp", "tftp", "ntp", "ike", "quic"}
RELAXED = settings(max_examples=40, suppress_health_check=list(HealthCheck))
PIECES = st.lists(
    st.tuples(st.integers(0, 1), st.binary(max_size=200), st.sampled_from([0, 0, 0, 5])), max_size=12
)


def force(talk, name, proto):
    """A flow whose protocol is settled, so that bytes reach the parser at once."""
    said = talk(40001, proto, ON)
    said.layer._found(said.layer._session(said.flow, 0), 0, name)
    said.flow.app_state.detected = [name, name]
    return said


def snapshot(said):
    """All that rules could see of a flow's transactions."""
    seen = []
    for t in said.transactions:
        derived = [
            t.derive(t, direction, name)
            for name in ("http.header", "http.response_body", "http.request_body", "eve")
            for direction in (0, 1)
        ] if t.derive else []  # fmt: skip
        files = [(f.name, f.direction, bytes(f.data), f.size, f.closed, f.truncated) for f in t.files]
        seen.append(
            copy.deepcopy((t.protocol, t.buffers, t.progress, t.done, sorted(t.events), derived, files))
        )
    return seen


def check_bounds(said):
    assert len(said.flow.transactions) <= MAX_LIVE
    for t in said.flow.transactions:
        assert all(len(file.data) <= MAX_FILE_BYTES for file in t.files)
        assert len(t.events) <= 64


@pytest.mark.parametrize("name", sorted(PARSERS))
def test_any_bytes(talk, name):
    @RELAXED
    @given(PIECES)
    def check(pieces):
        said = force(talk, name, 17 if name in DATAGRAMS else 6)
        for direction, data, gap in pieces:
            said.say(direction, data, **({"gap": gap} if said.flow.proto == 6 else {}))
        if said.flow.proto == 6:
            said.close()
        snapshot(said)
        check_bounds(said)

    check()


@pytest.mark.parametrize(
    "name", ["http", "tls", "dns-tcp", "ssh", "smtp", "ftp", "http2", "mqtt", "smb", "rfb", "pgsql"]
)
def test_damaged_conversations(talk, samples, name):
    """Bytes changed, dropped or repeated in a valid conversation."""
    proto, port, messages = samples.CONVERSATIONS[name]

    @RELAXED
    @given(st.integers(0, len(messages) - 1), st.integers(0, 400), st.binary(max_size=4), st.integers(0, 3))
    def check(which, where, put, drop):
        said = talk(port, proto, ON)
        direction, data = messages[which]
        place = where % (len(data) + 1)
        said.play(messages[:which]).say(direction, data[:place] + put + data[place + drop :])
        said.play(messages[which + 1 :])
        said.close()
        snapshot(said)
        check_bounds(said)

    check()


@pytest.mark.parametrize(
    "name", ["http", "tls", "dns-tcp", "ssh", "smtp", "ftp", "http2", "mqtt", "smb", "rfb", "pgsql"]
)
def test_segmentation_does_not_matter(talk, samples, name):
    proto, port, messages = samples.CONVERSATIONS[name]
    whole = snapshot(talk(port, proto, ON).play(messages).close())

    @RELAXED
    @given(st.lists(st.integers(1, 60), min_size=1, max_size=30))
    def check(sizes):
        said = talk(port, proto, ON)
        turn = 0
        for direction, data in messages:
            start = 0
            while start < len(data):
                size = sizes[turn % len(sizes)]
                turn += 1
                said.say(direction, data[start : start + size])
                start += size
        assert snapshot(said.close()) == whole

    check()


@RELAXED
@given(
    st.lists(st.tuples(st.integers(0, 1), st.binary(max_size=100)), max_size=10),
    st.sampled_from([80, 25, 53, 443, 9]),
)
def test_recognition_of_any_bytes(talk, pieces, port):
    said = talk(port)
    for direction, data in pieces:
        said.say(direction, data)
    said.close()
    assert all(len(pending) <= 8192 for pending in said.flow.app_state.pending)
