import pytest

from sentinel.operate.survey import Listener, look

TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1
   1: 0100007F:1538 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 2
   2: 0100007F:0050 0100007F:D431 01 00000000:00000000 00:00000000 00000000     0        0 3
"""
UDP = """\
  sl  local_address rem_address   st
   0: 00000000:01BB 00000000:0000 07 0 0
   1: 0100007F:0035 00000000:0000 07 0 0
   2: 00000000:D431 00000000:0000 07 0 0
"""
TCP6 = """\
  sl  local_address                         remote_address                        st
   0: 00000000000000000000000001000000:1538 00000000000000000000000000000000:0000 0A 0 0 0 0
   1: 00000000000000000000000000000000:2707 00000000000000000000000000000000:0000 0A 0 0 0 0
"""


def test_a_host(tmp_path):
    for name, state in (
        ("lo", "unknown"),
        ("ens3", "up"),
        ("ens4", "down"),
        ("veth12", "up"),
        ("docker0", "up"),
    ):
        folder = tmp_path / "sys/class/net" / name
        folder.mkdir(parents=True)
        (folder / "operstate").write_text(state + "\n")
    (tmp_path / "proc/net").mkdir(parents=True)
    (tmp_path / "proc/net/tcp").write_text(TCP)
    (tmp_path / "proc/net/tcp6").write_text(TCP6)
    (tmp_path / "proc/net/udp").write_text(UDP)
    (tmp_path / "proc/net/fib_trie").write_text(
        "     |-- 127.0.0.1\n        /32 host LOCAL\n     |-- 192.0.2.7\n        /32 host LOCAL\n"
    )
    (tmp_path / "var/log/nginx").mkdir(parents=True)
    (tmp_path / "var/log/nginx/access.log").write_text("")
    (tmp_path / "var/lib/postgresql").mkdir(parents=True)
    found = look(tmp_path)
    assert found.interfaces == ("ens3",)
    assert found.listeners == (
        Listener("ssh", 22, local=False),
        Listener("postgresql", 5432, local=True),
        Listener("port-9991", 9991, local=False),
        Listener("dns-udp", 53, local=True, protocol="udp"),
        Listener("http3", 443, local=False, protocol="udp"),
    )
    assert found.logs == (("/var/log/nginx/access.log", "nginx-access"),)
    assert found.databases == ("postgresql",)
    assert found.addresses == ("192.0.2.7",)


ISO = "2026-03-02T10:00:01.000000+00:00 web-1 sshd[811]: Accepted publickey for anna from 198.51.100.7 port 4711 ssh2\n"
ACCESS = '192.0.2.9 - - [02/Mar/2026:08:00:00 +0000] "GET / HTTP/1.1" 200 1 "-" "x"\n'


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("auth.log", "", "syslog"),
        ("auth.log", ISO * 3 + ISO[:40], "syslog-iso"),
        ("nginx/access.log", '{"request_uri": "/", "status": 200}\n', "nginx-json"),
        ("apache2/access.log", ACCESS, "apache-access"),
        ("redis/redis-server.log", "no log at all\n", "redis"),
    ],
)
def test_a_logs_first_lines_tell_its_format(tmp_path, name, text, kind):
    path = tmp_path / "var/log" / name
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert look(tmp_path).logs == ((f"/var/log/{name}", kind),)


def test_where_no_file_tells_of_log_ins_the_journal_does(tmp_path):
    (tmp_path / "run/systemd/journal").mkdir(parents=True)
    assert look(tmp_path).logs == (("journald", "journald-json"),)
    (tmp_path / "var/log").mkdir(parents=True)
    (tmp_path / "var/log/auth.log").touch()
    assert look(tmp_path).logs == (("/var/log/auth.log", "syslog"),)


def test_an_empty_root_has_nothing(tmp_path):
    found = look(tmp_path)
    assert (found.interfaces, found.listeners, found.logs, found.databases) == ((), (), (), ())


def test_the_running_host():
    assert all(isinstance(listener.port, int) for listener in look().listeners)
