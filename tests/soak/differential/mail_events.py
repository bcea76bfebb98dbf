"""Family: SMTP dialogues and messages with one thing odd about each, under every smtp event and smtp keyword.

Not random but for the order: each session is one variant.
"""

from differential.traffic import Session

EVENTS = ["invalid_reply", "unable_to_match_reply_with_request", "max_command_line_len_exceeded", "max_reply_line_len_exceeded", "invalid_pipelined_sequence", "bdat_chunk_len_exceeded", "no_server_welcome_message", "tls_rejected", "data_command_rejected", "failed_protocol_change", "mime_parse_failed", "mime_malformed_msg", "mime_invalid_base64", "mime_invalid_qp", "mime_long_line", "mime_long_enc_line", "mime_long_header_name", "mime_long_header_value", "mime_long_boundary", "mime_long_filename", "duplicate_fields", "unparsable_content", "truncated_line"]  # fmt: skip
KEYWORDS = (
    'smtp.helo; content:"a.b"; bsize:3;', 'smtp.helo; content:"c.d";', 'smtp.helo; content:"x y";', 'smtp.mail_from; content:"<a@b>"; bsize:5;',
    'smtp.mail_from; content:"a@b";', 'smtp.mail_from; content:"c@d";', 'smtp.rcpt_to; content:"<b@c>"; bsize:5;', 'smtp.rcpt_to; content:"d@e";',
    'file.data; content:"..hello";', 'file.data; content:"|0d 0a|.hello";', 'file.name; content:"f.txt";', 'file.data; content:"hello";',
)  # fmt: skip
WELCOME, HELLO = [(False, b"220 mail ESMTP\r\n")], [(True, b"EHLO a.b\r\n"), (False, b"250 hello\r\n")]
SENDER, RECIPIENT = (True, b"MAIL FROM:<a@b>\r\n"), (True, b"RCPT TO:<b@c>\r\n")
OK, GO, DATA = (False, b"250 OK\r\n"), (False, b"354 go\r\n"), (True, b"DATA\r\n")
START = [*WELCOME, *HELLO, SENDER, OK, RECIPIENT, OK]
QUIT = [(True, b"QUIT\r\n"), (False, b"221 bye\r\n")]
GREETINGS = (b"554 no\r\n", b"220-mail\r\n220 ESMTP\r\n", b"220\r\n", b"22\r\n", b"abc\r\n", b"554-a\r\n554 b\r\n", b"\n", b"220 mail\n")  # fmt: skip
ANSWERS = (b"250-a\r\n250-PIPELINING\r\n250 OK\r\n", b"250 OK\r\n250 OK\r\n", b"25\r\n", b"xyz abc\r\n", b"251\r\n", b"999 x\r\n", b"500 bad\r\n", b"2500 OK\r\n")  # fmt: skip
COMMANDS = (
    b"EHLO c.d\r\n", b"HELO c.d\r\n", b"HELO x y\r\n", b"ehlo\r\n", b"MAIL FROM: <c@d> SIZE=1\r\n", b"MAIL FROM:c@d\r\n", b"MAIL  FROM:<c@d>\r\n", b"mail from:<c@d>\r\n",
    b"RCPT TO: <d@e>\r\n", b"RCPT TO:d@e x\r\n", b"NOOP\r\n", b"RSET\r\n", b"FOO\r\n", b"\r\n", b"BDAT\r\n", b"BDAT x\r\n", b"VRFY " + b"x" * 5000 + b"\r\n",
    b"STARTTLS\r\n", b"AUTH LOGIN\r\n", b"DATAX\r\n", b"RSET x\r\n",
)  # fmt: skip
ATTACHED = b'Content-Type: text/plain; name="f.txt"\r\n'
BASE64 = ATTACHED + b"Content-Transfer-Encoding: base64\r\n\r\n"
QUOTED = ATTACHED + b"Content-Transfer-Encoding: quoted-printable\r\n\r\n"
MIXED = b"Content-Type: multipart/mixed; boundary=zz\r\n\r\n"
PART = b"--zz\r\n" + ATTACHED + b"\r\nhello\r\n"
MAILS = (
    b"Subject: x\r\n\r\nhello\r\n", b"hello\r\nSubject: x\r\n\r\nhello\r\n", b"\r\nhello\r\n", b"Subject: x\r\n\r\n" + b"y" * 998 + b"\r\n",
    b"Subject: x\r\n\r\n" + b"y" * 999 + b"\r\n", b"X" * 75 + b": x\r\n\r\nhello\r\n", b"X" * 76 + b": x\r\n\r\nhello\r\n",
    b"Subject: " + b"x" * 1990 + b"\r\n\r\nhello\r\n", b"Subject: " + b"x" * 2001 + b"\r\n\r\nhello\r\n",
    b"Subject: " + b"\r\n ".join([b"x" * 500] * 5) + b"\r\n\r\nhello\r\n", b"Subject: " + b"\r\n ".join([b"x" * 500] * 3) + b"\r\n\r\nhello\r\n",
    BASE64 + b"aGVsbG8=\r\n", BASE64 + b"aGVs!!bG8=\r\n", BASE64 + b"aGVsbG8=" * 10 + b"\r\n", BASE64 + b"aGVsbG8h" * 9 + b"\r\n", BASE64 + b"aGVsbG8h" * 10 + b"\r\n",
    BASE64 + b"a\r\n", BASE64 + b"=aGVsbG8=\r\n", BASE64 + b"aGVs bG8h\r\n", BASE64 + b"\xff\xfeaGVsbG8h\r\n",
    QUOTED + b"hello=3D\r\n", QUOTED + b"hello=3d\r\n", QUOTED + b"hello=XY\r\n", QUOTED + b"hello=\r\nx\r\n", QUOTED + b"hello= \r\n", QUOTED + b"hello=4\r\n",
    QUOTED + b"hello" * 16 + b"\r\n", QUOTED + b"hello" * 15 + b"\r\n",
    b"Content-Transfer-Encoding: quoted-printable\r\n\r\nhello=XY\r\n", b"Content-Transfer-Encoding: base64\r\n\r\n" + b"aGVsbG8h" * 10 + b"\r\n",
    MIXED + PART + b"--zz--\r\n", MIXED + PART, MIXED + PART * 2 + b"--zz--\r\n", MIXED + PART + b"--zz--\r\n--zz--\r\n", MIXED + b"hello\r\n", MIXED + PART + b"--zz--\r\nhello\r\n",
    MIXED + PART.replace(b"\r\n\r\n", b"\r\n", 1) + b"--zz--\r\n", MIXED + b"--zz\r\nContent-Type: message/rfc822\r\n\r\nSubject: y\r\n\r\nhello\r\n--zz--\r\n",
    MIXED + b"--zz\r\nContent-Type: multipart/mixed; boundary=yy\r\n\r\n--yy\r\n" + ATTACHED + b"\r\nhello\r\n--yy--\r\n--zz--\r\n",
    MIXED + b"--zz\r\nContent-Type: multipart/mixed; boundary=yy\r\n\r\n--yy\r\n" + ATTACHED + b"\r\nhello\r\n--zz--\r\n",
    *(MIXED.replace(b"=zz", b"=" + b"z" * n) + b"--" + b"z" * n + b"\r\n" + ATTACHED + b"\r\nhello\r\n--" + b"z" * n + b"--\r\n" for n in (70, 253, 254, 255, 256, 300)),
    ATTACHED.replace(b"f.txt", b"f" * 300 + b".txt") + b"\r\nhello\r\n", ATTACHED.replace(b"f.txt", b"f" * 250 + b".txt") + b"\r\nhello\r\n",
    ATTACHED.replace(b"f.txt", b"f" * 252 + b".txt") + b"\r\nhello\r\n", b"Content-Disposition: attachment; filename=f.txt\r\n\r\nhello\r\n", b"NoColon\r\n\r\nhello\r\n",
    b"Subject: x\r\nNoColon\r\n\r\nhello\r\n", b"A b: x\r\n\r\nhello\r\n", b"Content-Type: message/rfc822\r\n\r\nSubject: y\r\n\r\nhello\r\n", b"", b"Subject: x\r\n", b"..hello\r\n", ATTACHED + b"\r\nx\r\n..hello\r\n", ATTACHED + b"\r\nx\r\n.hello\r\n",
    ATTACHED + b"\r\n" + b"y" * 5000 + b"hello\r\n",
)  # fmt: skip


