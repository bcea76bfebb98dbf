"""FTP commands and announced data flows."""

import pytest


def open_control(talk, *messages):
    return talk(21).server(b"220 (x)\r\n").play([(0, b"USER a\r\n"), (1, b"331 pw\r\n"), *messages])


def test_passive_download(talk):
    control = open_control(
        talk,
        (0, b"PASV\r\n"),
        (1, b"227 Entering (10,0,0,2,4,1)\r\n"),
        (0, b"RETR a.bin\r\n"),
        (1, b"150 ok\r\n"),
    )
    data = talk(1025, layer=control.layer).server(b"content").server(eof=True)
    assert data.flow.app_proto == "ftp-data"
    (file,) = data.transactions[0].files
    assert (file.name, bytes(file.data), file.closed, file.direction) == (b"a.bin", b"content", True, 1)
    assert data.value("ftpdata_command") == "retr"
    assert data.eve() == {"ftp_data": {"filename": "a.bin", "command": "RETR"}}


@pytest.mark.parametrize("order", [b"PORT 10,0,0,1,4,1\r\n", b"EPRT |1|10.0.0.1|1025|\r\n"])
def test_active_upload(talk, order):
    control = open_control(talk, (0, order), (1, b"200 ok\r\n"), (0, b"STOR b\r\n"))
    data = talk(1025, layer=control.layer)
    data.flow.src, data.flow.dst = data.flow.dst, data.flow.src
    assert data.server(b"up").flow.app_proto == "ftp-data"
    assert "ftpbounce" not in control.transactions[1].buffers[0]


def test_bounce(talk):
    said = open_control(talk, (0, b"PORT 1,2,3,4,5,6\r\n"))
    assert any("ftpbounce" in t.buffers[0] for t in said.transactions)


def test_answers_belong_to_commands(talk):
    said = open_control(talk, (0, b"PASS b\r\n"), (1, b"230-hello\r\n230 in\r\n"))
    assert said.eve(2)["ftp"] == {
        "command": "PASS", "command_data": "b", "completion_code": ["230", "230"], "reply": ["hello", "in"],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("direction", "event"), [(0, "request_command_too_long"), (1, "response_command_too_long")]
)
@pytest.mark.parametrize("ending", [b"", b"\r\n"])
def test_long_lines(talk, direction, event, ending):
    assert event in open_control(talk, (direction, b"2" * 5000 + ending)).flags


def test_announcements_are_bounded(talk):
    layer = talk().layer
    for port in range(5000):
        layer.expect((b"a", b"b", port), None)
    assert len(layer.expected) <= 4096
