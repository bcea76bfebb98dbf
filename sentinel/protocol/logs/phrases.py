"""The phrases in which daemons report logins, refusals and abuse: program -> expressions with named groups.

Group names are those of `access.ECS`; the constants that go with a phrase say what it means (event.action,
event.outcome, event.category). The first phrase that matches counts. Where an attacker chooses part of the text (a
user name holding " from 10.0.0.1"), the expression is anchored so that the daemon's own address is found.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from sentinel.protocol.logs.access import V4, V6

ADDRESS = rb"(?P<address>(?:::ffff:)?" + V4 + rb"|" + V6 + rb")"
HOST = rb"(?P<address>[^\s\"'<>()\[\],;]+)"  # an address or a name
PORT = rb"(?: port (?P<port>\d+))?"
FAIL, GOOD = b"failure", b"success"


@dataclass(frozen=True, slots=True)
class Phrase:
    shape: re.Pattern[bytes]
    constants: dict[str, bytes] = field(default_factory=dict)


def _phrases(*entries: tuple[bytes, str, bytes]) -> tuple[Phrase, ...]:
    """(expression, event.action, event.outcome or empty)."""
    made = []
    for shape, action, outcome in entries:
        constants = {"event.action": action.encode()}
        if outcome:
            constants["event.outcome"] = outcome
        made.append(Phrase(re.compile(shape, re.DOTALL), constants))
    return tuple(made)


SSH_NOISE = rb"(?:\[ID \d+ [\w.]+\] )?(?:kernel: ?\[[^\]]*\]: )?(?:error: |fatal: )*"
SSH = _phrases(
    (SSH_NOISE + rb"Accepted \S+ for (?P<user>.*) from " + HOST + PORT, "logged-in", GOOD),
    (
        SSH_NOISE + rb"Failed \S+ for (?:(?:invalid|illegal) user )?(?P<user>\S+) from " + HOST + PORT
        + rb"(?: ssh\d*)?(?:: .*|\s*$)",
        "login-failed",
        FAIL,
    ),
    (
        SSH_NOISE + rb"Failed \S+ for (?:(?:invalid|illegal) user )?<?(?P<user>.*?)>? from " + HOST + PORT
        + rb"(?: ssh\d*)?(?:: (?:(?! from ).)*)?\s*$",
        "login-failed",
        FAIL,
    ),
    (SSH_NOISE + rb"(?:Invalid|Illegal) user (?P<user>.*) from " + HOST + PORT, "invalid-user", FAIL),
    (SSH_NOISE + rb"User (?P<user>.+) from " + HOST + PORT + rb" not allowed because ", "refused", FAIL),
    (
        SSH_NOISE + rb"PAM: .*? for (?:(?:invalid|illegal) user )?(?P<user>.*) from " + HOST + rb"(?: via \S+)?\s*$",
        "login-failed",
        FAIL,
    ),
    (
        SSH_NOISE + rb"maximum authentication attempts exceeded for (?:(?:invalid|illegal) user )?(?P<user>.*) from "
        + HOST + PORT,
        "too-many-failures",
        FAIL,
    ),
    (
        SSH_NOISE + rb"(?:Disconnecting|Disconnected from|Connection (?:closed|reset) by) (?:authenticating|invalid) "
        rb"user (?P<user>.*?) " + HOST + PORT,
        "disconnected-preauth",
        FAIL,
    ),
    (SSH_NOISE + rb"Connection (?:closed|reset) by " + HOST + PORT + rb" \[preauth\]", "disconnected-preauth", FAIL),
    (SSH_NOISE + rb"Received disconnect from " + HOST + PORT + rb":\s*\d+: .*Auth fail", "login-failed", FAIL),
    (SSH_NOISE + rb"Received disconnect from " + HOST + PORT + rb":\s*\d+: No (?:supported )?auth", "protocol-error", b""),
    (SSH_NOISE + rb"Received disconnect from " + HOST + PORT, "disconnected", b""),
    (SSH_NOISE + rb"Disconnected from(?: user (?P<user>\S+))? " + HOST + PORT, "disconnected", b""),
    (SSH_NOISE + rb"Disconnecting: Too many authentication failures for (?P<user>.*?)(?: from " + HOST + PORT + rb".*)?(?: \[preauth\])?$", "too-many-failures", FAIL),
    (SSH_NOISE + rb"Did not receive identification string from " + HOST + PORT, "protocol-error", b""),
    (SSH_NOISE + rb"Bad protocol version identification '.*' from " + HOST + PORT, "protocol-error", b""),
    (SSH_NOISE + rb"Unable to negotiate with " + HOST + PORT + rb": no matching", "protocol-error", b""),
    (SSH_NOISE + rb"(?:Timeout|Connection closed) before authentication for (?:connection from )?" + HOST, "timeout-preauth", b""),
    (SSH_NOISE + rb"banner exchange: Connection from " + HOST + PORT, "protocol-error", b""),
    (SSH_NOISE + rb"Protocol major versions differ for " + HOST, "protocol-error", b""),
    (SSH_NOISE + rb"Magic value check failed \(\d+\) on obfuscated handshake from " + HOST + PORT, "protocol-error", FAIL),
    (SSH_NOISE + rb"ROOT LOGIN REFUSED FROM " + HOST + PORT, "refused", FAIL),
    (rb"refused connect from \S+ \(" + ADDRESS + rb"\)", "refused", b""),
    (rb"refused connect from " + HOST, "refused", b""),
)  # fmt: skip
PAM = _phrases(
    (
        (
            rb"(?:\(?pam_\w+\)?(?:\([^)]*\))?:? )?authentication failure; .*?ruser=(?P<ruser>.*?)\s+rhost=(?P<address>\S*)"
            rb"(?:\s+user=(?P<user>\S+))?\s*$"
        ),
        "login-failed",
        FAIL,
    ),
    (rb"pam_tally2?\([^)]*\): user (?P<user>\S+) \(\d+\) tally \d+, deny", "account-locked", b""),
    (
        rb"pam_faillock\([^)]*\): Consecutive login failures for user (?P<user>\S+) account",
        "account-locked",
        FAIL,
    ),
    (rb"pam_\w+\([^)]*\): check pass; user unknown", "invalid-user", b""),
    (rb"pam_\w+\([^)]*\): session opened for user (?P<user>[^\s(]+)", "session-opened", GOOD),
    (rb"pam_\w+\([^)]*\): session closed for user (?P<user>\S+)", "session-closed", b""),
)
SUDO = _phrases(
    (
        rb"\s*(?P<user>\S+) : (?:user NOT in sudoers|command not allowed|user NOT authorized)",
        "sudo-failed",
        FAIL,
    ),
    (rb"\s*(?P<user>\S+) : \d+ incorrect password attempts?", "sudo-failed", FAIL),
    (rb"\s*(?P<user>\S+) : a password is required", "sudo-failed", FAIL),
    (rb"\s*(?P<user>\S+) : (?:.*; )?TTY=", "command-run", GOOD),
)
SU = _phrases(
    (rb"FAILED (?:SU|su) \(to \S+\) (?P<user>\S+)", "su-failed", FAIL),
    (rb"FAILED su for \S+ by (?P<user>\S+)", "su-failed", FAIL),
    (rb"- \S+ (?P<user>[^\s:]+):\S+", "su-failed", FAIL),
    (rb"BAD SU (?P<user>\S+) to", "su-failed", FAIL),
    (rb"\(to \S+\) (?P<user>\S+)", "su-opened", GOOD),
    (rb"(?:Successful su for \S+ by|\+ \S+) (?P<user>[^\s:]+)", "su-opened", GOOD),
)
LOGIN = _phrases(
    (rb"FAILED LOGIN (?:SESSION )?(?:\(?\d*\)? )?(?:on '?\S+'? )?(?:FROM '?(?P<address>[^\s',]+)'? )?FOR '?(?P<user>[^',]*)", "login-failed", FAIL),
    (rb"(?:ROOT )?LOGIN ON \S+(?: BY (?P<user>\S+))?(?: FROM (?P<address>\S+))?", "logged-in", GOOD),
    (rb"\d+ LOGIN FAILURES? (?:ON \S+ )?(?:FROM (?P<address>[^,\s]+))?", "login-failed", FAIL),
)  # fmt: skip
POSTFIX = _phrases(
    (
        rb"(?:warning: )?\S*\[" + ADDRESS + rb"\](?::\d+)?: SASL \S+ authentication (?:failed|failure)(?:.*, sasl_username=(?P<user>\S+))?",
        "login-failed",
        FAIL,
    ),
    (rb"\w+: client=\S+\[" + ADDRESS + rb"\](?::\d+)?, sasl_method=\S+, sasl_username=(?P<user>\S+)", "logged-in", GOOD),
    (rb"(?:NOQUEUE|\w+): (?:milter-)?reject: .*? from \S+\[" + ADDRESS + rb"\](?::\d+)?: .*Relay access denied", "relay-denied", b""),
    (rb"(?:NOQUEUE|\w+): (?:milter-)?reject: .*? from \S+\[" + ADDRESS + rb"\](?::\d+)?: .*[Uu]ser unknown", "unknown-recipient", b""),
    (rb"(?:NOQUEUE|\w+): (?:milter-)?reject: .*? from \S+\[" + ADDRESS + rb"\]", "refused", b""),
    (rb"(?:lost connection|improper command pipelining|too many errors|timeout|non-SMTP command) .*?from \S+\[" + ADDRESS + rb"\]", "protocol-error", b""),
    (rb"warning: non-SMTP command from \S+\[" + ADDRESS + rb"\]", "protocol-error", b""),
    (rb"warning: hostname \S+ (?:does not resolve|verification failed).*? (?:to )?address " + ADDRESS, "unresolved-name", b""),
    (rb"warning: " + ADDRESS + rb": (?:hostname|address)", "unresolved-name", b""),
    (rb"disconnect from \S*\[" + ADDRESS + rb"\].* auth=0/\d", "disconnected-unauthenticated", b""),
    (rb"(?:dis)?connect from \S*\[" + ADDRESS + rb"\]", "connection", b""),
    (rb".*? from \S*\[" + ADDRESS + rb"\](?::(?P<port>\d+))?", "connection", b""),
)  # fmt: skip
DOVECOT = _phrases(
    (
        (rb".*?\((?:.*, )?(?:(?:proxy dest )?auth failed|tried to use (?:disabled|disallowed) \S+ auth).*?(?: user=<(?P<user>[^>]*)>.*?)? "
        rb"rip=(?P<address>[^\s,]+)"),
        "login-failed",
        FAIL,
    ),
    (
        rb".*?\b(?:pam|sql|ldap|passwd-file|passwd|shadow|static|dict|lua|imap|checkpassword|oauth2)\((?P<user>[^,)]*),"
        + ADDRESS + rb"(?:,<?[^)]*)?\): (?:pam_authenticate\(\) failed|unknown user|[Pp]assword mismatch|invalid credentials|.*[Aa]uth\w* fail)",
        "login-failed",
        FAIL,
    ),
    (rb".*?(?:no auth attempts|didn't finish SASL|before auth was ready|before greeting).*? user=<[^>]*>.*? rip=(?P<address>[^\s,]+)", "disconnected-preauth", b""),
    (rb".*?-login: (?:Info: )?Login: user=<(?P<user>[^>]*)>.*? rip=(?P<address>[^\s,]+)", "logged-in", GOOD),
    (rb".*? user=<(?P<user>[^>]*)>.*? rip=(?P<address>[^\s,]+)", "disconnected", b""),
)  # fmt: skip
EXIM_FROM = rb"(?:[^\s\[(]{1,255} ?)?(?:\(.{0,255}?\) ?)?\[" + ADDRESS + rb"\](?::(?P<port>\d+))?"
EXIM = _phrases(
    (rb".*?\b\w+ authenticator failed for " + EXIM_FROM + rb".*? 5\d\d (?:.*\(set_id=(?P<user>.*?)\))?", "login-failed", FAIL),
    (rb".*?H=" + EXIM_FROM + rb".*? rejected RCPT <?(?P<user>[^\s>:]+)>?", "relay-denied", b""),
    (rb".*?H=" + EXIM_FROM + rb".*? sender verify fail for <(?P<user>[^>]*)>", "refused", b""),
    (rb".*?SMTP protocol error in \"AUTH .*? H=" + EXIM_FROM, "auth-error", FAIL),
    (rb".*?(?:H=|SMTP (?:call|connection) from |connection from (?:H=)?)" + EXIM_FROM, "refused", b""),
)  # fmt: skip
FTP = _phrases(
    # proftpd writes its client as (name[address]) before the user's part of the text
    (
        rb"(?:\S+ )?\(\S*?\[" + ADDRESS + rb"\]\)(?:: | - )+USER (?P<user>.*?)(?:: no such user found| \(Login failed\)"
        rb"|: (?:Password|Account) (?:has )?(?:expired|disabled)|: Not a UserAlias|: (?:Limit|Directory) \w+ den(?:ies|ied)|: .{0,40}(?:denied|refused)\b)",
        "login-failed",
        FAIL,
    ),
    (rb"(?:\S+ )?\(\S*?\[" + ADDRESS + rb"\]\)(?:: | - )+\s*SECURITY VIOLATION: (?P<user>\S*) login attempted", "login-failed", FAIL),
    (rb"(?:\S+ )?\(\S*?\[" + ADDRESS + rb"\]\)(?:: | - )+(?:ANON|USER) (?P<user>.*?): Login successful", "logged-in", GOOD),
    (rb"(?:\S+ )?\(\S*?\[" + ADDRESS + rb"\]\)(?:: | - )+\s*Maximum login attempts", "too-many-failures", FAIL),
    (rb"\(\??[^@]*@" + HOST + rb"\) \[WARNING\] [^\[\]]+ \[(?P<user>[^\[\]]*)\]\s*$", "login-failed", FAIL),
    (rb"\((?P<user>[^@]*)@" + HOST + rb"\) \[(?:INFO|NOTICE)\] (?P<who>\S+) is now logged in", "logged-in", GOOD),
    (rb"(?:\[pid \d+\] )?\[(?P<user>.*?)\] FAIL LOGIN: Client \"" + ADDRESS, "login-failed", FAIL),
    (rb"(?:\[pid \d+\] )?\[(?P<user>.*?)\] OK LOGIN: Client \"" + ADDRESS, "logged-in", GOOD),
    (rb"(?:\[pid \d+\] )?\[(?P<user>.*?)\] FTP response: Client \"" + ADDRESS + rb"\", \"530", "login-failed", FAIL),
    (rb"(?:\[pid \d+\] )?CONNECT: Client \"" + ADDRESS, "connection", b""),
)  # fmt: skip
DATABASE = _phrases(
    (rb".*?Access denied for user '(?P<user>.*?)'@'(?P<address>[^']*)'", "login-failed", FAIL),
    (
        rb".*?Login failed for user '(?P<user>.*)'\. Reason: .*\[CLIENT: " + HOST + rb"\]",
        "login-failed",
        FAIL,
    ),
    (rb".*?Host '" + HOST + rb"' is (?:not allowed to connect|blocked)", "refused", FAIL),
    (
        rb".*?Failed to authenticate (?P<user>\S+?)@\S+ (?:from client " + ADDRESS + rb")?",
        "login-failed",
        FAIL,
    ),
    (
        rb".*?no pg_hba\.conf entry for (?:host|replication connection from host) \""
        + ADDRESS
        + rb"\", user \"(?P<user>[^\"]*)\"",
        "refused",
        FAIL,
    ),
)
NAMED = _phrases(
    (
        rb".*?\bclient (?:@0x[0-9a-f]+ )?" + ADDRESS + rb"#(?P<port>\d+)\b.*(?:denied|NOTAUTH|refused)",
        "refused",
        b"",
    ),
    (rb".*?\bclient (?:@0x[0-9a-f]+ )?" + ADDRESS + rb"#(?P<port>\d+)", "query", b""),
)
APACHE_FRONT = rb"(?:\[[^\]]*\] ?)*?\[(?:client|remote) (?P<address>[^\]\s]+?)(?::(?P<port>\d+))?\](?: \[client [^\]]*\])? (?:AH\d+: )?(?:[\w.-]+: )?"
APACHE = _phrases(
    (APACHE_FRONT + rb"(?:Digest: )?user [`']?(?P<user>.*?)'?(?: in realm .*)?(?:: authentication failure|,? not found\b|:? authorization failure|: password mismatch| denied by provider)", "login-failed", FAIL),
    (APACHE_FRONT + rb"Authorization of user (?P<user>.*?) to access .* failed", "refused", FAIL),
    (APACHE_FRONT + rb"client (?:denied by server configuration|used wrong authentication scheme)", "refused", FAIL),
    (APACHE_FRONT + rb"(?:Digest: )?(?:invalid (?:nonce|qop)|unknown algorithm|realm mismatch|invalid method|incorrect authentication)", "auth-error", FAIL),
    (APACHE_FRONT + rb"Hostname .* provided via SNI(?: and hostname .* provided via HTTP|, but no hostname provided)", "protocol-error", FAIL),
    (APACHE_FRONT + rb"\w{3} \[Login denied for user \"(?P<user>.*?)\"\]", "login-failed", FAIL),
    (APACHE_FRONT + rb"Got error '(?:PHP message: )?.*?\buser (?P<user>\S+) (?:authentication failure|authentication failed|login failed)", "login-failed", FAIL),
    (APACHE_FRONT + rb"(?:script|File does not exist|Invalid URI|Invalid method|request failed|invalid URI path)", "web-error", b""),
    (APACHE_FRONT, "web-error", b""),
    (rb".*?\[client (?P<address>[^\]\s]+?)(?::(?P<port>\d+))?\]", "web-error", b""),
)  # fmt: skip
KERNEL = _phrases(
    (rb".*?\bSRC=" + HOST + rb" DST=.*?(?: SPT=(?P<port>\d+))?", "packet", b""),
    (rb".*?wireguard: \S+: Packet has unallowed src IP .*? from peer \d+ \(" + ADDRESS + rb":(?P<port>\d+)\)", "refused", FAIL),
    (rb".*?wireguard: \S+: Invalid .*? from " + ADDRESS + rb":(?P<port>\d+)", "refused", FAIL),
)  # fmt: skip
SENDMAIL = _phrases(
    (rb".*AUTH failure .*?(?:, user=(?P<user>[^,]*))?.*relay=(?:[^\[,]* )?\[(?:IPv6:)?" + ADDRESS + rb"\]", "login-failed", FAIL),
    (rb".*? \[(?:IPv6:)?" + ADDRESS + rb"\](?: \(may be forged\))?: possible SMTP attack: command=AUTH", "login-failed", FAIL),
    (rb".*relay=(?:[^\[,]* )?\[(?:IPv6:)?" + ADDRESS + rb"\]", "refused", b""),
)  # fmt: skip
ROUNDCUBE = _phrases(
    (
        rb".*?Login failed for (?P<user>.*?)\.?(?: in)? from " + ADDRESS + rb"(?!\.?(?: in)? from )",
        "login-failed",
        FAIL,
    ),
    (rb".*?(?:FAILED|Failed) login for (?:user )?\"?(?P<user>.*?)\"? from " + ADDRESS, "login-failed", FAIL),
    (rb".*?Successful login for (?P<user>\S+) .*? from " + ADDRESS, "logged-in", GOOD),
)
# The name is all that follows in the one, and all before the last address in the other, whatever it holds.
XRDP = _phrases(
    (rb".*?\bAUTHFAIL: user=(?P<user>.*) ip=" + ADDRESS + rb"(?: time=\d+)?\s*$", "login-failed", FAIL),
    (
        rb"(?:\[[^\]]*\] ?)*xrdp_wm_log_msg: login failed for (?:user|display) (?P<user>.*)",
        "login-failed",
        FAIL,
    ),
)
OTHER = _phrases(
    (rb"(?:info: )?block\(\d+\): tcp/accept \]: (?P<address>(?:\d+\.){3}\d+)\.(?P<port>\d+) .*(?:could not access user|system authentication failed|error after reading)", "login-failed", FAIL),
    (rb"\S*\|\d+\|\w+\|" + ADDRESS + rb"\|.*(?:[Ll]ogin attempt failed|failed)(?: (?:for|from) (?P<user>.*?)\.?$)?", "login-failed", FAIL),
    (rb".*?authentication failure; rhost=(?P<address>\S+) user=(?P<user>.*?)(?:@\w+)? msg=", "login-failed", FAIL),
    (rb"(?:[^,]*,){2,4}[^,]*:\d+,\[?" + ADDRESS + rb"\]?:(?P<port>\d+),.*(?:Authentication (?:failure|unsuccessful)|LogonDenied)", "login-failed", FAIL),
    (rb"(?:[^,]*,){2,4}[^,]*:\d+,\[?" + ADDRESS + rb"\]?:(?P<port>\d+),", "connection", b""),
    (rb".*?\bproto \S+ .*?, ?\[?" + ADDRESS + rb"\]?:(?P<port>\d+)->", "packet", b""),
    (rb".*?Rejecting unknown SIP connection from \[?" + ADDRESS, "login-failed", FAIL),
    (rb".*?Login from '" + ADDRESS + rb"(?:,[^']*)?' for user '(?P<user>.*?)' might not have worked", "login-failed", FAIL),
    (rb".*?Fatal Error reading authentication information from client " + ADDRESS + rb":(?P<port>\d+)", "login-failed", FAIL),
    (rb".*?sending packet: from \S+ to " + ADDRESS + rb"\[(?P<port>\d+)\]", "packet", b""),
    (rb".*?\] (?P<user>\S+) \S+ " + ADDRESS + rb" global miniserv\.pl \"failed\"", "login-failed", FAIL),
    (rb".*?\bLogin (?:disabled|failed|failure|excessive login failures|SYSTEM BREAK-IN ATTEMPT)\b.*? user=(?P<user>\S*) .*?host=\S*\s?\[" + ADDRESS + rb"\]", "login-failed", FAIL),
    (rb".*?\bUser (?P<user>\S+) doesn't exist\. Attempt from IP address " + ADDRESS, "login-failed", FAIL),
    (rb".*?Possible SECURITY ATTACK detected\..*Connection from " + ADDRESS + rb":(?P<port>\d+) aborted", "protocol-error", b""),
    # access lines of Go's gin and of Play
    (rb"\[GIN\] .*?\|\s*(?P<status>\d{3}) \|[^|]*\|\s*" + ADDRESS + rb" \|\s*(?P<method>[A-Z]+)\s+\"(?P<target>[^\"]*)\"", "request", b""),
    (rb".*? " + ADDRESS + rb" (?P<method>[A-Z]{3,7}) (?P<target>/\S*) took \d+ms and returned (?P<status>\d{3}) (?P<bytes>\d+) bytes", "request", b""),
    (rb".*?hacking attempt detected '" + ADDRESS + rb"'", "login-failed", FAIL),
    (rb".*?\bAUTHERR - \[?" + ADDRESS, "login-failed", FAIL),
    (rb".*?successful auth for user '(?P<user>.*?)(?:@\w+)?'", "logged-in", GOOD),
    (rb".*?\blogin failure for user (?P<user>.*?) from " + HOST + rb" via ", "login-failed", FAIL),
    (rb".*?user denied: (?P<user>.*?) \(.*?\) from " + HOST, "login-failed", FAIL),
    (rb".*?SecurityEvent=\"(?:FailedACL|InvalidAccountID|ChallengeResponseFailed|InvalidPassword)\".*?(?:AccountID=\"(?P<user>[^\"]*)\".*?)?RemoteAddress=\"IPV[46]/\w+/" + ADDRESS + rb"/(?P<port>\d+)\"", "login-failed", FAIL),
    (rb".*?(?:Registration|Request)(?: '?\w+'?)? from '.*' failed for '" + ADDRESS + rb"(?::(?P<port>\d+))?'", "login-failed", FAIL),
)  # fmt: skip

PROGRAMS: dict[bytes, tuple[Phrase, ...]] = {
    b"sshd": SSH + PAM, b"sshd-session": SSH + PAM, b"sshd-auth": SSH + PAM, b"dropbear": PAM,
    b"sudo": SUDO + PAM, b"su": SU + PAM, b"login": LOGIN + PAM, b"systemd-logind": PAM, b"CRON": PAM, b"cron": PAM, b"crond": PAM, b"sshd-pam": PAM,
    b"postfix": POSTFIX, b"dovecot": DOVECOT + PAM, b"exim": EXIM, b"exim4": EXIM, b"sendmail": SENDMAIL, b"sm-mta": SENDMAIL,
    b"proftpd": FTP + PAM, b"vsftpd": FTP + PAM, b"pure-ftpd": FTP + PAM,
    b"mysqld": DATABASE, b"mariadbd": DATABASE, b"mariadb": DATABASE, b"named": NAMED, b"kernel": KERNEL,
    b"xrdp": XRDP, b"xrdp-sesman": XRDP + PAM, b"roundcube": ROUNDCUBE, b"httpd": APACHE, b"apache2": APACHE, b"apache": APACHE,
}  # fmt: skip
ANY = (*PAM, *DOVECOT[:2], *EXIM[:1], *FTP[:1], *DATABASE, *NAMED[:1], *ROUNDCUBE, *OTHER)
"""Phrases so telling that they count whichever program is named."""
