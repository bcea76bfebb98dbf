"""Protocol name -> parser of a flow: the one list of what we can parse."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentinel.protocol.apps.dcerpc import Dcerpc
from sentinel.protocol.apps.dns import Dns
from sentinel.protocol.apps.ftp import Ftp
from sentinel.protocol.apps.http1 import Http1
from sentinel.protocol.apps.http2 import Http2
from sentinel.protocol.apps.ike import Ike
from sentinel.protocol.apps.krb5 import Krb5
from sentinel.protocol.apps.mqtt import Mqtt
from sentinel.protocol.apps.nfs import Nfs
from sentinel.protocol.apps.pgsql import Pgsql
from sentinel.protocol.apps.quic import Quic
from sentinel.protocol.apps.recognise import TCP
from sentinel.protocol.apps.rfb import Rfb
from sentinel.protocol.apps.sip import Sip
from sentinel.protocol.apps.small import Small
from sentinel.protocol.apps.smb import Smb
from sentinel.protocol.apps.smtp import Smtp
from sentinel.protocol.apps.ssh import Ssh
from sentinel.protocol.apps.tls import Tls

if TYPE_CHECKING:
    from collections.abc import Callable

    from sentinel.protocol.apps.layer import AppLayer
    from sentinel.protocol.apps.session import Parser, Session

PARSERS: dict[str, Callable[[Session, AppLayer], Parser]] = {
    "http": lambda session, _: Http1(session),
    "tls": lambda session, _: Tls(session),
    "dns": lambda session, _: Dns(session, framed=session.flow.proto == TCP),
    "ssh": lambda session, _: Ssh(session),
    "smtp": lambda session, _: Smtp(session),
    "ftp": Ftp,
    "http2": lambda session, _: Http2(session),
    "mqtt": lambda session, _: Mqtt(session),
    "sip": lambda session, _: Sip(session),
    "rfb": lambda session, _: Rfb(session),
    "ike": lambda session, _: Ike(session),
    "pgsql": lambda session, _: Pgsql(session),
    "krb5": lambda session, _: Krb5(session, framed=session.flow.proto == TCP),
    "smb": lambda session, _: Smb(session),
    "dcerpc": lambda session, _: Dcerpc(session),
    "quic": lambda session, _: Quic(session),
    "nfs": lambda session, _: Nfs(session, framed=session.flow.proto == TCP),
    "tftp": lambda session, _: Small(session, "tftp"),
    "ntp": lambda session, _: Small(session, "ntp"),
    "snmp": lambda session, _: Small(session, "snmp"),
    "dhcp": lambda session, _: Small(session, "dhcp"),
}
