"""Family: HTTP/1 messages with one thing odd about each, under every http event.

Not random but for the order: each session is one variant of a request or of an answer.
"""

from differential.traffic import Session

EVENTS = ["abnormal_ce_header", "", "double_encoded_uri", "duplicate_content_length_field_in_request", "duplicate_content_length_field_in_response", "gzip_decompression_failed", "host_header_ambiguous", "invalid_content_length_field_in_request", "invalid_content_length_field_in_response", "invalid_request_chunk_len", "invalid_request_field_folding", "invalid_response_chunk_len", "invalid_response_field_folding", "invalid_transfer_encoding_value_in_request", "method_delim_non_compliant", "missing_host_header", "multipart_invalid_header", "range_invalid", "request_auth_unrecognized", "request_body_unexpected", "request_chunk_extension", "request_field_missing_colon", "request_header_host_invalid", "request_header_invalid", "request_header_repetition", "request_line_invalid", "request_line_leading_whitespace", "request_too_many_headers", "request_uri_host_invalid", "response_abnormal_transfer_encoding", "", "", "response_chunked_old_proto", "response_field_missing_colon", "response_header_invalid", "response_header_repetition", "response_invalid_protocol", "response_invalid_status", "response_multipart_byteranges", "", "too_many_encoding_layers", "unable_to_match_response_to_request", "uri_delim_non_compliant", "100_continue_already_seen"]  # fmt: skip
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
HOST = b"Host: a.b\r\n"
HOSTS = (
    b"a b", b"a_b", b"a..b", b".a", b"-a", b"a:80", b"a:81", b"a:x", b"a:99999", b"a:0", b"", b"[::1]", b"[::1",
    b"[::1]:80", b"a,b", b"a/b", b"a@b", b"x" * 64 + b".com", b"a.b.", b"a%20b", b"\xc3\xa9.com", b"a:80:90", b"*",
    b"a;b", b"1.2.3.4", b"a:", b'"a"', b"x" * 256, (b"x" * 60 + b".") * 5,
)  # fmt: skip
TARGETS = (
    b"http://a b/", b"http://a_b/", b"http://a:80/", b"http://a:x/", b"http://a:99999/", b"http://[::1]/",
    b"http://a..b/x", b"http:///x", b"http://a%00b/", b"http://u:p@a/", b"http://a.b/", b"http://a.b:81/", b"//x/y",
    b"/%2541",
)  # fmt: skip
TUNNELS = (b"a.b:443", b"a.b", b"a b:443", b"a.b:x", b":443", b"a_b:443", b"[::1]:443", b"/x")
AUTHORIZATIONS = (
    b"Basic dXNlcjpwYXNz", b"Basic !!!", b"Basic", b'Digest username="x", realm="y"', b"Bearer abc", b"foo bar", b"",
    b"basic dXNlcjpwYXNz",
)  # fmt: skip
LINES = (
    b"FOO", b"FOO /x", b"FOO /x BAR", b"FOO /x HTTP/1.1", b"GET", b"GET /x", b"GET /x BAR", b"GET /x HTTP/9.9",
    b" GET /x HTTP/1.1", b"GET\t/x\tHTTP/1.1", b"GET  /x  HTTP/1.1", b"GET /a b HTTP/1.1", b"get /x HTTP/1.1",
    b"GET /x http/1.1", b"GET /x HTTP/2.0", b"GET /x HTTP/0.9", b"\0GET /x HTTP/1.1", b"GET \x0b/x HTTP/1.1",
)  # fmt: skip
FIELDS = (
    b"NoColon", b": empty", b"A b: c", b"A\0b: c", b" fold: x", b"X: a\r\n b", b"X:", b"X : a", b"X: a\nY: b",
    b"Content-Length: x", b"Content-Length: -1", b"Content-Length: 2\r\nContent-Length: 3", b"Content-Length: 2, 3",
    b"Content-Length: 2\r\nContent-Length: 2", b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked, gzip",
    b"Transfer-Encoding: xchunked", b"Host: a.c", b"Host: a.b", b"Expect: 100-continue", b"\xff: x", b"(a): x",
    b"\r\n".join([b"X: y"] * 70),
)  # fmt: skip
CHUNKS = (
    b"2\r\nab\r\n0\r\n\r\n", b"2;ext=1\r\nab\r\n0\r\n\r\n", b"x\r\nab\r\n0\r\n\r\n", b"-2\r\nab\r\n0\r\n\r\n",
    b" 2 \r\nab\r\n0\r\n\r\n", b"0\r\nTr: x\r\n\r\n", b"fffffffff\r\nab", b"2\r\nabc\r\n0\r\n\r\n",
    b"\r\n2\r\nab\r\n0\r\n\r\n",
)  # fmt: skip
PART = b'--b\r\nContent-Disposition: form-data; name="f"; filename="x.txt"\r\nContent-Type: text/plain\r\n\r\ndata\r\n'
FORMS = (
    PART + b"--b--\r\n", PART.replace(b"-Disposition", b"-Dispo"), b"--b\r\n\r\n--b--\r\n", b"junk", b"--b--\r\n",
    b"--b\r\nnocolon\r\n\r\nd\r\n--b--\r\n", PART, PART.replace(b'; filename="x.txt"', b"") + b"--b--\r\n",
    b"--b\r\nempty:\r\n\r\nd\r\n--b--\r\n",
)  # fmt: skip
RANGES = (
    b"bytes 0-1/10", b"bytes x-y/z", b"bytes 5-1/10", b"bytes 0-20/10", b"bytes */10", b"items 0-1/10", b"bytes 0-9/10",
    b"bytes 3-4/*",
)  # fmt: skip
ANSWERS = (
    b"HTTP/1.1 200\r\n\r\n", b"HTTP/1.1 999 X\r\n\r\n", b"HTTP/1.1 xx X\r\n\r\n", b"HTTP/9.1 200 OK\r\n\r\n",
    b"FOO 200 OK\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n" * 2 + ANSWER, ANSWER + ANSWER,
    b"HTTP/1.1 204 No\r\n\r\nbody",
)  # fmt: skip
ANSWER_FIELDS = (
    b"Content-Length: x", b"Content-Length: 2\r\nContent-Length: 3", b"Transfer-Encoding: chunked\r\n\r\nzz",
    b"Transfer-Encoding: xchunked\r\n\r\n2\r\nok\r\n0\r\n", b"Transfer-Encoding: chunked\r\n\r\n2;e=1\r\nok\r\n0\r\n",
    b"Content-Encoding: foo\r\nContent-Length: 2", b"Content-Encoding: gzip\r\nContent-Length: 2",
    b"Content-Encoding: gzip, gzip, gzip, gzip\r\nContent-Length: 2", b"NoColon", b"A b: c", b" fold: c",
    b"X: a\r\n b\r\nContent-Length: 0", b"\r\n".join([b"X: y"] * 70) + b"\r\nContent-Length: 0",
    b"Content-Type: multipart/byteranges; boundary=x", b"Content-Encoding: x-gzip\r\nContent-Length: 2",
    b"Content-Encoding: deflate;q=1\r\nContent-Length: 2",
)  # fmt: skip


