"""What Suricata's configuration says about application protocols, by its own dotted names, with its defaults (7.0.10)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(kb|kib|mb|mib|gb|gib|b)?\s*$", re.IGNORECASE)
_UNITS = {"": 1, "b": 1, "k": 1024, "m": 1024**2, "g": 1024**3}
_TRUE = frozenset({"1", "yes", "true", "on"})
_HTTP = "app-layer.protocols.http.libhtp.default-config."

# Suricata ships these protocols switched off (suricata.yaml: enabled: no).
OFF_BY_DEFAULT = frozenset({"modbus", "dnp3", "enip", "pgsql", "template", "telnet-raw"})


def parse_size(text: str, default: int) -> int:
    """Suricata's sizes: a number with b, kb, mb or gb; anything else keeps the default."""
    found = _SIZE.match(text)
    if found is None:
        return default
    unit = (found[2] or "b")[0].lower()
    return int(float(found[1]) * _UNITS[unit])


@dataclass(frozen=True, slots=True)
class HttpOptions:
    request_body_limit: int = 100 * 1024
    response_body_limit: int = 100 * 1024
    decompress_layers: int = 2
    double_decode_path: bool = False
    double_decode_query: bool = False
    lzma: bool = False
    bomb_limit: int = 1024 * 1024
    uri_include_all: bool = False

    @classmethod
    def read(cls, options: Mapping[str, str]) -> HttpOptions:
        default = cls()

        def size(name: str, otherwise: int) -> int:
            return parse_size(options.get(_HTTP + name, ""), otherwise)

        def flag(name: str) -> bool:
            return options.get(_HTTP + name, "").lower() in _TRUE

        return cls(
            request_body_limit=size("request-body-limit", default.request_body_limit),
            response_body_limit=size("response-body-limit", default.response_body_limit),
            decompress_layers=size("response-body-decompress-layer-limit", default.decompress_layers),
            double_decode_path=flag("double-decode-path"),
            double_decode_query=flag("double-decode-query"),
            lzma=flag("lzma-enabled"),
            bomb_limit=size("compression-bomb-limit", default.bomb_limit),
            uri_include_all=flag("uri-include-all"),
        )


@dataclass(frozen=True, slots=True)
class AppOptions:
    """`enabled(protocol)` is yes, no or detection-only, as in suricata.yaml."""

    http: HttpOptions
    modes: Mapping[str, str]  # "dns" or "dns.udp" -> the word
    ja3: bool = True

    @classmethod
    def read(cls, options: Mapping[str, str]) -> AppOptions:
        modes = {}
        for name, value in options.items():
            parts = name.split(".")
            if parts[:2] == ["app-layer", "protocols"] and len(parts) in {4, 5} and parts[-1] == "enabled":
                modes[".".join(parts[2:-1])] = value.lower()
        ja3 = options.get("app-layer.protocols.tls.ja3-fingerprints", "auto").lower() in {"auto", *_TRUE}
        return cls(HttpOptions.read(options), modes, ja3)

    def recognises_udp(self, protocol: str) -> bool:
        return self.recognises(protocol) and self.recognises(f"{protocol}.udp")

    def recognises_tcp(self, protocol: str) -> bool:
        return self.recognises(protocol) and self.recognises(f"{protocol}.tcp")

    def recognises(self, protocol: str) -> bool:
        mode = self.modes.get(protocol)
        if mode is None:
            return protocol not in OFF_BY_DEFAULT
        return mode in _TRUE or mode == "detection-only"

    def parses(self, protocol: str) -> bool:
        return self.modes.get(protocol, "yes") != "detection-only"
