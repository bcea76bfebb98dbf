"""What a program says in a log message -> ECS fields: who, from where, whether it failed.

In: the program's name as logged and its message. Out: a Record, empty when the message says nothing of the kind.
First the phrases of that program, then other formats that travel inside messages (an access line, nginx's error
line, a JSON object), then telling phrases of any program, and last a best guess: the address after `from`,
`client`, `rhost=` ..., the user after `user`, and failure where a word of refusal stands near one of login.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sentinel.protocol.logs import access, phrases
from sentinel.protocol.logs.address import canonical

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sentinel.protocol.logs.lines import Record

LONGEST_READ = 2048  # what says who and from where stands in the first page of a message
V4 = rb"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?!\d|\.\d)"
V6 = (
    rb"(?<![\w:.])(?!::(?![0-9A-Fa-f]))(?:[0-9A-Fa-f]{0,4}:){2,7}(?:"
    + access.V4
    + rb"|[0-9A-Fa-f]{0,4}(?!\.\d)(?![\w:]))"
)
IP = rb"(?P<address>" + V4 + rb"|" + V6 + rb")"
AFTER = rb"(?:\]?(?::|#| port )(?P<port>\d{1,5})(?!\d))?"
OPEN = rb"[\"'<(\[{]{0,3}(?:IPv6:)?"
HAS_IP = re.compile(V4 + rb"|" + V6)
MAY_HAVE_IP = re.compile(rb"\d\.\d{1,3}\.\d|:[0-9A-Fa-f]*:|rhost=")

SOURCES = tuple(
    re.compile(shape, re.IGNORECASE)
    for shape in (
        rb"\b(?:rhost|rip|client_?ip|remote_?ip|remote_?addr(?:ess)?|ip_?addr(?:ess)?|src_?ip|from_?ip|source_?ip|client_?addr(?:ess)?)"
        rb"[\"']?\s?(?:=|:|=>)+\s?" + OPEN + IP + AFTER,
        rb"RemoteAddress=\"IPV[46]/\w+/" + IP + rb"/(?P<port>\d+)",
        rb"\[(?:client|remote) " + IP + AFTER,
        rb",\s?client: " + IP + AFTER,
        rb"\b(?:ip|client|peer|src|addr|relay|viewer address|remote|hostname|host|from)[\"']?\s?(?:=|:+)\s?"
        + OPEN
        + IP
        + AFTER,
        rb"\bfrom:? (?:(?:ip|host|address|peer|client|ip address|user)s? )*" + OPEN + IP + AFTER,
        rb"\bconnection:? " + OPEN + IP + AFTER,
        rb"\bfrom:? (?:\[AF_INET6?\])" + IP + AFTER,
        rb"\bfrom:? [^\s\[(]*\s?[\[(]" + OPEN + IP + AFTER,
        rb"\b(?:client|remote|ip address|peer|host|by|ip|connecting host) " + OPEN + IP + AFTER,
        rb"\[" + OPEN + IP + rb"\]" + AFTER,
        rb"\(" + OPEN + IP + rb"\)?" + AFTER,
        IP + AFTER,
    )
)
WORD = rb"(?P<user>[^\s\"'`<>,;:()\[\]]+(?: [^\s\"'`<>,;:()\[\]]+)*?)"
USERS = tuple(
    re.compile(shape, re.IGNORECASE)
    for shape in (
        (rb"\b(?:user(?:_?name)?|acct|account|set_id|sasl_username|login(?:_?name)?|principal|identity|loginname|email)[\"']?"
        rb"(?:=|:)\s?[\"'<\[]?(?!user(?:name)?=|by\b)(?P<user>[^\s\"'<>,;\[\]]+)"),
        rb"\buser(?:name)?(?: input)? [\"'`](?P<user>[^\"'`]+)[\"'`]",
        rb"\b(?:for|by|from|as) (?:the )?(?:(?:invalid|illegal|unknown|nonexistent|mapped|existing) )*(?:user|account|username):? "
        rb"[\"'`<\[]?" + WORD + rb"[\"'`>\]]?(?= (?:from|with|ip|failed|was|on|at|via|;)\b|[\s.]*$|[\"'`>,;:.(]|\])",
        rb"\b(?:attempts?|login|logon|authentication|password) (?:failed |failure |attempt |request )?(?:for|by|from|as):? [\"'`<\[]?"
        rb"(?!user\b|ip\b|host\b|client\b|the\b|" + access.V4 + rb")" + WORD
        + rb"[\"'`>\]]?(?= (?:from|with|ip|failed|was|on|at|via)\b| ?[\"'`>,;.:(\[]|\s*$)",
        rb"\b(?:login|auth) failed(?: for)?:?\s+[\"'`]?(?!user|by\b|for\b|from\b)(?P<user>[^\s\"'`,;()]+)[\"'`]?\s+[:(]",
        rb"\buser \[[^\]]*\]\\{1,2}\[(?P<user>[^\]]+)\]",
        rb"\buser (?P<user>[^\s\"'`,;:]+) (?:from|not found|failed|denied|logged|was|is|tried|attempted)\b",
    )
)  # fmt: skip
LOGIN = rb"(?:auth\w*|log[- ]?in|logon|passw\w+|credential\w*|user(?:name)?s?|account|access|certificate|totp|2fa|1fa|sasl|verif\w+|handshake|token|identity|signin|sign-in|badlogin)"
REFUSAL = rb"(?:fail\w*|invalid|illegal|denied|denying|incorrect|mismatch\w*|wrong|unknown|not (?:found|allowed|authenticated|match|exist|known)|reject\w*|refus\w+|doesn'?t (?:match|exist)|does not (?:match|exist)|n't find|bad|unauthori[sz]ed|unsuccessful|non-?existent|not_found|(?:can'?t|could not|cannot) (?:find|map|access|verify|authenticate|retrieve)|rate-limited)"
FAILED = re.compile(
    rb"(?:\b|_)" + LOGIN + rb"\b[^;]{0,80}?(?:\b|_)" + REFUSAL + rb"(?:\b|_)|(?:\b|_)" + REFUSAL + rb"\b[^;]{0,60}?(?:\b|_)" + LOGIN + rb"\b"
    rb"|\bbad rcon\b|\b(?:disconnected|connection)\b[^;]{0,20}\bnot authori[sz]ed\b|\bbadlogin\b|\bAUTHFAIL\b|\btoo (?:many|much) (?:auth\w*|login|password) (?:errors?|failures?|attempts?)\b",
    re.IGNORECASE,
)  # fmt: skip
SUCCEEDED = re.compile(rb"\b(?:accepted|success(?:ful(?:ly)?)?|logged in|authenticated)\b", re.IGNORECASE)
NGINX_ERROR = re.compile(
    rb"(?:(?P<time>\d{4}/\d\d/\d\d \d\d:\d\d:\d\d) )?\[(?P<level>\w+)\] (?P<pid>\d+)#\d+: (?:\*\d+ )?(?P<message>.*)", re.DOTALL
)  # fmt: skip
NGINX_PARTS = tuple(
    re.compile(shape)
    for shape in (
        rb".*, client: (?P<address>[^,\s]+)",
        rb".*, server: (?P<domain>[^,\s]+)",
        rb".*?, request: \"(?P<request>[^\"]*)",
        rb".*, login: \"(?P<user>[^\"]*)\"",
        rb"user \"(?P<user>.*?)\"(?:: password mismatch| was not found in)",
        rb"PAM: user '(?P<user>.*?)' - ",
        rb".*?, referrer: \"(?P<referrer>[^\"]*)",
        rb"client (?P<address>\S+?):(?P<port>\d+) connected to",
        rb"(?:\*\d+ )?\[client (?P<address>[^\]\s]+)\]",
    )
)
NGINX_REFUSED = re.compile(
    rb"user \".*?\"(?:: password mismatch| was not found in)|PAM: user|client login failed|not authenticated|auth\w* fail",
    re.IGNORECASE,
)
EMBEDDED_ACCESS = re.compile(
    rb"(?:(?:\S+ )?[\w.-]+(?:\[\d+\])?: )?(?=\S+ \S+ .{0,80}\[\d\d/[A-Z][a-z]{2}/\d{4}:)"
)


def interpret(program: bytes, text: bytes) -> Record:
    """ECS fields of a message; the program's own phrases come first."""
    whole, text = text, text[:LONGEST_READ]
    found = _phrase(phrases.PROGRAMS.get(family(program), ()), text)
    if found is not None:
        return found
    found = embedded(whole, family(program))
    if found is not None:
        return found
    found = _phrase(phrases.ANY, text) if MAY_HAVE_IP.search(text) else None
    return found if found is not None else guess(text)


