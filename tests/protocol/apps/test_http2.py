"""HTTP/2 streams and frames."""

import gzip

import pytest


def start(talk, samples, *frames):
    said = talk(8443).client(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + samples.http2_frame(4, 0, 0))
    return said.client(b"".join(frames))


@pytest.mark.parametrize("size", [1, 10, 4096])
def test_a_stream(talk, samples, size):
    proto, port, messages = samples.CONVERSATIONS["http2"]
    said = talk(port, proto)
    for direction, data in messages:
        for begin in range(0, len(data), size):
            said.say(direction, data[begin : begin + size])
    stream = next(t for t in said.transactions if "http.uri" in t.buffers[0])
    request, response = stream.buffers
    assert (request["http.method"], request["http.uri"], request["http.host"]) == (
        b"GET",
        b"/a",
        b"shop.example",
    )
    assert request["http.host.raw"] == b"Shop.example"
    assert request["http.request_line"] == b"GET /a HTTP/2\r\n"
    assert (response["http.stat_code"], response["http.stat_msg"]) == (b"200", b"")
    assert response["http.response_line"] == b"HTTP/2 200\r\n"
    assert stream.derive(stream, 1, "http.response_body") == b"body"
    assert b":path: /a\r\n" in stream.derive(stream, 0, "http.header")
    assert stream.done == [True, True]
    assert stream.derive(stream, 0, "eve")["http"]["status"] == 200
    settings = [t for t in said.transactions if (3, 100) in t.buffers[0].get("http2.settings", [])]
    assert settings[0].buffers[0]["http2.frametype"] == [4]


def test_compressed_body_is_a_file(talk, samples):
    packed = gzip.compress(b"the file")
    said = start(
        talk, samples, samples.http2_frame(1, 5, 1, b"\x82\x86" + samples.literal(b":path", b"/f?x"))
    )
    said.server(
        samples.http2_frame(4, 0, 0)
        + samples.http2_frame(1, 4, 1, b"\x88" + samples.literal(b"content-encoding", b"gzip"))
        + samples.http2_frame(0, 1, 1, packed)
    )
    (file,) = said.transactions[1].files
    assert (file.name, bytes(file.data), file.closed) == (b"", b"the file", True)


def test_continuation(talk, samples):
    block = b"\x82\x86" + samples.literal(b":path", b"/long")
    said = start(
        talk, samples, samples.http2_frame(1, 1, 1, block[:5]), samples.http2_frame(9, 4, 1, block[5:])
    )
    assert said.transactions[1].buffers[0]["http.uri"] == b"/long"


@pytest.mark.parametrize(
    ("kind", "flags", "number", "payload", "event"),
    [
        (1, 5, 1, b"\xff\xff\xff\xff\xff\xff", "invalid_header"),
        (0, 0, 0, b"x", "data_stream_zero"),
        (4, 0, 0, b"12345", "invalid_frame_data"),
        (1, 5, 1, b"\0\x0a:authority\1a\0\4host\1b", "authority_host_mismatch"),
        (99, 0, 0, b"", "invalid_frame_header"),
    ],
)
def test_events(talk, samples, kind, flags, number, payload, event):
    assert event in start(talk, samples, samples.http2_frame(kind, flags, number, payload)).flags


def test_values(talk, samples):
    said = start(
        talk, samples, samples.http2_frame(8, 0, 0, b"\0\0\1\0"), samples.http2_frame(2, 0, 3, b"\0\0\0\0\xff"),
        samples.http2_frame(3, 0, 3, b"\0\0\0\x08"), samples.http2_frame(7, 0, 0, bytes(7) + b"\x02"),
    )  # fmt: skip
    merged = {name: value for t in said.transactions for name, value in t.buffers[0].items()}
    assert (merged["http2.window"], merged["http2.priority"]) == ([256], [255])
    assert [t.buffers[0].get("http2.errorcode") for t in said.transactions][-2:] == [[8], [2]]


def test_streams_are_bounded(talk, samples):
    said = talk(8443).client(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + samples.http2_frame(4, 0, 0))
    said.layer.feed(
        said.flow, True, b"".join(samples.http2_frame(1, 4, n, b"\x82") for n in range(1, 12001, 2))
    )
    assert len(said.flow.app_state.parser.streams) <= 4096
