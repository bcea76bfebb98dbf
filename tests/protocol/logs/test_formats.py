"""One or two lines of each kind of log, written after the programs' own manuals."""

import json

import pytest

from sentinel.errors import UnknownLogFormatError
from sentinel.model import isoformat
from sentinel.protocol.logs.formats import FORMATS, SYSLOG
from sentinel.protocol.logs.parser import LogParser

AGENT = "Mozilla/5.0 (X11; Linux x86_64)"
GET = {"http.request.method": "GET", "url.original": "/a?b=c", "http.version": "1.1"}
CADDY = {
    "level": "info", "ts": 1772438400.5, "logger": "http.log.access", "msg": "handled request", "size": 12, "status": 404,
    "request": {"remote_ip": "192.0.2.7", "client_ip": "192.0.2.7", "proto": "HTTP/1.1", "method": "GET", "host": "a.example",
                "uri": "/a?b=c", "headers": {"User-Agent": [AGENT]}},
}  # fmt: skip
TRAEFIK = {
    "ClientHost": "192.0.2.7", "ClientPort": "4000", "ClientUsername": "-", "DownstreamStatus": 404, "RequestMethod": "GET",
    "RequestPath": "/a?b=c", "RequestProtocol": "HTTP/1.1", "RequestHost": "a.example", "DownstreamContentSize": 12,
    "request_User-Agent": AGENT, "time": "2026-03-02T08:00:00Z",
}  # fmt: skip
JOURNAL = {
    "__REALTIME_TIMESTAMP": "1772438400000000", "_HOSTNAME": "web1", "SYSLOG_IDENTIFIER": "sshd", "_PID": "12",
    "MESSAGE": "Failed password for root from 192.0.2.7 port 4000 ssh2",
}  # fmt: skip
CASES = [
    ("nginx-json", json.dumps({"remote_addr": "192.0.2.7", "request": "GET /a?b=c HTTP/1.1", "status": "404",
                               "http_user_agent": AGENT, "time_iso8601": "2026-03-02T08:00:00+00:00"}),
     GET | {"source.ip": "192.0.2.7", "http.response.status_code": "404", "user_agent.original": AGENT}),
    ("caddy-json", json.dumps(CADDY), GET | {"source.ip": "192.0.2.7", "http.response.status_code": "404", "url.domain": "a.example",
                                             "user_agent.original": AGENT}),
    ("traefik-json", json.dumps(TRAEFIK), GET | {"source.ip": "192.0.2.7", "http.response.status_code": "404", "url.domain": "a.example",
                                                 "user_agent.original": AGENT}),
    ("journald-json", json.dumps(JOURNAL), {"process.name": "sshd", "process.pid": "12", "host.hostname": "web1", "user.name": "root",
                                            "source.ip": "192.0.2.7", "source.port": "4000", "event.outcome": "failure"}),
    ("journald-json", json.dumps(JOURNAL | {"MESSAGE": list(b"Invalid user \xff from 192.0.2.7 port 5")}), {"source.ip": "192.0.2.7"}),
    ("suricata-eve", json.dumps({"timestamp": "2026-03-02T08:00:00.000000+0000", "src_ip": "192.0.2.7", "src_port": 4000,
                                 "http": {"hostname": "a.example", "url": "/a?b=c", "http_method": "GET"}}),
     {"source.ip": "192.0.2.7", "source.port": "4000", "url.original": "/a?b=c", "url.domain": "a.example"}),
    ("haproxy", 'haproxy[7]: 192.0.2.7:4000 [02/Mar/2026:08:00:00.123] web~ app/s1 0/0/1/5/6 404 210 - - ---- 1/1/0/0/0 0/0 "GET /a?b=c HTTP/1.1"',
     GET | {"source.ip": "192.0.2.7", "source.port": "4000", "http.response.status_code": "404", "http.response.body.bytes": "210"}),
    ("haproxy", "192.0.2.7:4000 [02/Mar/2026:08:00:00.123] web/1: SSL handshake failure", {"source.ip": "192.0.2.7"}),
    ("envoy", f'[2026-03-02T08:00:00.123Z] "GET /a?b=c HTTP/1.1" 404 - 0 12 3 2 "192.0.2.7" "{AGENT}" "id" "a.example" "10.0.0.1:80"',
     GET | {"source.ip": "192.0.2.7", "http.response.status_code": "404", "url.domain": "a.example", "user_agent.original": AGENT}),
    ("envoy", f'[2026-03-02T08:00:00.123Z] "GET /a?b=c HTTP/1.1" 404 NR route_not_found - "-" 0 12 3 - "192.0.2.7,10.0.0.2" "{AGENT}" "id" "a.example" "-"',
     GET | {"source.ip": "192.0.2.7", "http.response.status_code": "404"}),
    ("aws-alb", ('https 2026-03-02T08:00:00.1Z app/lb/1 192.0.2.7:4000 10.0.0.1:80 0.0 0.1 0.0 404 404 3 12 '
                f'"GET https://a.example:443/a?b=c HTTP/1.1" "{AGENT}" TLS TLSv1.2 arn "Root=1" "a.example" "-" 0 2026-03-02T08:00:00.0Z "forward"'),
     GET | {"source.ip": "192.0.2.7", "http.response.status_code": "404", "url.domain": "a.example"}),
    ("squid", "1772438400.123     45 192.0.2.7 TCP_DENIED/403 3900 CONNECT a.example:443 - HIER_NONE/- text/html",
     {"source.ip": "192.0.2.7", "http.request.method": "CONNECT", "http.response.status_code": "403"}),
    ("traefik-clf", f'192.0.2.7 - - [02/Mar/2026:08:00:00 +0000] "GET /a?b=c HTTP/1.1" 404 12 "-" "{AGENT}" 7 "web@docker" "http://10.0.0.1" 3ms',
     GET | {"source.ip": "192.0.2.7", "http.response.status_code": "404", "user_agent.original": AGENT}),
    ("nginx-error", '2026/03/02 08:00:00 [error] 7#7: *1 user "ann": password mismatch, client: 192.0.2.7, server: a.example, request: "GET /a?b=c HTTP/1.1"',
     GET | {"source.ip": "192.0.2.7", "user.name": "ann", "event.outcome": "failure", "url.domain": "a.example"}),
    ("nginx-error", "2026/03/02 08:00:00 [info] 7#7: *1 client 192.0.2.7:4000 connected to 0.0.0.0:25", {"source.ip": "192.0.2.7", "source.port": "4000"}),
    ("apache-error", '[Mon Mar 02 08:00:00.123456 2026] [auth_basic:error] [pid 7:tid 8] [client 192.0.2.7:4000] AH01617: user ann: authentication failure for "/": Password Mismatch',
     {"source.ip": "192.0.2.7", "source.port": "4000", "user.name": "ann", "event.outcome": "failure"}),
    ("apache-error", "[Mon Mar 02 08:00:00 2026] [error] [client 192.0.2.7] File does not exist: /var/www/x", {"source.ip": "192.0.2.7", "log.level": "error"}),
    ("syslog", "<38>Mar  2 08:00:00 web1 sshd[12]: Invalid user ann from 192.0.2.7 port 4000",
     {"log.syslog.facility.name": "auth", "log.syslog.severity.name": "info", "host.hostname": "web1", "process.name": "sshd",
      "process.pid": "12", "user.name": "ann", "source.ip": "192.0.2.7", "event.action": "invalid-user"}),
    ("syslog-iso", "2026-03-02T09:00:00.123+01:00 web1 postfix/smtpd[12]: warning: unknown[192.0.2.7]: SASL LOGIN authentication failed: x",
     {"process.name": "postfix/smtpd", "source.ip": "192.0.2.7", "event.outcome": "failure"}),
    ("syslog-rfc5424", '<165>1 2026-03-02T08:00:00.003Z web1 shop 12 ID47 [x@1 a="b" c="\\]"][y] Login failed for user ann from 192.0.2.7',
     {"host.hostname": "web1", "process.name": "shop", "process.pid": "12", "source.ip": "192.0.2.7", "event.outcome": "failure",
      "message": "Login failed for user ann from 192.0.2.7"}),
    ("syslog-rfc5424", "<34>1 2026-03-02T08:00:00Z - - - - -", {"log.syslog.severity.name": "crit"}),
    ("auditd", 'type=USER_LOGIN msg=audit(1772438400.123:7): pid=12 uid=0 auid=4294967295 msg=\'op=login acct="ann" exe="/usr/sbin/sshd" addr=192.0.2.7 res=failed\'',
     {"type": "USER_LOGIN", "user.name": "ann", "source.ip": "192.0.2.7", "event.outcome": "failure", "process.pid": "12"}),
    ("auditd", 'type=EXECVE msg=audit(1772438400.123:8): argc=2 a0="cat" a1=2F6574632F706173737764 comm=636174', {"type": "EXECVE", "a0": "cat", "comm": "cat"}),
    ("mysql", "2026-03-02T08:00:00.123456Z 12 [Note] [MY-010926] [Server] Access denied for user 'ann'@'192.0.2.7' (using password: YES)",
     {"user.name": "ann", "source.ip": "192.0.2.7", "event.outcome": "failure"}),
    ("mariadb", "2026-03-02  8:00:00 12 [Warning] Access denied for user 'ann'@'db.example' (using password: YES)",
     {"user.name": "ann", "source.address": "db.example", "event.outcome": "failure"}),
    ("postgresql", '2026-03-02 08:00:00.123 UTC [12] ann@shop 192.0.2.7(4000) FATAL:  password authentication failed for user "ann"',
     {"user.name": "ann", "source.ip": "192.0.2.7", "event.outcome": "failure"}),
    ("mongodb", json.dumps({"t": {"$date": "2026-03-02T08:00:00.000+00:00"}, "s": "I", "c": "ACCESS", "msg": "Authentication failed",
                            "attr": {"principalName": "ann", "remote": "192.0.2.7:4000"}}),
     {"user.name": "ann", "source.ip": "192.0.2.7", "source.port": "4000", "event.outcome": "failure"}),
    ("redis", "12:M 02 Mar 2026 08:00:00.123 # Possible SECURITY ATTACK detected. Connection from 192.0.2.7:4000 aborted.", {"source.ip": "192.0.2.7"}),
    ("vsftpd", 'Mon Mar  2 08:00:00 2026 [pid 12] [ann] FAIL LOGIN: Client "::ffff:192.0.2.7"', {"user.name": "ann", "source.ip": "192.0.2.7", "event.outcome": "failure"}),
    ("proftpd", "2026-03-02 08:00:00,123 web1 proftpd[12] web1 (192.0.2.7[192.0.2.7]): USER ann (Login failed): Incorrect password",
     {"user.name": "ann", "source.ip": "192.0.2.7", "process.name": "proftpd", "event.outcome": "failure"}),
    ("exim", "2026-03-02 08:00:00 dovecot_login authenticator failed for (x) [192.0.2.7]:4000: 535 Incorrect authentication data (set_id=ann)",
     {"user.name": "ann", "source.ip": "192.0.2.7", "source.port": "4000", "event.outcome": "failure"}),
    ("grafana", 'logger=context t=2026-03-02T08:00:00.1Z level=error msg="Invalid username or password" remote_addr=192.0.2.7',
     {"source.ip": "192.0.2.7", "event.outcome": "failure"}),
    ("keycloak", "2026-03-02 08:00:00,123 WARN  [org.keycloak.events] (t-1) type=LOGIN_ERROR, ipAddress=192.0.2.7, error=user_not_found, username=ann",
     {"user.name": "ann", "source.ip": "192.0.2.7"}),
]  # fmt: skip