def variants():
    for greeting in GREETINGS:
        yield [(False, greeting), *START[1:], *QUIT]
    yield [*HELLO, *WELCOME, SENDER, OK, *QUIT]
    yield [*HELLO, SENDER, OK, RECIPIENT, OK, DATA, GO, (True, MAILS[0] + b".\r\n"), OK, SENDER, OK, *QUIT]
    for answer in ANSWERS:
        yield [
            *WELCOME,
            HELLO[0],
            (False, answer),
            SENDER,
            OK,
            DATA,
            GO,
            (True, MAILS[0] + b".\r\n"),
            OK,
            *QUIT,
        ]
        yield [*START, DATA, (False, answer), *QUIT]
        yield [*START, DATA, GO, (True, MAILS[0] + b".\r\n"), (False, answer), *QUIT]
    for command in COMMANDS:
        yield [*WELCOME, *HELLO, (True, command), OK, *QUIT]
        yield [*START, (True, command), OK, DATA, GO, (True, MAILS[0] + b".\r\n"), OK, *QUIT]
        yield [*START, (True, command + b"NOOP\r\n"), (False, b"500 no\r\n"), OK, *QUIT]
    yield [*START, DATA, DATA, GO, (True, MAILS[0] + b".\r\n"), OK, *QUIT]
    yield [*START, (True, b"DATA\r\nNOOP\r\n"), (False, b"354 go\r\n250 OK\r\n"), *QUIT]
    yield [*START, (True, b"DATA\r\nNOOP\r\n"), (False, b"554 no\r\n250 OK\r\n"), *QUIT]
    yield [*START, (True, b"BDAT 20 LAST\r\nSubject: x\r\n\r\nhello!"), OK, *QUIT]
    yield [*START, (True, b"BDAT 5 LAST\r\nSubject: x\r\n\r\nhello!\r\n"), OK, *QUIT]
    yield [*WELCOME, HELLO[0], (False, b"250-PIPELINING\r\n250 OK\r\n"), (True, SENDER[1] + RECIPIENT[1] + DATA[1]), (False, b"250 OK\r\n250 OK\r\n354 go\r\n"), (True, MAILS[0] + b".\r\n"), OK, *QUIT]  # fmt: skip
    yield [*WELCOME, HELLO[0], (False, b"250-mail\r\n250-PIPELINING\r\n250 OK\r\n"), (True, SENDER[1] + RECIPIENT[1] + DATA[1] + MAILS[0] + b".\r\nQUIT\r\n"), (False, b"250 OK\r\n250 OK\r\n354 go\r\n250 OK\r\n221 bye\r\n")]  # fmt: skip
    for mail in MAILS:
        yield [*START, DATA, GO, (True, mail + b".\r\n"), OK, *QUIT]


def rules(rng, first_sid, count):
    for i, event in enumerate(EVENTS):
        yield f"alert smtp any any -> any any (app-layer-event:smtp.{event}; sid:{first_sid + i};)"
    for i, keyword in enumerate(KEYWORDS):
        yield f"alert smtp any any -> any any ({keyword} sid:{first_sid + len(EVENTS) + i};)"


def sessions(rng, count):
    out = []
    wanted = list(variants())
    rng.shuffle(wanted)
    for i, messages in enumerate(wanted):
        client = f"10.9.{i // 200}.{i % 200 + 1}"
        session = Session(rng, client, "192.168.9.25", 20000 + i, 25, ending="fin")
        session.frames.label = f"{client} " + " ".join(
            f"{'>' if up else '<'}{data[:50]!r}{len(data)}" for up, data in messages
        )
        out.append(session.run(messages))
    return out
