"""What sentinel.yml may say about detection: rule paths, rule variables, and Suricata's names for overrides."""

from __future__ import annotations

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


class DetectSettings(Settings):
    """`rules` are files or folders; `vars` override Suricata's address and port variables."""

    rules: list[str] = []
    vars: dict[str, list[str] | str] = {}

    def variables(self) -> dict[str, str]:
        given = {
            name: value if isinstance(value, str) else "[" + ",".join(value) + "]"
            for name, value in self.vars.items()
        }
        return STOCK_VARIABLES | given
