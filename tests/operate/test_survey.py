from sentinel.operate.survey import Listener, look

TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1
   1: 0100007F:1538 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 2
   2: 0100007F:0050 0100007F:D431 01 00000000:00000000 00:00000000 00000000     0        0 3
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
    (tmp_path / "var/log/nginx").mkdir(parents=True)
    (tmp_path / "var/log/nginx/access.log").write_text("")
    (tmp_path / "var/lib/postgresql").mkdir(parents=True)
    found = look(tmp_path)
    assert found.interfaces == ("ens3",)
    assert found.listeners == (
        Listener("ssh", 22, local=False),
        Listener("postgresql", 5432, local=True),
        Listener("port-9991", 9991, local=False),
    )
    assert found.logs == (("/var/log/nginx/access.log", "nginx-access"),)
    assert found.databases == ("postgresql",)


def test_an_empty_root_has_nothing(tmp_path):
    found = look(tmp_path)
    assert (found.interfaces, found.listeners, found.logs, found.databases) == ((), (), (), ())


def test_the_running_host():
    assert all(isinstance(listener.port, int) for listener in look().listeners)
