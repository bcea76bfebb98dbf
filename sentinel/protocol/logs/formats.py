"""Every log format by name: what reads it. `auto` is not here; `guess` chooses one of these by the first lines.

A format string of nginx or Apache in place of a name is a format of its own (`template`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from sentinel.protocol.logs import combined, generic, jsonlog, logfmt
from sentinel.protocol.logs.access import TEXT

if TYPE_CHECKING:
    from sentinel.protocol.logs.clock import Clock
    from sentinel.protocol.logs.lines import Lines, Table


def _names(text: str) -> list[str]:
    return text.split()


APPLICATIONS = _names(
    "3proxy adguardhome apache-error apache-guacamole asterisk audiobookshelf authelia authentik baikal bind9 bitwarden "
    "charon containerd couchdb-log courier cpanel cyrus-imap directadmin domino-smtp dovecot drupal dropbear ejabberd ejabberd-auth emby "
    "exchange-pop exchange-smtp exim fortinet freeswitch froxlor gitea gitlab gotify grafana groupoffice guacamole harbor "
    "home-assistant immich jellyfin jellyseerr kasm kerio keycloak lighttpd-auth lighttpd-error litespeed "
    "magento-extension mailcow-f2b mailu-admin mariadb mealie mikrotik miniflux mongodb monit monitorix mssql mssql-auth murmur mysql "
    "named-refused navidrome nextcloud-text nginx-error nginx-mail nsd ombi openappsec openhab openvpn openwebmail oracleims overseerr "
    "palo-alto-threat pgsql phpmyadmin portsentry postgresql postfix proftpd proxmox-backup-auth pureftpd qbittorrent redis "
    "roundcube-auth samba screensharingd softethervpn sogo-auth sonarr sshd sshesame stunnel technitium teamspeak teleport thehive "
    "tine20 tomcat traefik-log ts3 uptime-kuma vaultwarden Vaultwarden vsftpd webmin wineventlog xrdp zabbix znc-adminlog zoneminder "
    "bunkerweb-error modsecurity php-fpm squid-cache suricata-evelogs text"
)
"""Logs that are a time and a text; `generic` reads them all, `message` knows their phrases."""


class Reader(Protocol):
    """Reads the lines of one batch; `clock` remembers the time of the line before."""

    def __call__(self, lines: Lines, clock: Clock, /) -> Table: ...


COMBINED = _names(
    "nginx-access apache-access apache-pass traefik-clf litespeed-access lighttpd-access nginx-ingress caddy-clf"
)
JSON = _names(
    "nginx-json apache-json caddy-json caddy-waf traefik-json envoy-json fastly upsun journald-json suricata-eve "
    "nextcloud mongodb-json aws-cloudtrail k8s-audit gcp-json cloudflare cowrie json"
)
SYSLOG = frozenset(_names("syslog syslog-iso syslog-rfc5424 auth named dropbear-syslog"))
"""These have a reader that remembers: `parser` makes one for each log."""
FORMATS: dict[str, Reader] = {
    **dict.fromkeys(COMBINED, combined.read),
    **dict.fromkeys(JSON, jsonlog.read),
    **{name: generic.text_reader(name) for name in TEXT},
    "auditd": logfmt.read_audit,
    "laurel": jsonlog.read,
    **{name: generic.reader(name) for name in APPLICATIONS},
    "apache-error": generic.reader("httpd"),
}