def family(program: bytes) -> bytes:
    """postfix/submission/smtpd -> postfix, CRON stays, /usr/sbin/sshd -> sshd."""
    name = program.rpartition(b"/")[2] if program.startswith(b"/") else program.partition(b"/")[0]
    name = name.partition(b"(")[0].rstrip(b":")
    return b"postfix" if name.startswith(b"postfix") else name


def embedded(text: bytes, program: bytes = b"") -> Record | None:
    """Another format inside the message: nginx's error line, an access line."""
    for shape in access.TEXT.get(program.decode("ascii", "replace"), ()):
        line = shape.match(text)
        if line is not None:
            return access.record(line)
    if b"#" in text[:80]:
        error = NGINX_ERROR.match(text)
        if error is not None:
            return nginx_error(error["message"])
    if b'"' in text:
        start = EMBEDDED_ACCESS.match(text)
        line = access.COMBINED.match(text, start.end()) if start else None
        if line is not None:
            return access.record(line)
    return None


def nginx_error(text: bytes) -> Record:
    fields: Record = {}
    for shape in NGINX_PARTS:
        found = shape.match(text)
        if found is not None:
            for name, value in access.record(found).items():
                fields.setdefault(name, value)
    if NGINX_REFUSED.match(text):
        fields |= {"event.outcome": b"failure", "event.action": b"login-failed"}
    elif "user.name" in fields and b"client logged in" in text:
        fields |= {"event.outcome": b"success", "event.action": b"logged-in"}
    return fields