@pytest.mark.parametrize(("log_format", "line", "expected"), CASES)
def test_a_line_of_each_format(read, log_format, line, expected):
    row = read(line.encode() + b"\n", log_format)[0]

    assert row is not None
    found = {name: row.get(name, b"").decode() for name in expected}
    assert found == expected


@pytest.mark.parametrize(
    "line", [line for _, line, _ in CASES if "2026" in line or "17724384" in line or "Mar  2" in line]
)
def test_its_time(batch, line):
    log_format = next(name for name, text, _ in CASES if text == line)

    columns = LogParser(log_format).parse(batch(line.encode()))

    assert isoformat(int(columns.times[0]))[5:19] == "03-02T08:00:00"


def test_iis_field_lists(read):
    log = (
        b"#Software: Microsoft Internet Information Services 10.0\r\n"
        b"#Fields: date time cs-method cs-uri-stem cs-uri-query cs-username c-ip cs(User-Agent) sc-status\r\n"
        b"2026-03-02 08:00:00 GET /a b=c - 192.0.2.7 Mozilla/5.0+(X11) 404\r\n"
        b"2026-03-02 08:00:01 GET /only three\r\n"
        b"#Fields: date time c-ip cs-uri-stem sc-status\r\n"
        b"2026-03-02 08:00:02 192.0.2.8 /z 200\r\n"
    )

    rows = read(log, "iis-w3c")

    assert rows[2] | {"source.address": b""} == {
        "http.request.method": b"GET", "url.path": b"/a", "url.query": b"b=c", "url.original": b"/a?b=c", "source.ip": b"192.0.2.7",
        "source.address": b"", "user_agent.original": b"Mozilla/5.0 (X11)", "http.response.status_code": b"404",
    }  # fmt: skip
    assert rows[3] is None
    assert (rows[5]["source.ip"], rows[5]["url.original"]) == (b"192.0.2.8", b"/z")


