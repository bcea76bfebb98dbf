"""sentinel.yml -> the settings of each folder, checked as a whole.

The sections of the file and the settings models behind them are one table: the fields of `Config`. A section that
is absent means that its component does not run. Everything wrong is reported at once as path:line.

`python -m sentinel.config FILE` tells a supervisor, which keeps no configuration itself, whether the file loads.
"""

from __future__ import annotations

import ipaddress
import os
import re
import socket
import sys
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from sentinel import yamlfile
from sentinel.alert_exceptions import AlertException
from sentinel.backup.settings import BackupSettings
from sentinel.capture.settings import InterfaceSettings, LogFile
from sentinel.detect.settings import DetectSettings
from sentinel.errors import InvalidInputError, Problem, SentinelError
from sentinel.firewall.settings import BanSettings, Duration, FirewallSettings
from sentinel.protocol.derive.settings import DeriveSettings
from sentinel.protocol.settings import ProtocolSettings
from sentinel.yamlfile import Settings

DNS_NAME = re.compile(r"(?=.{4,253}$)(?:(?!-)[a-z0-9-]{1,63}(?<!-)\.)+[a-z][a-z0-9-]{1,62}", re.IGNORECASE)
DEFAULT_PATH = Path("/etc/sentinel/sentinel.yml")


class NetworkSettings(InterfaceSettings, DetectSettings, ProtocolSettings):
    """`network:` live capture, its rules and its bounds."""


class LogsSettings(DeriveSettings):
    """`logs:` followed files, the Sigma rules they are matched with, the shop's vocabulary.

    `placeholders` are the values of `%name%` in rules that use Sigma's `|expand`.
    """

    rules: list[str] = []
    placeholders: dict[str, list[str]] = {}
    files: list[LogFile] = []


class BlastSettings(Settings):
    """An address behind which more than this was seen in the last minutes is reported instead of banned."""

    minutes: float = Field(60, gt=0)
    sessions: int = Field(20, ge=0)
    accounts: int = Field(5, ge=0)
    orders: int = Field(3, ge=0)


class ResponseSettings(Settings):
    """`response:` from alerts to bans. Alerts below `minimum_level` never ban; `never_ban` (addresses, networks,
    DNS names) adds to the policy's.
    """

    bans: BanSettings = BanSettings()
    minimum_level: Literal["low", "medium", "high", "critical"] = "high"
    never_ban: list[str] = []
    blast_radius: BlastSettings = BlastSettings.model_validate({})

    @field_validator("never_ban")
    @classmethod
    def _networks_or_names(cls, value: list[str]) -> list[str]:
        for text in value:
            try:
                ipaddress.ip_network(text, strict=False)
            except ValueError:
                if not DNS_NAME.fullmatch(text):
                    raise ValueError(f"{text!r} is no address, network or DNS name") from None
        return value


class TlsSettings(Settings):
    """Server certificate and key; with `client_ca`, only clients with a certificate of that CA are served."""

    certificate: Path
    key: Path
    client_ca: Path | None = None


class MetricsSettings(Settings):
    """`metrics:` the one endpoint over all components."""

    listen: str = "127.0.0.1:9480"
    tls: TlsSettings | None = None

    @field_validator("listen")
    @classmethod
    def _address(cls, value: str) -> str:
        host, _, port = value.rpartition(":")
        if not host or not port.isdigit() or not 0 <= int(port) < 65_536:
            raise ValueError(f"{value!r} is not ADDRESS:PORT")
        return value


class WebhookSettings(Settings):
    """`webhook:` alerts of `minimum_level` and above to Alertmanager or what speaks its v2 API.

    `url` is the receiver's address before /api/v2/alerts. One alert is sent again after `repeat`, ends by itself after
    `resolve_after`, and is given up (and counted) when the receiver did not take it for `give_up`.
    """

    url: str
    minimum_level: Literal["informational", "low", "medium", "high", "critical"] = "medium"
    labels: dict[str, str] = {}
    token_file: Path | None = None
    user: str = ""
    password_file: Path | None = None
    ca_file: Path | None = None
    timeout: Duration = 10.0
    repeat: Duration = 300.0
    resolve_after: Duration = 900.0
    give_up: Duration = 3_600.0

    @field_validator("url")
    @classmethod
    def _address(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.username:
            raise ValueError(f"{value!r} is not http(s)://HOST[:PORT][/PATH]; secrets belong in files")
        return value

    @field_validator("labels")
    @classmethod
    def _names(cls, value: dict[str, str]) -> dict[str, str]:
        for name in value:
            if not re.fullmatch("[a-zA-Z_][a-zA-Z0-9_]*", name):
                raise ValueError(f"{name!r} is no label name")
        return value


class Config(Settings):
    """sentinel.yml as a whole."""

    host: str = Field(default_factory=socket.gethostname)
    state_directory: Path = Path("/var/lib/sentinel")
    network: NetworkSettings | None = None
    logs: LogsSettings | None = None
    exceptions: list[AlertException] = []
    firewall: FirewallSettings | None = None
    response: ResponseSettings = ResponseSettings()
    backup: BackupSettings | None = None
    metrics: MetricsSettings | None = None
    webhook: WebhookSettings | None = None

    @property
    def state(self) -> Path:
        """The state directory: systemd's STATE_DIRECTORY wins over the file, so that one unit file fits every host."""
        return Path(os.environ.get("STATE_DIRECTORY", "").partition(":")[0] or self.state_directory)

    @property
    def journals(self) -> Path:
        return self.state / "journal"

    @property
    def alert_journals(self) -> list[Path]:
        """What the detection planes write: one file for each process."""
        workers = self.network.workers if self.network is not None else 1
        names = [f"network-{number}" for number in range(1, workers + 1)] if workers > 1 else ["network"]
        return [self.journals / f"{name}.jsonl" for name in [*names, "logs"]]


def load(path: Path = DEFAULT_PATH) -> Config:
    return yamlfile.load(path, Config)


def load_what_is_right(path: Path) -> tuple[Config, list[Problem]]:
    """For who examines a host: the sections that are right, and what is wrong with the others."""
    try:
        return load(path), []
    except InvalidInputError as error:
        mistakes = error.problems
    try:
        return yamlfile.right_sections(yamlfile.data(path), Config), mistakes
    except InvalidInputError:
        return Config(), mistakes


if __name__ == "__main__":
    try:
        load(Path(sys.argv[1]))
    except SentinelError as wrong:
        sys.exit(str(wrong))
