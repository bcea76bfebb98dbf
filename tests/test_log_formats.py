"""Every format that Sentinel promises: told by its lines, its fields under their names, the rules that are for it."""

from pathlib import Path

import pytest

from sentinel import trial
from sentinel.pipeline import cache_folder, log_engine

RULES = Path(__file__).parents[1] / "rules" / "logs"
ATTACK = "/p?id=1+union+select+2"
AGENT = "Mozilla/5.0 (X11; Linux x86_64)"
REQUEST = f'198.51.100.7 - - [02/Mar/2026:10:00:00 +0000] "GET {ATTACK} HTTP/1.1" 200 5 "-" "{AGENT}"'
ACCESS = {
    "nginx-access": REQUEST,
    "nginx-json": f'{{"time_iso8601":"2026-03-02T10:00:00+00:00","remote_addr":"198.51.100.7","request":"GET {ATTACK} HTTP/1.1","status":200,"http_user_agent":"{AGENT}"}}',
    "caddy-json": f'{{"ts":1772445600.12,"logger":"http.log.access","request":{{"remote_ip":"198.51.100.7","proto":"HTTP/2.0","method":"GET","uri":"{ATTACK}"}},"size":5,"status":200}}',
    "traefik-json": f'{{"ClientHost":"198.51.100.7","DownstreamStatus":200,"RequestMethod":"GET","RequestPath":"{ATTACK}","time":"2026-03-02T10:00:00Z"}}',
    "haproxy": f'198.51.100.7:4711 [02/Mar/2026:10:00:00.123] https~ shop/web1 0/0/1/2/3 200 512 - - ---- 1/1/0/0/0 0/0 "GET {ATTACK} HTTP/1.1"',
    "envoy": f'[2026-03-02T10:00:00.123Z] "GET {ATTACK} HTTP/1.1" 200 - 0 512 12 11 "198.51.100.7" "{AGENT}" "abc-def" "shop.example" "10.0.0.2:80"',
    "envoy-json": f'{{"start_time":"2026-03-02T10:00:00.123Z","method":"GET","path":"{ATTACK}","response_code":200,"downstream_remote_address":"198.51.100.7:4711"}}',
    "iis-w3c": "#Fields: date time cs-method cs-uri-stem cs-uri-query c-ip cs(User-Agent) sc-status\n"
    "2026-03-02 10:00:00 GET /p id=1+union+select+2 198.51.100.7 Mozilla/5.0+(X11) 200",
    "syslog": f'Mar  2 10:00:00 lb haproxy[12]: 198.51.100.7:4711 [02/Mar/2026:10:00:00.123] https~ shop/web1 0/0/1/2/3 200 512 - - ---- 1/1/0/0/0 0/0 "GET {ATTACK} HTTP/1.1"',
}  # fmt: skip
CUSTOM = {
    '$remote_addr [$time_local] "$request" $status rt=$request_time': f'198.51.100.7 [02/Mar/2026:10:00:00 +0000] "GET {ATTACK} HTTP/1.1" 200 rt=0.003',
    "log_format main '$remote_addr - $remote_user [$time_local] \"$request\" '\n '$status $body_bytes_sent';": f'198.51.100.7 - - [02/Mar/2026:10:00:00 +0000] "GET {ATTACK} HTTP/1.1" 200 5',
    '%h %l %u %t "%r" %>s %b %D': f'198.51.100.7 - - [02/Mar/2026:10:00:00 +0000] "GET {ATTACK} HTTP/1.1" 200 5 1234',
    'escape=json \'{"ip":"$remote_addr","t":"$time_iso8601","r":"$request","s":$status}\'': f'{{"ip":"198.51.100.7","t":"2026-03-02T10:00:00+00:00","r":"GET {ATTACK} HTTP/1.1","s":200}}',
    r"^(?<address>\S+) (?<time>\S+) (?<method>\S+) (?<target>\S+) (?<status>\d+)": f"198.51.100.7 2026-03-02T10:00:00Z GET {ATTACK} 200",
}  # fmt: skip
LOGINS = {
    "nginx-error": '2026/03/02 10:00:00 [error] 12#12: *5 user "anna": password mismatch, client: 198.51.100.7, server: shop, request: "GET /admin HTTP/1.1", host: "shop"',
    "apache-error": '[Mon Mar 02 10:00:00.123456 2026] [auth_basic:error] [pid 12:tid 34] [client 198.51.100.7:4711] AH01617: user anna: authentication failure for "/admin": Password Mismatch',
    "syslog": "Mar  2 10:00:00 web-1 sshd[811]: Failed password for anna from 198.51.100.7 port 4711 ssh2",
    "syslog-rfc5424": "<38>1 2026-03-02T10:00:00.123456+00:00 web-1 sshd 811 - - Failed password for anna from 198.51.100.7 port 4711 ssh2",
    "syslog-iso": "2026-03-02T10:00:00.123456+00:00 mx dovecot: imap-login: Disconnected (auth failed, 1 attempts in 2 secs): user=<anna>, method=PLAIN, rip=198.51.100.7, lip=10.0.0.1",
    "vsftpd": 'Mon Mar  2 10:00:00 2026 [pid 12] [anna] FAIL LOGIN: Client "198.51.100.7"',
    "postgresql": '2026-03-02 10:00:00.123 UTC [811] anna@shop 198.51.100.7(4711) FATAL:  password authentication failed for user "anna"',
    "mysql": "2026-03-02T10:00:00.123456Z 8 [Note] Access denied for user 'anna'@'198.51.100.7' (using password: YES)",
    "journald-json": '{"__REALTIME_TIMESTAMP":"1772445600123456","_HOSTNAME":"web-1","SYSLOG_IDENTIFIER":"sshd","_PID":"811","MESSAGE":"Failed password for anna from 198.51.100.7 port 4711 ssh2"}',
}  # fmt: skip