def test_json_keeps_bytes_and_undoes_escapes(read):
    line = b'{"remote_addr":"192.0.2.7","request_uri":"/\\u4e2d\\"?q=\xff\\\\x","request_method":"GET"}\n'

    assert read(line, "nginx-json")[0]["url.original"] == '/中"?q='.encode() + b"\xff\\x"


def test_json_names_by_their_path(read):
    row = read(
        b'{"request":{"host":"a","deep":{"er":[1,2]}},"status":200,"ok":true,"none":null}', "caddy-json"
    )[0]

    assert (row["request.host"], row["request.deep.er"], row["ok"]) == (b"a", b"\x01\x02", b"true")
    assert "none" not in row


def test_an_unknown_name_is_an_error():
    with pytest.raises(UnknownLogFormatError):
        LogParser("nosuch")


@pytest.mark.parametrize("log_format", sorted([*FORMATS, *SYSLOG]))
def test_hostile_lines_are_data(read, log_format):
    hostile = [
        b"", b"\x00" * 50, b"\xff\xfe\x00", b"{" * 5000, b"[" * 5000, b'{"a":' * 3000, b'"' * 300, b"=" * 100, b"<999>1 - - - -",
        b"<13>1 2026-99-99T99:99:99Z a b c d [", b"type=X msg=audit(99999999999999999999.9:1): a=", b"((((((((", b"1" * 400,
        b'{"time":1e400,"status":NaN,"ts":99999999999999999999}', b'{"a":"\\ud800"}', b"2026-02-30 10:00:00 x", b":::::::::", b"a=b " * 900,
    ]  # fmt: skip

    rows = read(b"\n".join(hostile) + b"\n", log_format)

    assert len(rows) == len(hostile)


