"""Family: HTTP/1 conversations, plain and odd, under every http.* buffer, their legacy modifiers and transforms."""

import gzip
import zlib

from differential import matches
from differential.traffic import Session

PATHS = [b"/", b"/index.php", b"/a/b/../c", b"/a//b", b"/%61dmin/login.php", b"/x%2fy", b"/a%00b", b"/shop?id=1&q=abc%20def",
         b"/cgi-bin/test.cgi?cmd=id;ls", b"http://www.shop.example/full/uri?x=1", b"/a\\b", b"/%u0041bc", b"/a+b?c+d", b"/./x/./y",
         b"/login?user=admin&pass=secret", b"/wp-login.php", b"/a/b/c/../../d?x=../y", b"/q?a=%2e%2e%2f", b"*", b"/UPPER/Case.ASPX", b"/a%2", b"/a%zz",
         b"/p;v=1/file.jpg", b"//double/slash", b"/a%20b"]  # fmt: skip
METHODS = [b"GET"] * 8 + [b"POST"] * 5 + [b"HEAD", b"PUT", b"DELETE", b"OPTIONS", b"get", b"FOO", b"PROPFIND"]
HOSTS = [
    b"www.shop.example",
    b"WWW.Shop.Example",
    b"shop.example:8080",
    b"10.0.0.1",
    b"evil.example.",
    b" spaced.example ",
    b"[::1]",
]
AGENTS = [b"Mozilla/5.0 (X11; Linux)", b"curl/7.88.1", b"sqlmap/1.7", b"", b"Wget"]
HEADERS = [
    (b"Accept", b"*/*"), (b"Accept", b"text/html,application/json"), (b"Accept-Language", b"en-US,en;q=0.5"),
    (b"Accept-Encoding", b"gzip, deflate"), (b"Referer", b"http://www.shop.example/list?page=2"), (b"Cookie", b"sid=abc123; lang=en"),
    (b"Connection", b"keep-alive"), (b"Connection", b"close"), (b"X-Forwarded-For", b"1.2.3.4"), (b"X-Test", b"one"), (b"X-Test", b"two"),
    (b"Content-Type", b"application/json"), (b"Content-Type", b"application/x-www-form-urlencoded"), (b"Authorization", b"Basic dXNlcjpwYXNz"),
    (b"x-lower", b"abc"), (b"Pragma", b"no-cache"), (b"X-Fold", b"first\r\n second"), (b"X-Empty", b""), (b"X Space", b"v"), (b"Cookie", b"second=2"),
]  # fmt: skip
ANSWER_HEADERS = [
    (b"Server", b"nginx/1.22.1"), (b"Server", b"Apache"), (b"Content-Type", b"text/html; charset=utf-8"), (b"Content-Type", b"application/json"),
    (b"Set-Cookie", b"sid=xyz; path=/"), (b"Set-Cookie", b"b=2"), (b"Location", b"http://evil.example/next?x=1"), (b"Connection", b"close"), (b"X-Test", b"one"),
    (b"ETag", b'"abc"'), (b"Date", b"Mon, 01 Jan 2024 00:00:00 GMT"), (b"X-Powered-By", b"PHP/8.1"), (b"Content-Disposition", b'attachment; filename="evil.exe"'),
    (b"Refresh", b"5"),
]  # fmt: skip
STATUS = [b"200 OK"] * 8 + [
    b"404 Not Found",
    b"302 Found",
    b"500 Internal Server Error",
    b"204 No Content",
    b"304 Not Modified",
    b"403",
    b"206 Partial Content",
]
BODIES = [b"user=admin&pass=secret", b'{"id": 1, "name": "abc"}', b"<html><script>eval(unescape('%61'))</script></html>", b"MZ\x90\x00\x03 program",
          b"", b"x" * 40, b"abc\r\n\r\ndef", b"GET / HTTP/1.1\r\n\r\n", b"cmd=id;ls -la" * 5]  # fmt: skip
