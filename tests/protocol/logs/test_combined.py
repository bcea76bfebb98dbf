import re

from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel.model import isoformat
from sentinel.protocol.logs import access
from sentinel.protocol.logs.parser import LogParser

GOOD = b'198.51.100.7 - bob [02/Mar/2026:08:00:00 +0800] "GET /a?b=c HTTP/1.1" 200 512 "https://shop.example/" "Mozilla/5.0 (X)"\n'


def test_all_fields(read):
    assert read(GOOD, "nginx-access") == [
        {
            "source.ip": b"198.51.100.7",
            "source.address": b"198.51.100.7",
            "user.name": b"bob",
            "http.request.line": b"GET /a?b=c HTTP/1.1",
            "http.request.method": b"GET",
            "url.original": b"/a?b=c",
            "http.version": b"1.1",
            "http.response.status_code": b"200",
            "http.response.body.bytes": b"512",
            "http.request.referrer": b"https://shop.example/",
            "user_agent.original": b"Mozilla/5.0 (X)",
        }
    ]


def test_times_numbers_and_lines_that_do_not_fit(batch):
    late = GOOD.replace(b"08:00:00 +0800", b"08:00:05 -0130")

    columns = LogParser("nginx-access").parse(batch(GOOD + b"garbage\n" + late, first=41))

    assert [isoformat(int(time)) for time in columns.times] == [
        "2026-03-02T00:00:00.000000+0000",
        "2026-03-02T00:00:00.000000+0000",  # a line without a time has the time of the one before
        "2026-03-02T09:30:05.000000+0000",
    ]
    assert columns.numbers.tolist() == [41, 42, 43]
    assert columns.parsed.tolist() == [True, False, True]
    assert columns.column("event.original").get(1) == b"garbage"
    assert columns.column("url.original").get(1) is None


def test_the_time_goes_on_from_batch_to_batch(batch):
    parser = LogParser("nginx-access")
    first = parser.parse(batch(GOOD))

    assert parser.parse(batch(b"no time\n")).times[0] == first.times[-1]


def line(request=b"GET / HTTP/1.1", front=b"192.0.2.1 - -", tail=b' 200 5 "-" "-"'):
    return front + b' [02/Mar/2026:08:00:00 +0000] "' + request + b'"' + tail + b"\n"


def test_dashes_are_absent(read):
    row = read(line(), "nginx-access")[0]

    assert not {"user.name", "http.request.referrer", "user_agent.original", "url.domain"} & row.keys()


def test_odd_lines_among_usual_ones_keep_their_place(read):
    odd = [
        line(front=b"shop.example:443 192.0.2.1 - -"),
        line(tail=b" 200 5"),
        line(request=rb"GET /\"quoted\" HTTP/1.1"),
        line(front=b"web-7.example.net - -"),
        line(tail=b' 200 5 "-" "-" "-" 0.12'),
        line(front=b"2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff - -"),
        line(front=b"::ffff:192.0.2.9 - -"),
        line(front=b"192.0.2.1 - alice smith"),
    ]

    rows = read(b"".join(one + GOOD for one in odd), "apache-access")

    assert all(row["url.original"] == b"/a?b=c" for row in rows[1::2])
    assert [row.get("source.ip") for row in rows[::2]] == [
        *[b"192.0.2.1"] * 3,
        None,
        b"192.0.2.1",
        b"2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff",
        b"192.0.2.9",
        b"192.0.2.1",
    ]
    assert rows[0]["url.domain"] == b"shop.example"
    assert rows[4]["url.original"] == rb"/\"quoted\""
    assert rows[6]["source.address"] == b"web-7.example.net"
    assert rows[14]["user.name"] == b"alice smith"


def test_requests_that_are_none(read):
    requests = {
        rb"\x16\x03\x01\x02": (None, rb"\x16\x03\x01\x02"),
        b"": (None, None),
        b"-": (None, None),
        b"HELP": (None, b"HELP"),
        b"GET /x": (b"GET", b"/x"),
        b"GET http://other.example/ HTTP/1.1": (b"GET", b"http://other.example/"),
        b"GET /with space HTTP/1.1": (b"GET", b"/with space"),
        b"PROPPATCH /dav HTTP/2": (b"PROPPATCH", b"/dav"),
        b"VERSION-CONTROL /dav HTTP/1.1": (b"VERSION-CONTROL", b"/dav"),
        b"GET  HTTP/1.1": (None, b"GET  HTTP/1.1"),
        b"get / HTTP/1.1": (None, b"get / HTTP/1.1"),
    }

    rows = read(b"".join(map(line, requests)), "nginx-access")

    found = [(row.get("http.request.method"), row.get("url.original")) for row in rows]
    assert found == list(requests.values())


def test_error_lines_and_json_in_an_access_log(read):
    error = (
        b'2026/03/02 08:00:00 [error] 7#7: *1 user "ann": password mismatch, client: 192.0.2.5, '
        b'server: shop.example, request: "GET /admin HTTP/1.1", host: "shop.example"\n'
    )
    rows = read(GOOD + error + GOOD, "nginx-access")

    assert (rows[1]["source.ip"], rows[1]["user.name"]) == (b"192.0.2.5", b"ann")
    assert (rows[1]["event.outcome"], rows[1]["url.original"]) == (b"failure", b"/admin")


def test_line_ends(read):
    rows = read(GOOD.rstrip() + b"\r\n" + GOOD.rstrip(), "nginx-access")

    assert [row["user_agent.original"] for row in rows] == [b"Mozilla/5.0 (X)"] * 2


# The whole-batch reading must say what the plain expression says of each line alone.
part = st.text(st.characters(codec="latin-1", exclude_characters='"\\\n\r'), max_size=12).map(
    lambda text: text.encode("latin-1")
)
word = st.from_regex(re.compile(rb"[!#-\[\]-~]{1,8}"), fullmatch=True)
fields = st.tuples(
    st.sampled_from([b"192.0.2.1", b"2001:db8::1", b"host.example", b"unknown", b"1.2.3.4"]),
    st.sampled_from([b"-", b"bob", b"a b"]),
    st.sampled_from([b"GET", b"POST", b"get", b"\\x16"]),
    word,
    st.sampled_from([b" HTTP/1.1", b" HTTP/2.0", b"", b" HTTP/2"]),
    st.integers(100, 599),
    st.one_of(st.just(b"-"), st.integers(0, 10**9).map(lambda n: str(n).encode())),
    part,
    part,
    st.sampled_from([b"", b' "extra"', b" 0.5"]),
)


@settings(max_examples=150)
@given(drawn=st.lists(fields, min_size=1, max_size=12))
def test_agrees_with_the_plain_expression(read, drawn):

    lines = [b'%s - %s [02/Mar/2026:08:00:00 +0000] "%s %s%s" %d %s "%s" "%s"%s' % one for one in drawn]

    rows = read(b"".join(one + b"\n" for one in lines), "nginx-access")

    for text, row in zip(lines, rows, strict=True):
        expected = access.record(access.COMBINED.match(text))
        assert row == expected


@settings(max_examples=200)
@given(
    drawn=st.lists(
        st.one_of(
            st.binary(max_size=60),
            st.just(GOOD[:-1]),
            st.binary(max_size=9).map(lambda x: GOOD[:40] + x + GOOD[44:-1]),
        ),
        max_size=8,
    )
)
def test_never_raises_and_keeps_every_row(read, drawn):

    data = b"\n".join(drawn)

    rows = read(data, "nginx-access")

    assert len(rows) == data.count(b"\n") + (not data.endswith(b"\n") and data != b"")