CHARON = "Mar  2 10:00:00 gw charon[811]: 08[{}] <con2|{}> {}\n"


def test_the_answer_to_a_peer_that_failed_is_its_failed_log_in(read):
    sent = "sending packet: from 192.0.2.1[4500] to 198.51.100.7[28821] (128 bytes)"
    text = "".join(
        CHARON.format(*parts)
        for parts in (
            ("NET", 7, sent),
            ("IKE", 7, "EAP-MS-CHAPv2 verification failed, retry (1)"),
            ("NET", 8, sent),
            ("NET", 7, sent),
            ("NET", 7, sent),
        )
    )
    rows = read(text.encode(), "syslog")
    assert [row.get("event.outcome") for row in rows] == [None, b"failure", None, b"failure", None]
    assert rows[3]["source.ip"] == b"198.51.100.7"


def test_what_a_container_runtime_writes_in_front(read):
    inner = (
        '{"method":"GET","path":"/a","response_code":404,"downstream_remote_address":"198.51.100.7:40000"}'
    )
    (row,) = read(f"2026-03-02T10:00:00.000000100+01:00 stdout F {inner}\n".encode(), "containerd")
    assert (row["source.ip"], row["url.original"], row["http.response.status_code"]) == (
        b"198.51.100.7",
        b"/a",
        b"404",
    )


def test_an_object_at_the_end_of_a_line(read):
    (row,) = read(
        b'[2026-03-02 10:00:00] shop.INFO: {"type":"ADMIN_LOGIN_FAILED","ip":"198.51.100.7"} []\n', "text"
    )
    assert (row["source.ip"], row["event.outcome"]) == (b"198.51.100.7", b"failure")


def test_events_by_name(read):
    rows = read(
        b'{"event":"invalid_login","client_ip":"198.51.100.7"}\n{"event":"user.login","success":false,"ip":"198.51.100.7"}\n'
        b'{"event":"user.login","success":true,"ip":"198.51.100.7"}\n{"event":"cart_failed","ip":"198.51.100.7"}\n',
        "json",
    )
    assert [row.get("event.outcome") for row in rows] == [b"failure", b"failure", None, None]