WORDS = [b"GET", b"POST", b"HEAD", b"index.php", b"/a/c", b"/a/b", b"admin", b"login.php", b"/", b"id=1", b"abc", b"abc def", b"%20", b"shop.example", b"Shop", b"10.0.0.1",
         b"Mozilla/5.0", b"curl", b"sqlmap", b"gzip", b"en-US", b"sid=abc", b"lang=en", b"keep-alive", b"close", b"X-Test", b"x-test", b"one", b"two", b"application/json",
         b"text/html", b"Basic ", b"nginx", b"Apache", b"evil", b".exe", b"200", b"404", b"OK", b"Not Found", b"HTTP/1.1", b"HTTP/1.0", b"user=", b"secret", b"<html>",
         b"eval(", b"MZ", b"xxxx", b"\r\n", b"Host", b"Accept", b"Content-Length", b": ", b"Host: ", b"22", b"5", b"..", b"?", b"="]  # fmt: skip
TO_SERVER = ["http.uri", "http.uri.raw", "http.method", "http.user_agent", "http.host", "http.host.raw", "http.request_line", "http.accept", "http.accept_lang",
             "http.accept_enc", "http.referer", "http.request_header", "http.request_body"]  # fmt: skip
TO_CLIENT = [
    "http.stat_code",
    "http.stat_msg",
    "http.response_line",
    "http.server",
    "http.response_header",
    "http.location",
    "http.response_body",
    "file.data",
]
EITHER = [
    "http.header",
    "http.header.raw",
    "http.cookie",
    "http.header_names",
    "http.start",
    "http.protocol",
    "http.connection",
    "http.content_len",
    "http.content_type",
]
LEGACY = {"http_uri": 0, "http_raw_uri": 0, "http_method": 0, "http_client_body": 0, "http_user_agent": 0, "http_host": 0, "http_raw_host": 0,
          "http_header": -1, "http_raw_header": -1, "http_cookie": -1, "http_stat_code": 1, "http_stat_msg": 1, "http_server_body": 1}  # fmt: skip
TRANSFORMS = ["to_lowercase", "to_uppercase", "strip_whitespace", "compress_whitespace", "url_decode", "dotprefix", "to_md5", "to_sha1", "to_sha256", "header_lowercase",
              "strip_pseudo_headers", 'pcrexform:"(a\\w+)"', 'xor:"20"']  # fmt: skip


def _buffer(rng, names):
    name = rng.choice(names)
    change = (
        "".join(f"{each}; " for each in rng.sample(TRANSFORMS, rng.choice((0,) * 9 + (1, 1, 2))))
        if "request_header" not in name
        else ""
    )
    words = [word.lower() for word in WORDS] if name == "http.host" else WORDS
    return f"{name}; {change}" + matches.matches(rng, words, buffered=True, most=rng.choice((1, 1, 1, 2, 3)))


def _legacy(rng, direction):
    name = rng.choice([name for name, where in LEGACY.items() if where in {-1, direction}])
    words = [word.lower() for word in WORDS] if name == "http_host" else WORDS
    text = matches.content(rng, words, first=True, buffered=True)
    return text if "rawbytes" in text else text + f"{name}; "


def rules(rng, first_sid, count):
    for sid in range(first_sid, first_sid + count):
        direction = rng.choice((0, 0, 1))
        names = (TO_SERVER, TO_CLIENT)[direction] + EITHER
        flow = rng.choice(
            ("", "", "flow:established; ", f"flow:established,{('to_server', 'to_client')[direction]}; ")
        )
        shape = rng.random()
        if shape < 0.75:
            body = "".join(_buffer(rng, names) for _ in range(rng.choice((1, 1, 1, 2, 2, 3))))
        elif shape < 0.88:
            body = "".join(_legacy(rng, direction) for _ in range(rng.choice((1, 1, 2, 3))))
        elif shape < 0.94:
            body = f"urilen:{rng.choice(('', '<', '>'))}{rng.choice((1, 4, 8, 10, 20))}{rng.choice(('', ',raw', ',norm'))}; "
        else:
            body = matches.matches(rng, WORDS) + _buffer(rng, names)
        yield f"alert {rng.choice(('http', 'http', 'http', 'tcp', 'http1'))} any any -> any any ({flow}{body}sid:{sid};)"


def chunked(rng, body):
    out, at = b"", 0
    while at < len(body):
        size = rng.randint(1, 12)
        piece = body[at : at + size]
        out += b"%x%s\r\n" % (len(piece), rng.choice((b"", b"", b";ext=1"))) + piece + b"\r\n"
        at += size
    return out + b"0\r\n\r\n"


