"""SMTP and its mails."""

import base64

import pytest

DIALOGUE = [
    (1, b"220 mail.example\r\n"), (0, b"EHLO shop\r\n"), (1, b"250 OK\r\n"), (0, b"MAIL FROM:<a@x>\r\n"),
    (1, b"250 OK\r\n"), (0, b"RCPT TO:<b@y>\r\n"), (1, b"250 OK\r\n"), (0, b"DATA\r\n"), (1, b"354 go\r\n"),
]  # fmt: skip


def mail(talk, text, size=4096):
    said = talk(25).play(DIALOGUE)
    data = text + b"\r\n.\r\n"
    for start in range(0, len(data), size):
        said.client(data[start : start + size])
    return said.server(b"250 done\r\n")


def files(said):
    return [(file.name, bytes(file.data)) for file in said.transactions[0].files]


PART = b'Content-Type: multipart/mixed; boundary="cut"\r\n\r\npreamble\r\n--cut\r\n%b\r\n\r\n%b\r\n--cut--'
NAMED = b'Content-Disposition: attachment; filename="a.bin"\r\nContent-Transfer-Encoding: '


@pytest.mark.parametrize("size", [1, 13, 4096])
@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        (b"base64", base64.encodebytes(b"content " * 30).replace(b"\n", b"\r\n").rstrip()),
        (b"quoted-printable", b"content=20" * 29 + b"content=\r\n=20"),
        (b"8bit", b"content " * 30),
    ],
)
def test_attachments(talk, encoding, text, size):
    said = mail(talk, PART % (NAMED + encoding, text), size)
    assert files(said)[0][0] == b"a.bin"
    assert files(said)[0][1].rstrip(b"\r\n") == b"content " * 30
    assert said.transactions[0].files[0].closed


def test_envelope_and_eve(talk):
    said = mail(talk, b"From: a@x\r\nTo: b@y, c@z\r\nSubject: =?utf-8?B?w7xiZXI=?=\r\n\r\nhello")
    assert said.value("smtp.helo") == b"shop"
    assert said.value("smtp.mail_from") == b"<a@x>"
    assert said.value("smtp.rcpt_to") == [b"<b@y>"]
    assert said.eve()["email"] == {
        "status": "PARSE_DONE", "from": "a@x", "to": ["b@y", "c@z"], "subject": "über", "attachment": [],
    }  # fmt: skip


def test_a_doubled_dot_stays(talk):
    said = mail(talk, PART % (NAMED + b"7bit", b"..one\r\ntwo"))
    assert files(said) == [(b"a.bin", b"..one\r\ntwo")]


def test_a_mail_in_a_mail(talk):
    inner = b'Content-Type: application/octet-stream; name="inner.exe"\r\n\r\nMZ'
    said = mail(talk, b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n" + inner)
    assert files(said)[0][0] == b"inner.exe"


@pytest.mark.parametrize(("more", "event"), [(0, False), (1, True)])
def test_bdat_is_counted_and_not_read(talk, more, event):
    text = b'Content-Type: text/plain; name="b.txt"\r\n\r\nchunk\r\n'
    said = talk(25).play(DIALOGUE[:7]).client(b"BDAT %d LAST\r\n" % (len(text) - more) + text)
    said.server(b"250 OK\r\n").client(b"QUIT\r\n")
    assert files(said) == []
    assert ("bdat_chunk_len_exceeded" in said.flags) is event


def test_two_mails_are_two_transactions(talk):
    said = mail(talk, b"\r\nfirst").play(DIALOGUE[3:]).client(b"\r\nsecond\r\n.\r\n")
    assert len(said.transactions) == 2


@pytest.mark.parametrize(
    ("direction", "data", "event"),
    [
        (0, b"X" * 5000 + b"\r\n", "truncated_line"),
        (1, b"250" * 2000 + b"\r\n", "truncated_line"),
        (1, b"hello\r\n", "invalid_reply"),
    ],
)
def test_events(talk, direction, data, event):
    assert event in talk(25).play(DIALOGUE[:3]).say(direction, data).flags


def test_rejected_commands(talk):
    said = talk(25).play(DIALOGUE[:8]).server(b"554 no\r\n").client(b"STARTTLS\r\n").server(b"554 no\r\n")
    assert {"data_command_rejected", "tls_rejected"} <= said.flags
