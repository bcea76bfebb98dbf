"""A survey of the host -> commented sentinel.yml and policy.yml that only observe.

What is written loads without problems and changes nothing on the host: bans observe, the firewall does not enforce.
Whatever listens to the outside today is allowed in the proposed policy; the operator narrows it.
"""

from __future__ import annotations

import ipaddress
import textwrap
from typing import TYPE_CHECKING

from sentinel import shipped

if TYPE_CHECKING:
    from sentinel.operate.survey import Listener, Survey

SOURCES: dict[str, str] = {
    "postgresql": "{postgresql: {database: shop}}",
    "mariadb": "{mariadb: {database: shop}}",
    "redis": "{redis: {}}",
}


# RFC 1918: whoever administers a host from there, and what a shop's own machines usually have
PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")


def configuration(survey: Survey) -> str:
    parts = [_head(), _network(survey), _logs(survey), _firewall(), _backup(survey), _metrics()]
    return "\n".join(parts)


def policy(survey: Survey) -> str:
    outside = [listener for listener in survey.listeners if not listener.local]
    services = (
        "\n".join(f"  {listener.name}: {listener.protocol}/{listener.port}" for listener in outside)
        or "  ssh: tcp/22"
    )
    allowed = "\n".join(_allow(listener) for listener in outside) or "  - {allow: ssh}"
    safe = "ssh" if any(listener.name == "ssh" for listener in outside) or not outside else outside[0].name
    return f"""\
# Who may reach what on this host. Written by `sentinel init` from what listens today; narrow it, then:
#   sentinel firewall plan                  what would change
#   sentinel firewall apply --confirm=probe applies, checks, and takes itself back if you were cut off
default: {{inbound: drop, outbound: accept}}

groups:
  office: [{", ".join(PRIVATE)}]   # from where you administer this host

services:
{services}

inbound:
{allowed}

# never cut, whatever else this file says
failsafe:
  - {{allow: {safe}, from: office}}

# never banned
never_ban: [office]
"""


def _is_private(address: str) -> bool:
    own = ipaddress.ip_address(address)
    return any(own in ipaddress.ip_network(network) for network in PRIVATE)


def _allow(listener: Listener) -> str:
    narrow = "   # consider `from: office`" if listener.name not in {"http", "https"} else ""
    return f"  - {{allow: {listener.name}}}{narrow}"


def _head() -> str:
    return """\
# Sentinel's configuration. Everything here only observes until you say otherwise:
# firewall.enforce puts the policy in place, response.bans.mode: active bans for real.
# Check with: sentinel check-config        Reload with: systemctl reload sentinel-logs (or any component)
"""


def _network(survey: Survey) -> str:
    home = ", ".join(
        (*PRIVATE, *(f'"{address}"' for address in survey.addresses if not _is_private(address)))
    )
    text = f"""\
network:
  interfaces: [{", ".join(survey.interfaces) or "eth0"}]
  rules: [{shipped.folder("rules")}/network]
  vars: {{HOME_NET: [{home}]}}   # what is guarded: your networks and this host's own addresses
"""
    if survey.interfaces:
        return text
    return "# No interface that is up was found; name one and uncomment:\n" + textwrap.indent(text, "# ")


def _logs(survey: Survey) -> str:
    files = [f"    - {{path: {path}, format: {kind}}}" for path, kind in survey.logs]
    listed = (
        "\n".join(files) or "    - {path: /var/log/nginx/access.log, format: nginx-access}   # none was found"
    )
    return f"""\
logs:
  rules: [{shipped.folder("rules")}/logs]
  files:
{listed}
"""


def _firewall() -> str:
    return """\
firewall:
  policy: /etc/sentinel/policy.yml
  enforce: false

response:
  bans: {mode: observe, duration: 1h, escalate: [1h, 1d, 7d], budget_per_minute: 60}
"""


def _backup(survey: Survey) -> str:
    lines = [
        "backup:",
        "  repositories:",
        "    main: {store: /var/lib/sentinel/repository, password_file: /etc/sentinel/repository.key}",
        "    # better off this host: {store: s3://bucket/prefix, endpoint: https://s3.example, password_file: ...}",
        "  jobs:",
        "    configuration:",
        "      source: {paths: {include: [/etc]}}",
        "      repository: main",
        '      schedule: "15 2 * * *"',
        "      keep: {daily: 14, weekly: 8}",
    ]
    for kind in survey.databases:
        lines += [
            f"    # {kind} was found on this host; name its database and uncomment:",
            f"    # {kind}:",
            f"    #   source: {SOURCES[kind]}",
            "    #   repository: main",
            '    #   schedule: "0 */6 * * *"',
            "    #   keep: {daily: 14, weekly: 8}",
            f'    #   drill: {{playbook: restore-{kind}, schedule: "30 3 * * *"}}',
        ]
    return "\n".join(lines) + "\n"


def _metrics() -> str:
    return """\
metrics:
  listen: 127.0.0.1:9480
  # tls: {certificate: ..., key: ..., client_ca: ...}   needed before it listens anywhere else
"""
