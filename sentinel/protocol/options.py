"""Suricata's configuration names (`--set stream.midstream=true`) -> options of the protocol layer.

In: a mapping of dotted names to text and the bounds of sentinel.yml. Out: frozen options per module. Unknown names are
not ours to judge: other layers read the same mapping. Values that cannot be read raise InvalidInputError.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sentinel.errors import InvalidInputError, Problem
from sentinel.protocol.decode import DecodeOptions
from sentinel.protocol.reassembly import WINDOWS
from sentinel.protocol.stream import StreamOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sentinel.protocol.settings import ProtocolSettings

TRUE = frozenset({"true", "yes", "on", "1"})
UNITS = {"": 1, "b": 1, "kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30}
SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", re.IGNORECASE)
POLICY_NAME = re.compile(r"host-os-policy\.([a-z0-9-]+)(?:\.\d+)?$")


@dataclass(frozen=True, slots=True)
class Options:
    decode: DecodeOptions
    stream: StreamOptions
    use_vlan: bool
    checksums: bool


def read_options(settings: ProtocolSettings, options: Mapping[str, str]) -> Options:
    checksums = options.get("checksum-validation", "none") in {"auto", *TRUE}
    decode = DecodeOptions(
        vxlan_ports=_ports(options, "decoder.vxlan.ports", 4789, enabled="decoder.vxlan.enabled"),
        geneve_ports=_ports(options, "decoder.geneve.ports", 6081, enabled="decoder.geneve.enabled"),
        teredo_ports=_ports(options, "decoder.teredo.ports", 3544, enabled="decoder.teredo.enabled"),
    )
    stream = StreamOptions(
        midstream=_flag(options, "stream.midstream"),
        async_oneside=_flag(options, "stream.async-oneside"),
        depth=_size(options, "stream.reassembly.depth", 1 << 20),
        chunk_to_server=_size(options, "stream.reassembly.toserver-chunk-size", 2560),
        chunk_to_client=_size(options, "stream.reassembly.toclient-chunk-size", 2560),
        memory_bytes=settings.stream_memory_megabytes << 20,
        policy=host_policy(options),
    )
    return Options(decode, stream, _flag(options, "vlan.use-for-tracking", default=True), checksums)


def _flag(options: Mapping[str, str], name: str, *, default: bool = False) -> bool:
    value = options.get(name)
    return default if value is None else value.strip().lower() in TRUE


def _size(options: Mapping[str, str], name: str, default: int) -> int:
    text = options.get(name)
    if text is None:
        return default
    match = SIZE.fullmatch(text)
    if match is None or match[2].lower() not in UNITS:
        raise InvalidInputError([Problem(name, 0, f"{text!r} is not a size (such as 512, 64kb or 1mb)")])
    return int(float(match[1]) * UNITS[match[2].lower()])


def _ports(options: Mapping[str, str], name: str, default: int, *, enabled: str) -> frozenset[int]:
    if not _flag(options, enabled, default=True):
        return frozenset()
    text = options.get(name)
    if text is None:
        return frozenset({default})
    words = text.strip("[] ").split(",")
    try:
        return frozenset(int(word) for word in words)
    except ValueError:
        raise InvalidInputError([Problem(name, 0, f"{text!r} is not a list of ports")]) from None


def host_policy(options: Mapping[str, str]) -> Callable[[bytes], str]:
    """`host-os-policy.NAME.N=NETWORK` -> the policy of an address: the longest matching network wins."""
    networks: list[tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, str]] = []
    for name, text in options.items():
        match = POLICY_NAME.match(name)
        if match is None:
            continue
        try:
            networks += [
                (ipaddress.ip_network(word.strip()), match[1]) for word in text.strip("[] ").split(",")
            ]
        except ValueError:
            raise InvalidInputError([Problem(name, 0, f"{text!r} is not a list of networks")]) from None
    if not networks:
        return lambda _address: WINDOWS
    networks.sort(key=lambda entry: -entry[0].prefixlen)

    def find(address: bytes) -> str:
        host = ipaddress.ip_address(address)
        return next((name for network, name in networks if host in network), WINDOWS)

    return find