def variants():
    """(request, answer)"""
    for host in HOSTS:
        yield b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n", ANSWER
    for target in TARGETS:
        yield b"GET " + target + b" HTTP/1.1\r\n" + HOST + b"\r\n", ANSWER
    for target in TUNNELS:
        yield b"CONNECT " + target + b" HTTP/1.1\r\n" + HOST + b"\r\n", ANSWER
    for value in AUTHORIZATIONS:
        yield b"GET / HTTP/1.1\r\n" + HOST + b"Authorization: " + value + b"\r\n\r\n", ANSWER
    for line in LINES:
        yield line + b"\r\n" + HOST + b"\r\n", ANSWER
    for field in FIELDS:
        yield b"POST / HTTP/1.1\r\n" + HOST + field + b"\r\n\r\nab", ANSWER
    for chunks in CHUNKS:
        yield b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n" + chunks, ANSWER
    for form in FORMS:
        kind = b"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: " + str(len(form)).encode()
        yield b"POST / HTTP/1.1\r\n" + HOST + kind + b"\r\n\r\n" + form, ANSWER
    plain = b"GET /page HTTP/1.1\r\n" + HOST + b"\r\n"
    for place in RANGES:
        yield plain, ANSWER.replace(b"200 OK", b"206 Part\r\nContent-Range: " + place)
    for answer in ANSWERS:
        yield plain, answer
    for field in ANSWER_FIELDS:
        yield plain, b"HTTP/1.1 200 OK\r\n" + field + b"\r\n\r\nok"
    yield plain, ANSWER.replace(b"200 OK", b"101 Switching\r\nUpgrade: websocket")


def rules(rng, first_sid, count):
    for i, event in enumerate(EVENTS):
        yield f"alert http any any -> any any (app-layer-event:http.{event}; sid:{first_sid + i};)"
    one = "app-layer-event:applayer_detect_protocol_only_one_direction"
    yield f"alert ip any any -> any any ({one}; sid:{first_sid + len(EVENTS)};)"


def sessions(rng, count):
    out = []
    wanted = list(variants())
    rng.shuffle(wanted)
    for i, (request, answer) in enumerate(wanted):
        client = f"10.6.{i // 200}.{i % 200 + 1}"
        session = Session(rng, client, "192.168.6.10", 20000 + i, 80, ending="fin")
        session.frames.label = f"{client} {request[:40]!r} {answer[:60]!r}"
        out.append(session.run([(True, request), (False, answer)]))
    return out
