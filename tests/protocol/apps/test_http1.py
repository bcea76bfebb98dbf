"""HTTP/1 as libhtp reads it: requests, responses, the oddities evaders use, events, files."""

import gzip
import lzma
import zlib

import pytest

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
PAGE = b"the page with the needle"


def answer(talk, response, request=GET, options=None):
    said = talk(options=options).client(request).server(response)
    return said.close()


def body(said, index=0):
    return said.value("http.response_body", 1, index)


# --- requests ------------------------------------------------------------------------------------------------------
def test_buffers_of_a_request(talk):
    said = talk().client(
        b"GET /a?b=%41 HTTP/1.1\r\nHost: Shop.Example:8080\r\nUser-Agent: curl\r\nCookie: k=v\r\nReferer: r\r\n"
        b"Accept: */*\r\nAccept-Encoding: gzip\r\nAccept-Language: de\r\nConnection: close\r\n\r\n"
    )
    wanted = {
        "http.method": b"GET", "http.uri": b"/a?b=A", "http.uri.raw": b"/a?b=%41", "http.protocol": b"HTTP/1.1",
        "http.request_line": b"GET /a?b=%41 HTTP/1.1", "http.host": b"shop.example",
        "http.host.raw": b"Shop.Example:8080", "http.user_agent": b"curl", "http.cookie": b"k=v",
        "http.referer": b"r", "http.accept": b"*/*", "http.accept_enc": b"gzip", "http.accept_lang": b"de",
        "http.connection": b"close",
        "http.header_names": b"\r\nHost\r\nUser-Agent\r\nCookie\r\nReferer\r\nAccept\r\nAccept-Encoding\r\n"
                             b"Accept-Language\r\nConnection\r\n\r\n",
    }  # fmt: skip
    for name, value in wanted.items():
        assert said.value(name) == value, name
    assert b"Cookie" not in said.value("http.header")
    assert b"User-Agent: curl\r\n" in said.value("http.header")
    assert said.value("http.header.raw").endswith(b"Connection: close\r\n\r\n")
    assert said.value("http.start").startswith(b"GET /a?b=%41 HTTP/1.1\r\nHost: Shop")
    assert b"Cookie: k=v" in said.value("http.request_header")
    assert said.value("http.stat_code", 1) is None


def test_progress_follows_the_message(talk):
    said = talk().client(b"POST / HTTP/1.1\r\n")
    pieces = (b"Host: a\r\nContent-Length: 4\r\n", b"\r\n", b"ab", b"cd")
    steps = [said.client(piece).transactions[0].progress[0] for piece in (b"", *pieces)]
    assert steps == [2, 2, 3, 3, 5]
    assert said.transactions[0].done == [True, False]


@pytest.mark.parametrize(
    ("headers", "name", "value"),
    [
        (b"X: a\r\n b\r\n", "http.header", b"X: a b\r\n"),
        (b"X: a\r\nX: b\r\n", "http.header", b"X: a, b\r\n"),
        (b"no colon here\r\n", "http.header", b": no colon here\r\n"),
        (b"X:a\n", "http.header", b"X: a\r\n"),
        (b"X : a\r\n", "http.header", b"X: a\r\n"),
    ],
)
def test_header_shapes(talk, headers, name, value):
    assert talk().client(b"GET / HTTP/1.0\r\n" + headers + b"\r\n").value(name) == value


