"""Cheap framing: right, or it says that it cannot tell."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.detect.framing import spans, unescaped

GET = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /a HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@given(st.lists(st.sampled_from([GET, POST]), max_size=5), st.integers(0, len(POST) - 1))
def test_whole_messages_and_the_rest(requests, cut):
    data = b"".join(requests)
    found = spans(data + POST[:cut], request=True)
    assert found is not None
    assert [data[a:b] for a, b in found[0]] == requests
    assert found[1] == len(data)


@pytest.mark.parametrize(
    "data",
    [
        b"GET //a HTTP/1.1\r\n\r\n",
        b"GET /a/../b HTTP/1.1\r\n\r\n",
        b"GET /%2525 HTTP/1.1\r\n\r\n",
        b"GET /a\\b HTTP/1.1\r\n\r\n",
        b"get /a HTTP/1.1\r\n\r\n",
        b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST /a HTTP/1.1\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nbody",
        b"POST /a HTTP/1.1\r\nContent-Length : 4\r\n\r\nbody",
        b"GET /a HTTP/1.1\r\nA: b\r\n folded\r\n\r\n",
        b"GET /a HTTP/1.1\nHost: x\n\r\n\r\n",
        POST + b"more",
        b"HEAD /a HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
def test_what_needs_the_parser(data):
    assert spans(data, request=True) is None


def test_answers():
    assert spans(OK + b"HTTP/1.1 304 Not Modified\r\n\r\n" + OK[:-1], request=False)[1] == len(OK) + 29
    assert spans(OK + b"HTTP/1.1 200 OK\r\n\r\nuntil close", request=False) == ([(0, len(OK))], len(OK))
    assert spans(b"HTTP/1.1 200 OK\r\n\r\nuntil close" + OK, request=False) is None
    assert spans(CHUNKED + CHUNKED[:-3], request=False) == ([(0, len(CHUNKED))], len(CHUNKED))
    assert spans(CHUNKED.replace(b"\r\n\r\n", b"\r\nContent-Length: 2\r\n\r\n", 1), request=False) is None
    assert spans(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n" + OK, request=False) is None
    assert unescaped(b"%2fa%zz") == b"/a%zz"
