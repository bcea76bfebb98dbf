import pytest

from sentinel.protocol.logs.parser import LogParser

CLF = b'192.0.2.7 - - [02/Mar/2026:08:00:00 +0000] "GET / HTTP/1.1" 200 5 "-" "-"\n'


@pytest.mark.parametrize(
    ("log_format", "lines"),
    [
        ("nginx-access", CLF * 3),
        ("nginx-access", b"\n" + CLF * 5 + b"2026/03/02 08:00:00 [error] 1#1: x\n"),
        ("nginx-json", b'{"remote_addr":"192.0.2.7","request_uri":"/","status":"200"}\n' * 2),
        ("caddy-json", b'{"level":"info","logger":"http.log.access.log0","request":{"uri":"/"}}\n'),
        ("journald-json", b'{"__CURSOR":"x","__REALTIME_TIMESTAMP":"1","MESSAGE":"x"}\n'),
        ("json", b'{"a":1}\n'),
        ("syslog", b"Mar  2 08:00:00 web1 sshd[1]: x\nMar  2 08:00:00 web1 CRON[2]: y\n"),
        ("syslog-iso", b"2026-03-02T08:00:00.123456+01:00 web1 sshd[1]: x\n"),
        ("syslog-rfc5424", b"<34>1 2026-03-02T08:00:00Z web1 shop 1 - - x\n"),
        ("nginx-error", b"2026/03/02 08:00:00 [error] 7#7: *1 x, client: 192.0.2.7\n"),
        ("apache-error", b"[Mon Mar 02 08:00:00.1 2026] [core:error] [pid 1] x\n"),
        ("iis-w3c", b"#Software: Microsoft IIS\n#Fields: date time\n2026-03-02 08:00:00 GET /\n"),
        ("auditd", b"type=SYSCALL msg=audit(1772438400.123:7): arch=c000003e\n"),
        ("text", b"2026-03-02 08:00:00 something happened\n"),
        ("text", b""),
    ],
)
def test_by_content(batch, log_format, lines):
    parser = LogParser("auto")

    columns = parser.parse(batch(lines))

    assert (parser.format, columns.kind) == (log_format, log_format)
