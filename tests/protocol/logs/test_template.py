import pytest

from sentinel.errors import UnknownLogFormatError
from sentinel.protocol.logs.parser import LogParser

NGINX = """log_format shop '$remote_addr - $remote_user [$time_local] "$request" '
                '$status $body_bytes_sent "$http_referer" "$http_user_agent" rt=$request_time host=${host}';"""
APACHE = r'LogFormat "%v:%p %h %l %u %t \"%r\" %>s %O \"%{Referer}i\" \"%{User-Agent}i\"" vhost_combined'


def test_nginx_configuration_as_it_stands(read):
    line = b'192.0.2.7 - ann [02/Mar/2026:08:00:00 +0000] "GET /a b HTTP/1.1" 200 5 "-" "x \\" y" rt=0.25 host=a.example\n'

    row = read(line, NGINX)[0]

    assert row["source.ip"] == b"192.0.2.7"
    assert row["user.name"] == b"ann"
    assert row["url.original"] == b"/a b"
    assert row["user_agent.original"] == b'x \\" y'
    assert row["request_time"] == b"0.25"
    assert row["url.domain"] == b"a.example"
    assert "http.request.referrer" not in row


def test_apache_configuration_as_it_stands(read):
    line = b'a.example:443 192.0.2.7 - ann [02/Mar/2026:08:00:00 +0000] "GET / HTTP/1.1" 200 5 "-" "ua"\n'

    row = read(line, APACHE)[0]

    assert (row["url.domain"], row["server.port"], row["source.ip"]) == (b"a.example", b"443", b"192.0.2.7")
    assert (row["user.name"], row["http.request.method"], row["user_agent.original"]) == (
        b"ann",
        b"GET",
        b"ua",
    )


def test_parts_of_the_url(read):
    rows = read(b"192.0.2.7|/a|b=c|200\n192.0.2.7|/a||200\nother\n", "$remote_addr|$uri|$args|$status")

    assert [row and row["url.original"] for row in rows] == [b"/a?b=c", b"/a", None]


def test_json_templates(read):
    text = """escape=json '{"ip":"$remote_addr","when":"$time_iso8601","code":$status,"what":"$request_uri","env":"prod"}'"""
    line = (
        b'{"ip":"192.0.2.7","when":"2026-03-02T08:00:00+00:00","code":200,"what":"/\\u0022","env":"prod"}\n'
    )

    row = read(line, text)[0]

    assert row == {
        "source.ip": b"192.0.2.7",
        "source.address": b"192.0.2.7",
        "http.response.status_code": b"200",
        "url.original": b'/"',
        "env": b"prod",
    }


@pytest.mark.parametrize("text", ["", "plain words", "$" * 3, '{"a": $status', "$a" * 5000])
def test_what_is_no_template(text):
    with pytest.raises(UnknownLogFormatError):
        LogParser(text)


def test_times_of_templates(batch):
    columns = LogParser("[$time_local] $status").parse(batch(b"[02/Mar/2026:08:00:00 +0000] 200\n"))

    assert columns.times[0] == 1772438400 * 10**9


def test_a_pattern_with_named_groups(read):
    rows = read(
        b"2026-03-02T08:00:00Z 192.0.2.7 GET /a?b=c 200 trace=77\nother\n",
        r"^(?<time>\S+) (?P<address>\S+) (?<method>[A-Z]+) (?<target>\S+) (?<status>\d+)(?: trace=(?<trace__id>\d+))?",
    )

    assert rows[0]["source.ip"] == b"192.0.2.7"
    assert (rows[0]["http.request.method"], rows[0]["url.original"]) == (b"GET", b"/a?b=c")
    assert rows[0]["trace.id"] == b"77"
    assert rows[1] is None or rows[1] == {}


def test_a_pattern_that_is_none():
    with pytest.raises(UnknownLogFormatError, match="unterminated"):
        LogParser("(?<address>[")