@pytest.mark.parametrize(
    ("request_bytes", "event"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "missing_host_header"),
        (b"GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n", "host_header_ambiguous"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", "invalid_content_length_field_in_request"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
         "duplicate_content_length_field_in_request"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: other\r\n\r\n",
         "invalid_transfer_encoding_value_in_request"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "invalid_request_chunk_len"),
        (b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", "method_delim_non_compliant"),
        (b"GET / HTTP/1.1\r\n folded\r\nHost: a\r\n\r\n", "invalid_request_field_folding"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 20000 + b"\r\n\r\n", "request_field_too_long"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nnothing\r\n\r\n", "request_field_missing_colon"),
    ],
)  # fmt: skip
def test_request_events(talk, request_bytes, event):
    assert event in talk().client(request_bytes).flags


def test_chunked_request_body(talk):
    said = talk().client(
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"
    )
    assert said.value("http.request_body") == b"abcde"
    assert said.transactions[0].progress[0] == 5


def test_pipelined_requests_and_answers(talk):
    said = talk().client(b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % n for n in range(10)))
    said.server(b"".join(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d" % n for n in range(10)))
    assert [said.value("http.uri", 0, n) for n in range(10)] == [b"/%d" % n for n in range(10)]
    assert [body(said, n) for n in range(10)] == [b"%d" % n for n in range(10)]
    assert all(t.done == [True, True] for t in said.transactions)


def test_http_0_9(talk):
    said = talk().client(b"GET /old\r\n").server(b"just text, and more of it").close()
    assert said.value("http.uri") == b"/old"
    assert body(said) == b"just text, and more of it"


def test_ten_thousand_pipelined_requests_are_bounded(talk):
    said = talk()
    for _ in range(100):
        said.layer.feed(said.flow, True, GET * 100)
    assert len(said.flow.transactions) <= 512


# --- responses -----------------------------------------------------------------------------------------------------
def chunked(data, size=5):
    pieces = [data[i : i + size] for i in range(0, len(data), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in pieces) + b"0\r\n\r\n"


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
GZIP = b"HTTP/1.1 200 OK\r\nContent-Encoding: %b\r\nContent-Length: %d\r\n\r\n%b"


def coded(name, data):
    return GZIP % (name, len(data), data)


def raw_deflate(data):
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


def gzip_named(data):
    return b"\x1f\x8b\x08\x08\0\0\0\0\0\x03name\0" + raw_deflate(data) + bytes(8)


@pytest.mark.parametrize(
    "response",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 24\r\n\r\n" + PAGE,
        b"HTTP/1.1 200 OK\r\n\r\n" + PAGE,
        b"HTTP/1.1 200 OK\nContent-Length: 24\n\n" + PAGE,
        b"HTTP/1.1 200 OK\rContent-Length: 24\r\n\r\n" + PAGE,
        b"HTTP/1.1 200 OK\r\nContent-Length: 24\n\r\r\n\r\n" + PAGE,
        b"HTTP/1.1 200 OK\r\nContent-Length : 24\r\n\r\n" + PAGE,
        b"\r\nHTTP/1.1 200 OK\r\nContent-Length: 24\r\n\r\n" + PAGE,
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 24\r\n\r\n" + PAGE,
        b"HTTP/1.1 204 No Content\r\nContent-Length: 24\r\n\r\n" + PAGE,
        CHUNKED + chunked(PAGE),
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n" + chunked(PAGE),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding\x0b: chunked\r\n\r\n" + chunked(PAGE),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding:\r\n chunked\r\n\r\n" + chunked(PAGE),
        CHUNKED + b" 18 \r\n" + PAGE + b"junk\r\n0\r\n\r\n",
        CHUNKED + b"00018;a=b\r\n" + PAGE + b"\r\n0\r\n\r\n",
        CHUNKED + b"\r\n18\r\n" + PAGE + b"\r\n0\r\n\r\n",
        coded(b"gzip", gzip.compress(PAGE)),
        coded(b"x-gzip", gzip.compress(PAGE)),
        coded(b"gzip", gzip_named(PAGE)),
        coded(b"gzip", raw_deflate(PAGE)),
        coded(b"deflate", zlib.compress(PAGE)),
        coded(b"deflate", raw_deflate(PAGE)),
        coded(b"gzip", PAGE),
        coded(b"identity, gzip", gzip.compress(PAGE)),
        coded(b"gzip, gzip", gzip.compress(gzip.compress(PAGE))),
        coded(b"gzip", gzip.compress(PAGE)[:-4]),
        coded(b"other", PAGE),
    ],
)
def test_the_page_is_seen(talk, response):
    assert b"needle" in body(answer(talk, response))


def test_invalid_chunk_length_reads_to_the_end(talk):
    said = answer(talk, CHUNKED + b"zzzz\r\n" + PAGE)
    assert body(said) == b"zzzz\r\n" + PAGE
    assert "invalid_response_chunk_len" in said.flags


def test_too_many_layers(talk):
    packed = gzip.compress(gzip.compress(gzip.compress(PAGE)))
    said = answer(talk, coded(b"gzip, gzip, gzip", packed))
    assert "too_many_encoding_layers" in said.flags
    deeper = {"app-layer.protocols.http.libhtp.default-config.response-body-decompress-layer-limit": "3"}
    assert body(answer(talk, coded(b"gzip, gzip, gzip", packed), options=deeper)) == PAGE


def test_lzma_when_switched_on(talk):
    on = {"app-layer.protocols.http.libhtp.default-config.lzma-enabled": "yes"}
    packed = lzma.compress(PAGE, lzma.FORMAT_ALONE)
    assert body(answer(talk, coded(b"lzma", packed), options=on)) == PAGE
    assert body(answer(talk, coded(b"lzma", packed))) == packed


def test_a_bomb_stops(talk):
    said = answer(talk, coded(b"gzip, gzip", gzip.compress(gzip.compress(bytes(80_000_000), 9), 9)))
    assert "compression_bomb" in said.flags
    assert said.value("http.response_body_seen", 1) < 8_000_000


def test_bodies_are_cut_at_the_limit(talk):
    said = answer(talk, b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 300_000)
    assert len(body(said)) == 100 * 1024
    assert said.value("http.response_body_seen", 1) == 300_000


@pytest.mark.parametrize(
    ("response", "event"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "invalid_content_length_field_in_response"),
        (b"HTTP/3.9 200 OK\r\nServer: x\r\n\r\n", "response_invalid_protocol"),
        (b"HTTP/1.1 2x0 OK\r\n\r\n", "response_invalid_status"),
        (b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "response_chunked_old_proto"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: a chunked\r\n\r\n", "response_abnormal_transfer_encoding"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: multipart/byteranges\r\n\r\n", "response_multipart_byteranges"),
        (b"HTTP/1.1 100 x\r\n\r\nHTTP/1.1 100 x\r\n\r\n", "100_continue_already_seen"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nno gzip", "gzip_decompression_failed"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: agzipb\r\n\r\n", "abnormal_ce_header"),
    ],
)
def test_response_events(talk, response, event):
    assert event in answer(talk, response).flags


def test_an_answer_without_a_question(talk):
    said = answer(talk, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n")
    assert "unable_to_match_response_to_request" in said.flags
    assert said.value("http.uri", 0, 1) == b"/libhtp::request_uri_not_seen"


def test_head_has_no_body(talk):
    said = talk().client(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n" + GET)
    said.server(
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nHTTP/1.1 201 Made\r\nContent-Length: 2\r\n\r\nhi"
    )
    assert said.value("http.stat_code", 1, 1) == b"201"


def test_eve(talk):
    said = answer(talk, b"HTTP/1.1 200 OK\r\nContent-Type: text/html; x\r\nContent-Length: 2\r\n\r\nhi")
    assert said.eve() == {
        "http": {
            "hostname": "a", "url": "/", "http_content_type": "text/html", "http_method": "GET",
            "protocol": "HTTP/1.1", "status": 200, "length": 2,
        }
    }  # fmt: skip


# --- files ---------------------------------------------------------------------------------------------------------
def test_a_download_is_a_file(talk):
    said = answer(talk, b'HTTP/1.1 200 OK\r\nContent-Disposition: attachment; filename="a.exe"\r\n\r\nMZ')
    (file,) = said.transactions[0].files
    assert (file.name, file.direction, bytes(file.data), file.closed) == (b"a.exe", 1, b"MZ", True)


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_multipart_parts_are_files(talk, size):
    parts = (
        b'--cut\r\nContent-Disposition: form-data; name="x"\r\n\r\nplain\r\n'
        b'--cut\r\nContent-Disposition: form-data; name="f"; filename="1.jpg"\r\n\r\nfirst\r\n'
        b'--cut\r\nContent-Disposition: form-data; name="f"; filename="2.jpg"\r\n\r\nsecond\r\n--cut--\r\n'
    )
    head = b"POST /up HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary=cut\r\nContent-Length: %d\r\n\r\n"
    data = head % len(parts) + parts
    said = talk()
    for start in range(0, len(data), size):
        said.client(data[start : start + size])
    files = said.transactions[0].files
    assert [(f.name, bytes(f.data), f.closed) for f in files] == [
        (b"1.jpg", b"first", True),
        (b"2.jpg", b"second", True),
    ]