def guess(text: bytes) -> Record:
    """No phrase fits: the likeliest address, user and outcome."""
    fields: Record = {}
    text = text.replace(b"IPv6:", b"")
    if HAS_IP.search(text):
        source = _first_address(SOURCES, text)
        if source is not None:
            ip, port = source
            fields |= {"source.ip": ip, "source.address": ip}
            if port:
                fields["source.port"] = port
    if FAILED.search(text):
        fields["event.outcome"] = b"failure"
    elif SUCCEEDED.search(text):
        fields["event.outcome"] = b"success"
    for shape in USERS:
        user = shape.search(text)
        if user is not None and user["user"] not in {b"-", b"null", b"--", b"unknown"}:
            fields["user.name"] = user["user"].rstrip(b".")
            break
    return fields


def _first_address(shapes: Iterable[re.Pattern[bytes]], text: bytes) -> tuple[bytes, bytes | None] | None:
    for shape in shapes:
        for found in shape.finditer(text):
            ip = canonical(found["address"])
            if ip is not None:
                return ip, found["port"]
    return None


def _phrase(table: tuple[phrases.Phrase, ...], text: bytes) -> Record | None:
    for phrase in table:
        found = phrase.shape.match(text)
        if found is not None:
            groups = found.groupdict()
            fields = access.record(found) | phrase.constants
            other = groups.get("ruser")
            if other and not groups.get("user"):
                fields["user.name"] = other
            return fields
    return None
