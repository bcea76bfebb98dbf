"""Protocol name -> parser of a flow: the one list of what we can parse."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentinel.protocol.apps.dns import Dns
from sentinel.protocol.apps.ftp import Ftp
from sentinel.protocol.apps.http1 import Http1
from sentinel.protocol.apps.http2 import Http2
from sentinel.protocol.apps.mqtt import Mqtt
from sentinel.protocol.apps.recognise import TCP
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
}
