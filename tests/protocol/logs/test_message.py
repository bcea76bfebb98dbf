"""What daemons say. An attacker who chooses a user name must not choose the address."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel.protocol.logs.message import LONGEST_READ, family, interpret
from sentinel.protocol.logs.phrases import PROGRAMS

F, S = b"failure", b"success"


@pytest.mark.parametrize(
    ("program", "text", "address", "user", "outcome", "action"),
    [
        (b"sshd", b"Accepted publickey for ann from 192.0.2.7 port 4000 ssh2: RSA SHA256:x", b"192.0.2.7", b"ann", S, b"logged-in"),
        (b"sshd", b"Failed password for root from 192.0.2.7 port 4000 ssh2", b"192.0.2.7", b"root", F, b"login-failed"),
        (b"sshd", b"Failed password for invalid user ann from 2001:db8::1 port 4000 ssh2", b"2001:db8::1", b"ann", F, b"login-failed"),
        (b"sshd", b"Failed password for invalid user x from 10.0.0.1 port 1 ssh2 from 192.0.2.7 port 4000 ssh2", b"192.0.2.7", b"x from 10.0.0.1 port 1 ssh2", F, b"login-failed"),
        (b"sshd", b"Failed password for ann from 192.0.2.7 port 4000 ssh2: from 10.0.0.1", b"192.0.2.7", b"ann", F, b"login-failed"),
        (b"sshd-session", b"Invalid user  from 192.0.2.7 port 4000", b"192.0.2.7", None, F, b"invalid-user"),
        (b"sshd", b"User ann from 192.0.2.7 not allowed because not listed in AllowUsers", b"192.0.2.7", b"ann", F, b"refused"),
        (b"sshd", b"error: maximum authentication attempts exceeded for ann from 192.0.2.7 port 4000 ssh2 [preauth]", b"192.0.2.7", b"ann", F, b"too-many-failures"),
        (b"sshd", b"Connection closed by authenticating user ann 192.0.2.7 port 4000 [preauth]", b"192.0.2.7", b"ann", F, b"disconnected-preauth"),
        (b"sshd", b"Connection closed by 192.0.2.7 port 4000", b"192.0.2.7", None, None, None),
        (b"sshd", b"Unable to negotiate with 192.0.2.7 port 4000: no matching cipher found. Their offer: x", b"192.0.2.7", None, None, b"protocol-error"),
        (b"sshd", b"pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=192.0.2.7  user=ann", b"192.0.2.7", b"ann", F, b"login-failed"),
        (b"vsftpd", b"pam_unix(vsftpd:auth): authentication failure; logname= uid=0 euid=0 tty=ftp ruser=ann rhost=10.0.0.1 rhost=192.0.2.7", b"192.0.2.7", b"ann rhost=10.0.0.1", F, b"login-failed"),
        (b"su", b"pam_unix(su:session): session opened for user root(uid=0) by ann(uid=1000)", None, b"root", S, b"session-opened"),
        (b"sudo", b"     ann : TTY=pts/1 ; PWD=/ ; USER=root ; COMMAND=/bin/sh", None, b"ann", S, b"command-run"),
        (b"sudo", b"     ann : user NOT in sudoers ; TTY=pts/1 ; PWD=/ ; USER=root ; COMMAND=/bin/sh", None, b"ann", F, b"sudo-failed"),
        (b"su", b"FAILED SU (to root) ann on pts/1", None, b"ann", F, b"su-failed"),
        (b"login", b"FAILED LOGIN (1) on '/dev/tty1' FOR 'ann', Authentication failure", None, b"ann", F, b"login-failed"),
        (b"postfix/smtpd", b"warning: unknown[192.0.2.7]: SASL LOGIN authentication failed: x, sasl_username=ann", b"192.0.2.7", b"ann", F, b"login-failed"),
        (b"postfix/smtpd", b"NOQUEUE: reject: RCPT from a.example[192.0.2.7]: 454 4.7.1 <x@y>: Relay access denied; from=<a@b>", b"192.0.2.7", None, None, b"relay-denied"),
        (b"dovecot", b"imap-login: Disconnected (auth failed, 1 attempts): user=<ann>, method=PLAIN, rip=192.0.2.7, lip=10.0.0.1", b"192.0.2.7", b"ann", F, b"login-failed"),
        (b"dovecot", b"imap-login: Login: user=<ann>, method=PLAIN, rip=192.0.2.7, lip=10.0.0.1, mpid=5", b"192.0.2.7", b"ann", S, b"logged-in"),
        (b"exim", b"login authenticator failed for (user [10.0.0.1]) [192.0.2.7]:4000: 535 Incorrect authentication data (set_id=ann)", b"192.0.2.7", b"ann", F, b"login-failed"),
        (b"proftpd", b"web1 (a.example[192.0.2.7]) - USER x (y[10.0.0.1]): no such user found from a.example", b"192.0.2.7", b"x (y[10.0.0.1])", F, b"login-failed"),
        (b"named", b"client @0x7f 192.0.2.7#5353 (x): query (cache) 'x/A/IN' denied", b"192.0.2.7", None, None, b"refused"),
        (b"kernel", b"[1.0] [UFW BLOCK] IN=eth0 OUT= SRC=192.0.2.7 DST=10.0.0.1 PROTO=TCP SPT=4000 DPT=22", b"192.0.2.7", None, None, b"packet"),
        (b"shop", b"Login failed for user 'ann' from IP 192.0.2.7", b"192.0.2.7", b"ann", F, None),
        (b"shop", b"user ann logged in from 192.0.2.7", b"192.0.2.7", b"ann", S, None),
        (b"shop", b'192.0.2.7 - ann [02/Mar/2026:08:00:00 +0000] "GET / HTTP/1.1" 401 5 "-" "-"', b"192.0.2.7", b"ann", None, None),
        (b"cron", b"(root) CMD (run-parts /etc/cron.hourly at 10:59:46)", None, None, None, None),
        (b"systemd", b"Started Daily apt download activities.", None, None, None, None),
    ],
)  # fmt: skip
def test_phrases(program, text, address, user, outcome, action):
    found = interpret(program, text)

    assert found.get("source.ip") == address
    assert found.get("user.name") == user
    assert found.get("event.outcome") == outcome
    if action is not None:
        assert found["event.action"] == action


@pytest.mark.parametrize(
    ("text", "address", "port"),
    [
        (b"connection from [2001:db8::1]:4000 refused", b"2001:db8::1", b"4000"),
        (b"peer=::ffff:192.0.2.7 closed at 10:59:46", b"192.0.2.7", None),
        (b"blocked 192.0.2.7:4000 -> 10.0.0.1:80 by client 192.0.2.9", b"192.0.2.9", None),
        (b"version 1.2.3.4.5 started at 12:34:56", None, None),
        (b"address 999.1.1.1 is none", None, None),
        (b"ip: 192.0.2.7.", b"192.0.2.7", None),
    ],
)
def test_the_likeliest_address(text, address, port):
    found = interpret(b"app", text)

    assert (found.get("source.ip"), found.get("source.port")) == (address, port)


def test_families():
    assert family(b"postfix/submission/smtpd") == b"postfix"
    assert family(b"postfix-in/smtpd") == b"postfix"
    assert family(b"/usr/sbin/sshd") == b"sshd"
    assert family(b"auth-worker(12)") == b"auth-worker"


user_names = st.text(st.characters(codec="utf-8", exclude_characters="\n\r"), max_size=80)


@pytest.mark.parametrize(
    "text",
    [
        b"Client sensor-1 [192.0.2.7:40011] disconnected: not authorised.",
        b'Bad Rcon: "rcon 1 "x" y" from "192.0.2.7:1256"',
        b"repeated login failures from 192.0.2.7 (host.example)",
        b"Failed login attempt for anna from 192.0.2.7",
    ],
)
def test_refusals_that_no_phrase_names(text):
    found = interpret(b"x", text)
    assert (found["source.ip"], found["event.outcome"]) == (b"192.0.2.7", b"failure")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (b"[INFO ] AUTHFAIL: user=anna ip=::ffff:198.51.100.7 time=1772452801", b"198.51.100.7"),
        (b"[INFO ] AUTHFAIL: user=x ip=192.0.2.9 time=1 y ip=198.51.100.7 time=1772452801", b"198.51.100.7"),
        (b"[INFO ] xrdp_wm_log_msg: login failed for user anna ip=192.0.2.9 time=1", None),
    ],
)
def test_nor_the_one_xrdp_saw(text, address):
    found = interpret(b"xrdp", text)
    assert (found.get("source.ip"), found["event.outcome"]) == (address, b"failure")


@settings(max_examples=300)
@given(user_names)
def test_an_attacker_does_not_choose_the_address_sshd_saw(user):
    text = f"Failed password for invalid user {user} from 192.0.2.7 port 4000 ssh2".encode()

    found = interpret(b"sshd", text)

    if ": " not in user:  # OpenSSH writes ": " only before a key's fingerprint
        assert found["source.ip"] == b"192.0.2.7"


@settings(max_examples=300)
@given(
    st.sampled_from(sorted(PROGRAMS)),
    st.lists(
        st.sampled_from(
            [
                b" from ",
                b"user=",
                b"[",
                b"]",
                b"1.2.3.4",
                b"::1",
                b"(",
                b"rip=",
                b"auth failed",
                b"\xff",
                b" ",
            ]
        ),
        max_size=60,
    ),
)
def test_never_raises(program, parts):
    interpret(program, b"".join(parts))


def test_only_the_first_page_of_a_message_is_read():
    text = b"x" * LONGEST_READ + b" login failed for user ann from 192.0.2.7"

    assert interpret(b"app", text) == {}