@pytest.fixture(scope="module")
def engine():
    return log_engine([RULES], cache=cache_folder())


def raised(engine, columns):
    return [(alert.signature, alert.src_ip) for alert in engine.fresh().scan(columns)]


@pytest.mark.parametrize(("name", "text"), ACCESS.items(), ids=ACCESS)
def test_requests(engine, name, text):
    columns = trial.columns_of(text.split("\n"), "auto")
    assert columns.kind == name
    row = columns.rows - 1
    for field, value in (
        ("url.original", ATTACK),
        ("http.request.method", "GET"),
        ("http.response.status_code", "200"),
    ):
        assert columns.column(field).get(row) == value.encode()
    assert columns.times[row] // 10**9 == 1772445600
    assert raised(engine, columns) == [("SQL injection: UNION SELECT and stacked queries", "198.51.100.7")]


@pytest.mark.parametrize(("log_format", "text"), CUSTOM.items())
def test_formats_of_a_site(engine, log_format, text):
    columns = trial.columns_of([text], log_format)
    assert columns.parsed.all()
    assert raised(engine, columns) == [("SQL injection: UNION SELECT and stacked queries", "198.51.100.7")]


@pytest.mark.parametrize(("name", "text"), LOGINS.items(), ids=LOGINS)
def test_refused_log_ins(engine, name, text):
    columns = trial.columns_of([text], "auto")
    assert columns.kind == name
    assert columns.column("user.name").get(0) == b"anna"
    assert raised(engine, columns) == [("Failed log-in", "198.51.100.7")]


def test_redis_names_who_spoke_http_to_it(engine):
    line = (
        "811:M 02 Mar 2026 10:00:00.123 # Possible SECURITY ATTACK detected. It looks like somebody is sending POST or Host: "
        "commands to Redis. Connection from 198.51.100.7:4711 aborted."
    )
    columns = trial.columns_of([line], "auto")
    assert columns.kind == "redis"
    assert raised(engine, columns) == [("Refused mail, call or relay", "198.51.100.7")]
