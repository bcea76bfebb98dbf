"""Which lines a rule's `logsource` means: a table from log formats to Sigma's category, product and service.

A format whose lines come from many programs (syslog, the journal, JSON of anything) has its service per row, read from
process.name, and rules for web servers see those of its rows that are requests (HAProxy logs through syslog).
Formats that are not in the table still serve rules for any log (`category: authentication`, `category: any`). A format
string in place of a name is a web server's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from sentinel.detect.sigma.tree import LogSource
    from sentinel.detect.sigma.values import Mask, Rows, View

# `authentication` is Sigma's old category for log-ins of any product; `any` is ours: personal data may be in any log.
EVERYWHERE = {"authentication", "any"}


@dataclass(frozen=True, slots=True)
class Source:
    """What a format is in Sigma's words. `daemons`: the service is per row. `mixed`: requests among other lines."""

    categories: frozenset[str] = frozenset()
    products: frozenset[str] = frozenset()
    services: frozenset[str] = frozenset()
    daemons: bool = False
    mixed: bool = False


def _source(
    categories: str = "",
    products: str = "",
    services: str = "",
    *,
    daemons: bool = False,
    mixed: bool = False,
) -> Source:
    return Source(
        frozenset(categories.split()),
        frozenset(products.split()),
        frozenset(services.split()),
        daemons,
        mixed,
    )


_SYSLOG = _source(
    "application database webserver",
    "linux sql python django nodejs jvm ruby_on_rails spring velocity haproxy nginx apache",
    daemons=True,
    mixed=True,
)
SOURCES: dict[str, Source] = {
    "nginx-access": _source("webserver", "nginx linux", "nginx"),
    "nginx-json": _source("webserver", "nginx linux", "nginx"),
    "nginx-error": _source("webserver-error", "nginx linux", "nginx"),
    "apache-access": _source("webserver", "apache linux", "apache"),
    "apache-error": _source(
        "webserver-error application", "apache linux python django ruby_on_rails", "apache"
    ),
    "apache-pass": _source("webserver-error", "apache linux", "apache"),
    "caddy-json": _source("webserver", "caddy linux"),
    "traefik-clf": _source("webserver", "traefik linux"),
    "traefik-json": _source("webserver", "traefik linux"),
    "haproxy": _source("webserver", "haproxy linux"),
    "envoy": _source("webserver", "envoy linux"),
    "envoy-json": _source("webserver", "envoy linux"),
    "apache-json": _source("webserver", "apache linux", "apache"),
    "apache-common": _source("webserver", "apache linux", "apache"),
    "nginx-ingress": _source("webserver", "nginx linux", "nginx"),
    "caddy-clf": _source("webserver", "caddy linux"),
    "iis-w3c": _source("webserver", "windows", "iis"),
    "k8s-audit": _source("application", "kubernetes", "audit"),
    "squid": _source("proxy webserver", "squid linux"),
    "auditd": _source("", "linux", "auditd"),
    "postgresql": _source("database application", "postgresql linux sql"),
    "mysql": _source("database application", "mysql linux sql"),
    "mongodb": _source("database", "mongodb linux"),
    "mssql": _source("database application", "windows sql", "mssql"),
    "redis": _source("database", "redis linux"),
    "vsftpd": _source("", "linux", "vsftpd"),
    "syslog": _SYSLOG,
    "syslog-iso": _SYSLOG,
    "syslog-rfc5424": _SYSLOG,
    "journald-json": _SYSLOG,
}
# Web servers by another name: same columns, so the same rules.
ACCESS_LIKE = {"aws-alb", "fastly", "litespeed", "nginx-proxy-manager", "npmplus", "zoraxy", "upsun", "bunkerweb", "caddy-waf",
               "lighttpd-access", "couchdb", "gcp-json", "cloudflare"}  # fmt: skip
_ACCESS = _source("webserver", "linux")
_OTHER = _source("application webserver", "linux", mixed=True)
TEMPLATE_MARKS = ("$", "%", "(?")  # of log_format, LogFormat and named groups: no format's name has one
# A Sigma service that names several daemons.
DAEMONS = {
    "auth": "sshd sudo su login systemd-logind passwd useradd usermod groupadd polkitd pkexec gdm lightdm dropbear cron",
    "cron": "cron crond anacron fcron",
    "sshd": "sshd sshd-session sshd-auth",
}
ANY_DAEMON = {"syslog", ""}
REQUESTS = {"webserver", "proxy"}


def source_of(kind: str) -> Source:
    found = SOURCES.get(kind)
    if found is None:
        access = (
            kind in ACCESS_LIKE or kind.endswith("-access") or any(mark in kind for mark in TEMPLATE_MARKS)
        )
        found = _ACCESS if access else _OTHER
    return found


def serves(wanted: LogSource, kind: str) -> bool:
    """Whether rules of this log source see lines of this format at all."""
    source = source_of(kind)
    if wanted.category and wanted.category not in source.categories | EVERYWHERE:
        return False
    if wanted.product and wanted.product not in source.products:
        return False
    return not wanted.service or source.daemons or wanted.service in source.services


def rows_of(wanted: LogSource, view: View, rows: Rows) -> Mask | None:
    """Of these rows, those of the service, or those that are requests; None: all."""
    source = source_of(view.columns.kind)
    if source.mixed and wanted.category in REQUESTS:
        return _having("url.original", view, rows) | _having("http.response.status_code", view, rows)
    if wanted.service in ANY_DAEMON or not source.daemons:
        return None
    names = set(DAEMONS.get(wanted.service, wanted.service).encode().split())
    values = view.raw("process.name")
    if values is None:
        return np.zeros(len(rows), np.bool_)
    found = (values.get(row) for row in rows.tolist())
    return np.fromiter(
        (name is not None and name.split(b"/", 1)[0].lower() in names for name in found), np.bool_, len(rows)
    )


def _having(name: str, view: View, rows: Rows) -> Mask:
    values = view.raw(name)
    if values is None:
        return np.zeros(len(rows), np.bool_)
    found = values.having(rows)
    return np.ones(len(rows), np.bool_) if found is None else found
