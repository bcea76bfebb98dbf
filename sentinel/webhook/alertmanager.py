"""EVE alerts -> what Alertmanager's v2 API takes (POST /api/v2/alerts, its openapi.yaml, postableAlerts).

In: alerts as they stand in the journal. Out: JSON objects with labels, annotations, startsAt and endsAt. An alert's
identity is its labels, so they hold what an on-call engineer groups and silences by: rule, level, host, address. Where
it was seen (file, line, request) stands in annotations. Personal data was masked before it reached the journal.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

SEVERITIES = {"critical": "critical", "high": "critical", "medium": "warning"}  # others: info
LONGEST_LABEL = 256
LONGEST_ANNOTATION = 1024


def labels_of(eve: Mapping[str, Any], extra: Mapping[str, str]) -> dict[str, str]:
    """`extra` are the site's own; they win, so that a site can route by them."""
    alert = _mapping(eve, "alert")
    level = str(alert.get("level", "medium"))
    found = {
        "alertname": alert.get("signature"),
        "rule_id": alert.get("rule_id") or alert.get("signature_id"),
        "level": level,
        "severity": SEVERITIES.get(level, "info"),
        "source": alert.get("source"),
        "instance": eve.get("host"),
        "src_ip": eve.get("src_ip"),
        "dest_ip": eve.get("dest_ip"),
    }
    labels = {name: str(value)[:LONGEST_LABEL] for name, value in found.items() if value not in {None, ""}}
    labels.setdefault("alertname", "sentinel")
    return labels | dict(extra)


def annotations_of(eve: Mapping[str, Any], times: int) -> dict[str, str]:
    alert, log, http = _mapping(eve, "alert"), _mapping(eve, "log"), _mapping(eve, "http")
    place = f"{log.get('file')}:{log.get('line')}" if log.get("line") else log.get("file")
    request = " ".join(str(http[name]) for name in ("http_method", "url", "status") if http.get(name))
    found = {
        "summary": alert.get("signature"),
        "category": alert.get("category"),
        "request": request,
        "log": place,
        "process": _mapping(eve, "process").get("unit") or _mapping(eve, "process").get("name"),
        "times": str(times) if times > 1 else "",
    }
    return {name: str(value)[:LONGEST_ANNOTATION] for name, value in found.items() if value}


def postable(
    eve: Mapping[str, Any], labels: Mapping[str, str], times: int, resolve_after: float
) -> dict[str, Any]:
    """It ends `resolve_after` seconds after it was last seen: nothing in the journal says that an attack is over."""
    seen = _time(str(eve.get("timestamp", "")))
    now = datetime.now(UTC)
    return {
        "labels": dict(labels),
        "annotations": annotations_of(eve, times),
        "startsAt": seen.isoformat(),
        "endsAt": (max(seen, now) + timedelta(seconds=resolve_after)).isoformat(),
    }


def _mapping(eve: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = eve.get(name)
    return value if isinstance(value, dict) else {}


def _time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return datetime.now(UTC)
    return time if time.tzinfo else time.replace(tzinfo=UTC)
