"""Family: SMTP with MIME, FTP and SSH banners under their keywords, file names and payload rules."""

import base64
import struct

from differential import matches
from differential.traffic import Session

WORDS = [b"EHLO", b"shop.example", b"MAIL FROM", b"RCPT", b"evil", b"Subject", b"attachment", b"invoice.exe", b"report.pdf", b"MZ", b"%PDF-1.4", b"hello world", b"text/plain", b"USER", b"anonymous",
         b"RETR", b"secret.txt", b"SSH-2.0", b"OpenSSH", b"libssh", b"2.0", b"diffie", b"220 ", b"250", b"\r\n", b"QUIT", b"<html>", b"http://evil.example/x"]  # fmt: skip


def mail(rng):
    attached = rng.choice((b"MZ\x90\x00 program" * 3, b"%PDF-1.4 text", b"<html>hello world</html>"))
    name = rng.choice((b"invoice.exe", b"report.pdf", b"a b.txt"))
    encoded = base64.encodebytes(attached).replace(b"\n", b"\r\n")
    shape = rng.random()
    if shape < 0.3:
        return b"Subject: hello\r\n\r\nhello world http://evil.example/x\r\n"
    if shape < 0.5:
        return (
            b'Subject: x\r\nContent-Type: application/octet-stream\r\nContent-Disposition: attachment; filename="'
            + name
            + b'"\r\nContent-Transfer-Encoding: base64\r\n\r\n'
            + encoded
        )
    parts = (
        b'--zz\r\nContent-Type: text/plain\r\n\r\nhello world\r\n--zz\r\nContent-Type: application/octet-stream; name="'
        + name
        + b'"\r\nContent-Disposition: attachment; filename="'
        + name
    )
    return (
        b"Subject: y\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=zz\r\n\r\n"
        + parts
        + b'"\r\nContent-Transfer-Encoding: base64\r\n\r\n'
        + encoded
        + b"\r\n--zz--\r\n"
    )


def smtp(rng):
    out = [
        (False, b"220 mail.shop.example ESMTP\r\n"),
        (True, b"EHLO shop.example\r\n"),
        (False, b"250-mail\r\n250 SIZE\r\n"),
    ]
    for _ in range(rng.choice((1, 1, 2))):
        out += [(True, b"MAIL FROM:<a@evil.example>\r\n"), (False, b"250 OK\r\n"), (True, b"RCPT TO:<b@shop.example>\r\n"), (False, b"250 OK\r\n"), (True, b"DATA\r\n"),
                (False, b"354 go\r\n"), (True, mail(rng) + b".\r\n"), (False, b"250 queued\r\n")]  # fmt: skip
    return [*out, (True, b"QUIT\r\n"), (False, b"221 bye\r\n")], 25


def ftp(rng):
    out = [
        (False, b"220 FTP ready\r\n"),
        (True, b"USER anonymous\r\n"),
        (False, b"331 password\r\n"),
        (True, b"PASS x@evil.example\r\n"),
        (False, b"230 in\r\n"),
    ]
    for _ in range(rng.choice((0, 1, 2))):
        out += [
            (
                True,
                rng.choice(
                    (b"RETR secret.txt\r\n", b"PORT 10,8,0,1,4,5\r\n", b"CWD /a\r\n", b"PORT 9,9,9,9,4,5\r\n")
                ),
            ),
            (False, b"200 ok\r\n"),
        ]
    return [*out, (True, b"QUIT\r\n"), (False, b"221 bye\r\n")], 21


def kexinit(rng):
    def names(*each):
        text = b",".join(rng.sample(each, rng.randint(1, len(each))))
        return struct.pack(">I", len(text)) + text

    lists = (
        names(b"curve25519-sha256", b"diffie-hellman-group14-sha256")
        + names(b"ssh-ed25519", b"rsa-sha2-256")
        + names(b"aes128-ctr", b"aes256-ctr") * 2
    )
    lists += (
        names(b"hmac-sha2-256", b"hmac-sha1") * 2 + names(b"none", b"zlib") * 2 + struct.pack(">II", 0, 0)
    )
    body = b"\x14" + rng.randbytes(16) + lists + b"\0" + bytes(4)
    pad = 8 - (len(body) + 5) % 8 + 8
    return struct.pack(">IB", len(body) + 1 + pad, pad) + body + bytes(pad)


def ssh(rng):
    banner = rng.choice(
        (b"SSH-2.0-OpenSSH_9.2 Debian\r\n", b"SSH-2.0-libssh_0.9\n", b"SSH-1.99-x\r\n", b"SSH-2.0-\r\n")
    )
    out = [(False, rng.choice((b"SSH-2.0-OpenSSH_8.4\r\n", b"SSH-2.0-dropbear\r\n"))), (True, banner)]
    if rng.random() < 0.7:
        out += [(True, kexinit(rng)), (False, kexinit(rng))]
    return out, 22


def rules(rng, first_sid, count):
    for sid in range(first_sid, first_sid + count):
        flow = rng.choice(("", "", "flow:established; ", "flow:to_server; ", "flow:established,to_client; "))
        shape = rng.random()
        if shape < 0.35:
            buffer = rng.choice(
                (
                    "ssh.proto",
                    "ssh.software",
                    "ssh.hassh",
                    "ssh.hassh.string",
                    "ssh.hassh.server.string",
                    "ssh_proto",
                    "ssh.hassh.server",
                )
            )
            if buffer in {"ssh.hassh", "ssh.hassh.server"}:
                body = f'{buffer}; pcre:"/^[0-9a-f]{{2}}{rng.choice("0123456789abcdef")}/"; '
            else:
                body = f"{buffer}; " + matches.matches(rng, WORDS, buffered=True, most=rng.choice((1, 2)))
            flow = "" if "server" in buffer or "hassh" in buffer else flow
            yield f"alert ssh any any -> any any ({flow}{body}sid:{sid};)"
        elif shape < 0.6:
            body = rng.choice((f"file.data; {matches.matches(rng, WORDS, buffered=True, most=2)}", f"file.name; {matches.matches(rng, WORDS, buffered=True, most=1)}", 'fileext:"exe"; ', 'filename:"report"; ',
                               f"filesize:{rng.choice('<>')}{rng.choice((10, 30, 60))}; ", f"filemagic:\"{rng.choice(('PDF', 'executable'))}\"; ", "filestore; "))  # fmt: skip
            yield f"alert smtp any any -> any any ({flow if 'client' not in flow else ''}{body}sid:{sid};)"
        else:
            protocol = rng.choice(("smtp", "ftp", "ssh", "tcp"))
            yield f"alert {protocol} any any -> any any ({flow}{matches.matches(rng, WORDS, most=2)}sid:{sid};)"


def sessions(rng, count):
    out = []
    for i in range(count):
        manner = {
            "segment": rng.choice((None, None, "random", 40)),
            "ending": rng.choice(Session.ENDINGS),
            "ack": rng.choice((True, True, "each", False)),
        }
        messages, port = rng.choice((smtp, smtp, ftp, ssh, ssh))(rng)
        out.append(
            Session(
                rng,
                f"10.8.{i // 200}.{i % 200 + 1}",
                "192.168.7.25",
                1024 + rng.randrange(60000),
                port,
                **manner,
            ).run(messages)
        )
    return out
