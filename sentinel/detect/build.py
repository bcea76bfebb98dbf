"""Rule files and settings -> an Engine ready to inspect, with the names Suricata's configuration gives to its knobs."""

from __future__ import annotations

import gc
import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sentinel import metrics
from sentinel.detect.alerts import AlertFields, fields_of
from sentinel.detect.datasets import DataSets
from sentinel.detect.engine import ALERTS_PER_PACKET, Engine
from sentinel.detect.geography import Countries
from sentinel.detect.load import Failure, Loaded, load
from sentinel.detect.readers import BodyLimits
from sentinel.detect.reputation import Reputation, reputation_of
from sentinel.detect.state import Memory
from sentinel.detect.thresholds import Filter, Thresholds, read_filters
from sentinel.errors import InvalidInputError, Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from sentinel.detect.rule import Rule
    from sentinel.model import Packet

log = logging.getLogger(__name__)
_HTTP = "app-layer.protocols.http.libhtp.default-config."
_UNITS = {"": 1, "b": 1, "kb": 1024, "mb": 1024**2, "gb": 1024**3}


@dataclass(slots=True)
class Built:
    engine: Engine
    loaded: Loaded
    sets: DataSets
    reputation: Reputation

    def enforce(self) -> None:
        """From now on these rules count: what they know about names and addresses replaces what the old ones knew."""
        self.engine.memory.sets = self.sets
        self.engine.memory.reputation = self.reputation


def byte_count(text: str) -> int:
    found = re.fullmatch(r"\s*(\d+)\s*([kmg]?b?)\s*", text.lower())
    if not found:
        raise ValueError(f"{text!r} is not a size")
    unit = found[2] if found[2] in _UNITS else found[2] + "b"
    return int(found[1]) * _UNITS[unit]


def variables_of(base: Mapping[str, str], options: Mapping[str, str]) -> dict[str, str]:
    """Rule variables with --set vars.address-groups.NAME and vars.port-groups.NAME applied."""
    found = dict(base)
    for key, value in options.items():
        if key.startswith(("vars.address-groups.", "vars.port-groups.")):
            found[key.rsplit(".", 1)[1]] = value
    return found


def body_limits(options: Mapping[str, str]) -> BodyLimits:
    default = BodyLimits()
    limits = [
        byte_count(options[f"{_HTTP}{side}-body-limit"]) if f"{_HTTP}{side}-body-limit" in options else limit
        for side, limit in zip(("request", "response"), default.limits, strict=True)
    ]
    windows = [
        window._replace(
            least=byte_count(options.get(f"{_HTTP}{side}-body-minimal-inspect-size", str(window.least))),
            size=byte_count(options.get(f"{_HTTP}{side}-body-inspect-window", str(window.size))),
        )
        for side, window in zip(("request", "response"), default.windows, strict=True)
    ]
    return BodyLimits((windows[0], windows[1]), (limits[0], limits[1]))


def filters_of(
    options: Mapping[str, str], variables: Mapping[str, str]
) -> tuple[tuple[Filter, ...], list[Problem]]:
    path = options.get("threshold-file")
    if not path:
        return (), []
    try:
        text = Path(path).read_text("utf-8", "replace")
    except OSError as error:
        raise InvalidInputError([Problem(path, 0, error.strerror or "cannot be read")]) from None
    return read_filters(text, path, variables)


def one_way(rules: list[Rule]) -> list[Rule]:
    """A rule with <> is two rules, as in Suricata: a packet that fits both ways round alerts twice."""
    found: list[Rule] = []
    for rule in rules:
        same = rule.source == rule.destination and rule.source_ports == rule.destination_ports
        if not rule.both_ways or same:
            found.append(rule)
            continue
        forth = rule._replace(both_ways=False)
        back = forth._replace(
            source=rule.destination,
            source_ports=rule.destination_ports,
            destination=rule.source,
            destination_ports=rule.source_ports,
        )
        found += [forth, back]
    return found


def build(
    paths: Iterable[str | Path],
    base_variables: Mapping[str, str],
    options: Mapping[str, str] | None = None,
    *,
    memory: Memory | None = None,
    cache: Path | None = None,
    host: str = "",
    held: Callable[[Packet], bytes] = lambda _: b"",
) -> Built:
    """Rules are made with the collector off and then set aside from it: a million tuples that never become garbage."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        return _build(paths, base_variables, options or {}, memory, cache, host, held)
    finally:
        gc.freeze()
        if collecting:
            gc.enable()


def _build(  # noqa: PLR0917 - as `build`
    paths: Iterable[str | Path],
    base_variables: Mapping[str, str],
    options: Mapping[str, str],
    memory: Memory | None,
    cache: Path | None,
    host: str,
    held: Callable[[Packet], bytes],
) -> Built:
    variables = variables_of(base_variables, options)
    loaded = load(paths, variables, cache)
    countries = Countries.open(options.get("geoip-database", ""))
    folder = Path(options["default-data-dir"]) if "default-data-dir" in options else None
    sets = DataSets(folder, memory.sets if memory is not None else None)
    reputation = reputation_of(options)
    rules = _vetted(loaded, sets, reputation)
    filters, problems = filters_of(options, variables)
    for problem in [*(failure.problem() for failure in loaded.failed), *problems]:
        log.warning("%s", problem)
    metrics.rules_loaded.set(len(rules), plane="network")
    rules = one_way(rules)
    metrics.rules_failed.set(len(loaded.failed), plane="network")
    engine = Engine(
        rules,
        memory or Memory(sets, countries.country if countries else None),
        Thresholds(filters),
        bodies=body_limits(options),
        alerts_per_packet=int(options.get("packet-alert-max", ALERTS_PER_PACKET)),
        cache=cache,
        host=host,
        fields=fields_of(options, AlertFields(), held),
        identity=loaded.digest,
    )
    built = Built(engine, loaded, sets, reputation)
    if memory is None:
        built.enforce()
    return built


def vet(loaded: Loaded, options: Mapping[str, str]) -> None:
    """Only say which rules would be refused for their data."""
    loaded.rules = _vetted(loaded, DataSets(), reputation_of(options))


def _vetted(loaded: Loaded, sets: DataSets, reputation: Reputation) -> list[Rule]:
    """The rules whose data are there; the others are refused by name, like one with a bad keyword."""
    return [
        rule
        for rule in loaded.rules
        if _sets_loaded(rule, sets, loaded) and _categories_known(rule, reputation, loaded)
    ]


def _categories_known(rule: Rule, reputation: Reputation, loaded: Loaded) -> bool:
    named = [check.args[1] for check in rule.checks if check.name == "iprep"]
    for name in named:
        if name not in reputation.categories:
            reason = f"iprep: no category {name} in the reputation categories"
            loaded.failed.append(Failure(rule.path, rule.line, str(rule.sid), reason))
            return False
    return True


def _sets_loaded(rule: Rule, sets: DataSets, loaded: Loaded) -> bool:
    """Data files are read now."""
    if not rule.sets:
        return True
    try:
        for name, kind, file, save in rule.sets:
            sets.load(name, kind, Path(rule.path).parent / file if file else None, save)
    except (ValueError, OSError) as error:
        loaded.failed.append(Failure(rule.path, rule.line, str(rule.sid), str(error)))
        return False
    return True
