"""What sentinel.yml may say about detection: rule paths, rule variables, and Suricata's names for overrides."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from sentinel.yamlfile import Settings

# Suricata's stock address and port groups; `vars` in sentinel.yml and --set vars.* override them.
STOCK_VARIABLES: dict[str, str] = {
    "HOME_NET": "[192.168.0.0/16,10.0.0.0/8,172.16.0.0/12]",
    "EXTERNAL_NET": "!$HOME_NET",
    **dict.fromkeys(
        (
            "HTTP_SERVERS",
            "SMTP_SERVERS",
            "SQL_SERVERS",
            "DNS_SERVERS",
            "TELNET_SERVERS",
            "DC_SERVERS",
            "DNP3_SERVER",
            "DNP3_CLIENT",
            "MODBUS_CLIENT",
            "MODBUS_SERVER",
            "ENIP_CLIENT",
            "ENIP_SERVER",
        ),
        "$HOME_NET",
    ),
    "AIM_SERVERS": "$EXTERNAL_NET",
    "HTTP_PORTS": "80",
    "SHELLCODE_PORTS": "!80",
    "ORACLE_PORTS": "1521",
    "SSH_PORTS": "22",
    "DNP3_PORTS": "20000",
    "MODBUS_PORTS": "502",
    "FILE_DATA_PORTS": "[$HTTP_PORTS,110,143]",
    "FTP_PORTS": "21",
    "GENEVE_PORTS": "6081",
    "VXLAN_PORTS": "4789",
    "TEREDO_PORTS": "3544",
}


class ReputationSettings(Settings):
    """Suricata's categories file and reputation lists, for rules with `iprep`."""

    categories: Path
    files: list[Path] = []


class DetectSettings(Settings):
    """`rules` are files or folders; `vars` override Suricata's address and port variables.

    `alert_payload` and `alert_packet` put the bytes into each alert. `options` are further names of Suricata's own
    configuration, as `--set` takes them.
    """

    rules: list[str] = []
    vars: dict[str, list[str] | str] = {}
    threshold_file: Path | None = None
    reputation: ReputationSettings | None = None
    alert_payload: bool = False
    alert_packet: bool = False
    community_id: bool = True
    community_id_seed: int = Field(default=0, ge=0, lt=65_536)
    options: dict[str, str | int | float | bool] = {}

    def variables(self) -> dict[str, str]:
        given = {
            name: value if isinstance(value, str) else "[" + ",".join(value) + "]"
            for name, value in self.vars.items()
        }
        return STOCK_VARIABLES | given

    def suricata_options(self) -> dict[str, str]:
        """The same, in the names of Suricata's configuration."""
        eve = "outputs.0.eve-log."
        found = {
            f"{eve}types.0.alert.payload": _word(self.alert_payload),
            f"{eve}types.0.alert.payload-printable": _word(self.alert_payload),
            f"{eve}types.0.alert.packet": _word(self.alert_packet),
            f"{eve}community-id": _word(self.community_id),
            f"{eve}community-id-seed": str(self.community_id_seed),
        }
        if self.threshold_file is not None:
            found["threshold-file"] = str(self.threshold_file)
        if self.reputation is not None:
            found["reputation-categories-file"] = str(self.reputation.categories)
            for number, file in enumerate(self.reputation.files):
                found[f"reputation-files.{number}"] = str(file)
        return found | {name: _word(value) for name, value in self.options.items()}


def _word(value: str | float | bool) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)
