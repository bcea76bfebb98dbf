"""Who owns a connection: our own sockets, over netlink and over /proc, and what cgroup paths mean."""

import os
import socket

import pytest

from sentinel.capture.sockets import Owners, Socket, read_cgroup


@pytest.fixture
def connection():
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as client,
    ):
        accepted, _ = server.accept()
        with accepted:
            yield [
                (socket.inet_aton(host), port) for host, port in (client.getsockname(), client.getpeername())
            ]


@pytest.mark.parametrize("source", ["_from_netlink", "_from_proc"])
def test_a_connection_of_this_process(connection, source, monkeypatch):
    owners = Owners()
    monkeypatch.setattr(owners, "_sockets", getattr(owners, source))
    for one, other in (connection, connection[::-1]):
        owner = owners.find(6, one, other)
        assert owner.pid == os.getpid()
        assert owner.to_eve()["name"]


def test_an_unconnected_datagram_socket():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        own = (socket.inet_aton("127.0.0.1"), sock.getsockname()[1])
        assert Owners().find(17, (b"\x08\x08\x08\x08", 53), own).pid == os.getpid()


def test_a_dual_stack_socket_is_found_by_ipv4():
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            accepted, _ = server.accept()
            with accepted:
                local = socket.inet_aton("127.0.0.1")
                owner = Owners().find(6, (local, client.getsockname()[1]), (local, port))
                assert owner.pid == os.getpid()


def test_a_closed_connection_is_its_listeners():
    with socket.create_server(("127.0.0.1", 0)) as server:
        local = socket.inet_aton("127.0.0.1")
        port = server.getsockname()[1]
        assert Owners().find(6, (b"\xc0\x00\x02\x09", 40_000), (local, port)).pid == os.getpid()
        assert Owners().find(6, (local, 40_000), (b"\xc0\x00\x02\x09", port)) is None


def test_the_control_group_tells_where_descriptors_are_closed_to_us(tmp_path, connection, monkeypatch):
    folder = tmp_path / "system.slice" / "nginx.service"
    folder.mkdir(parents=True)
    (folder / "cgroup.procs").write_text(f"{os.getpid()}\n")
    owners = Owners(groups=[tmp_path / "none", tmp_path])
    group = folder.stat().st_ino
    monkeypatch.setattr(owners, "_scan", dict)  # as for a process without capabilities
    real = owners._from_netlink
    monkeypatch.setattr(
        owners, "_from_netlink", lambda *a: [Socket(s.own, s.peer, s.inode, group) for s in real(*a)]
    )
    owner = owners.find(6, *connection)
    assert (owner.pid, owner.unit) == (os.getpid(), "nginx.service")


def test_the_kernel_tells_the_control_group(connection):
    found = Owners()._from_netlink(6, 4)
    assert any(s.group for s in found if s.own == connection[0])


def test_a_connection_of_another_host():
    assert Owners().find(6, (b"\x01\x02\x03\x04", 5), (b"\x06\x07\x08\x09", 10)) is None


ID = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("path", "unit", "container"),
    [
        ("0::/system.slice/nginx.service", "nginx.service", ""),
        ("0::/user.slice/user-0.slice/session-3.scope", "session-3.scope", ""),
        (f"0::/system.slice/docker-{ID}.scope", f"docker-{ID}.scope", ID[:12]),
        (f"12:pids:/docker/{ID}\n0::/", "", ID[:12]),
        (
            f"0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-{ID}.scope",
            f"cri-containerd-{ID}.scope",
            ID[:12],
        ),
        ("0::/", "", ""),
        ("", "", ""),
    ],
)
def test_unit_and_container(path, unit, container):
    assert read_cgroup(path) == (unit, container)


def test_a_burst_of_questions_reads_the_kernels_table_once(monkeypatch):
    owners, reads = Owners(), []
    monkeypatch.setattr(owners, "_sockets", lambda *asked: reads.append(asked) or [])
    monkeypatch.setattr("sentinel.capture.sockets.time.monotonic", lambda: 100.0 + len(reads) * 0.05)
    for port in range(500):
        owners.find(6, (b"\x01\x02\x03\x04", port), (b"\x06\x07\x08\x09", 10))
    assert len(reads) == 1