def encoded(rng, body):
    """(headers, bytes) of a body in some transfer and content encoding."""
    headers = []
    coding = rng.choice(("", "", "", "", "gzip", "deflate"))
    if coding == "gzip":
        body = gzip.compress(body, mtime=0)
    elif coding:
        body = zlib.compress(body)
    if coding:
        headers.append((b"Content-Encoding", coding.encode()))
    if rng.random() < 0.25:
        headers.append((b"Transfer-Encoding", b"chunked"))
        body = chunked(rng, body)
    else:
        headers.append((b"Content-Length", b"%d" % len(body)))
    return headers, body


def head(rng, first, headers):
    ending = b"\n" if rng.random() < 0.04 else b"\r\n"
    colon = b":" if rng.random() < 0.08 else b": "
    return first + ending + b"".join(name + colon + value + ending for name, value in headers) + ending


def request(rng, method=None):
    method = method or rng.choice(METHODS)
    headers = [(b"Host", rng.choice(HOSTS))] if rng.random() < 0.92 else []
    if rng.random() < 0.8:
        headers.append((b"User-Agent", rng.choice(AGENTS)))
    headers += rng.sample(HEADERS, rng.randint(0, 6))
    body = b""
    if method in {b"POST", b"PUT"}:
        more, body = encoded(rng, rng.choice(BODIES))
        headers += [each for each in more if each[0] != b"Content-Encoding"]
        if any(name == b"Content-Encoding" for name, _ in more):
            headers = [each for each in headers if each[0] not in {b"Content-Length", b"Transfer-Encoding"}]
            body = rng.choice(BODIES)
            headers.append((b"Content-Length", b"%d" % len(body)))
    if rng.random() < 0.3:
        rng.shuffle(headers)
    path = rng.choice(PATHS)
    version = rng.choice([b" HTTP/1.1"] * 10 + [b" HTTP/1.0", b"", b" HTTP/1.1 ", b" HTTP/1.2"])
    return method, head(rng, method + b" " + path + version, headers) + body


def response(rng, method):
    status = rng.choice(STATUS)
    headers = rng.sample(ANSWER_HEADERS, rng.randint(0, 6))
    body = b""
    if method != b"HEAD" and not status.startswith((b"204", b"304")):
        more, body = encoded(rng, rng.choice(BODIES))
        if rng.random() < 0.05:
            more = [each for each in more if each[0] not in {b"Content-Length", b"Transfer-Encoding"}]
        headers += more
    return (
        head(rng, rng.choice((b"HTTP/1.1 ", b"HTTP/1.1 ", b"HTTP/1.1 ", b"HTTP/1.0 ")) + status, headers)
        + body
    )


def conversation(rng):
    messages, kind = [], rng.random()
    count = rng.choice((1, 1, 1, 2, 3, 4))
    exchanges = []
    for _ in range(count):
        method, data = request(rng)
        exchanges.append((data, response(rng, method)))
    if kind < 0.2:  # pipelined
        messages = [
            (True, b"".join(data for data, _ in exchanges)),
            (False, b"".join(data for _, data in exchanges)),
        ]
    else:
        for data, answer in exchanges:
            messages += [(True, data), (False, answer)]
    if rng.random() < 0.1:
        messages.pop()
    if rng.random() < 0.08:
        to_server, data = messages[-1]
        messages[-1] = to_server, data[: rng.randrange(len(data)) + 1]
    return messages


def sessions(rng, count):
    out = []
    for i in range(count):
        manner = {
            "segment": rng.choice((None, None, None, "random", "random", 7, 40, 1)), "ending": rng.choice((*Session.ENDINGS, "fin", "fin")),
            "repeat": rng.random() < 0.1, "reorder": rng.random() < 0.1, "ack": rng.choice((True, True, True, "each", "each", False)),
        }  # fmt: skip
        session = Session(
            rng,
            f"10.2.{i // 200}.{i % 200 + 1}",
            "192.168.7.8",
            1024 + rng.randrange(60000),
            rng.choice((80, 80, 80, 8080)),
            **manner,
        )
        out.append(session.run(conversation(rng)))
    return out
