"""A matched row or a finding -> Alert, in EVE's names.

Values that may hold personal data go through the batch's `mask` before they are shown.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sentinel.model import Alert

if TYPE_CHECKING:
    from sentinel.detect.sigma.correlate import Finding
    from sentinel.detect.sigma.tree import Heading
    from sentinel.detect.sigma.values import View

SEVERITIES = {"critical": 1, "high": 1, "medium": 2, "low": 3, "informational": 4}
LONGEST_VALUE = 512  # characters of a request shown in an alert
MOST_LINES = 100  # line numbers listed with a correlation
HTTP = {
    "hostname": "url.domain",
    "url": "url.original",
    "http_user_agent": "user_agent.original",
    "http_refer": "http.request.referrer",
    "http_method": "http.request.method",
    "status": "http.response.status_code",
}
PERSONAL = ("pii.resident_id", "pii.card", "pii.mobile", "pii.email")  # masked samples with their hash
ADDRESSES = ("source.ip", "source.address")


def signature_id(rule_id: str) -> int:
    """A number for consumers that know rules by number; the id is in `rule_id`."""
    return zlib.crc32(rule_id.encode()) & 0x7FFFFFFF


@dataclass(slots=True)
class Describer:
    """Makes alerts of one batch."""

    view: View

    def alert(self, heading: Heading, row: int) -> Alert:
        columns = self.view.columns
        alert = Alert(
            timestamp=int(columns.times[row]),
            source="log",
            rule_id=heading.id,
            signature=heading.title,
            signature_id=signature_id(heading.id),
            level=heading.level,
            severity=SEVERITIES.get(heading.level, 2),
            category=_category(heading.tags),
            metadata={"tag": list(heading.tags)} if heading.tags else {},
            src_ip=self._address(row),
        )
        alert.extra["log"] = {
            "file": columns.source,
            "line": int(columns.numbers[row]),
            "format": columns.kind,
        }
        http = self._http(row)
        if http:
            alert.app_proto = "http"
            alert.extra["http"] = http
        if any(tag.startswith("pii.") for tag in heading.tags):
            alert.extra["personal_data"] = self._personal(row)
        user = self._shown("user.name", row)
        if user:
            alert.extra["user"] = {"name": user[:LONGEST_VALUE]}
        host = self.view.text("host.hostname", row)
        if host:
            alert.host = host[:LONGEST_VALUE]
        return alert

    def finding(self, finding: Finding) -> Alert:
        correlation = finding.correlation
        alert = self.alert(correlation, finding.row)
        log = alert.extra["log"]
        log["lines"] = list(finding.lines[-MOST_LINES:])
        alert.extra["correlation"] = {
            "type": correlation.kind.value,
            "events": len(finding.lines),
            "group": {
                name: self._masked(value)[:LONGEST_VALUE]
                for name, value in zip(correlation.group_by, finding.key, strict=True)
            },
        }
        return alert

    def _shown(self, name: str, row: int) -> str:
        return self._masked(self.view.value(name, row) or b"")

    def _masked(self, value: bytes) -> str:
        mask = self.view.columns.mask
        return (value if mask is None else mask(value)).decode("utf-8", "replace")

    def _personal(self, row: int) -> dict[str, str]:
        found = {name: self.view.text(name, row) for name in PERSONAL}
        return {name.removeprefix("pii."): text for name, text in found.items() if text}

    def _address(self, row: int) -> str:
        return next((found for name in ADDRESSES if (found := self.view.text(name, row))), "")

    def _http(self, row: int) -> dict[str, Any]:
        http: dict[str, Any] = {}
        if self.view.raw("http.request.method") is None and self.view.raw("url.original") is None:
            return http
        for key, name in HTTP.items():
            value = self._shown(name, row)
            if value:
                http[key] = int(value) if key == "status" and value.isdigit() else value[:LONGEST_VALUE]
        return http


def _category(tags: tuple[str, ...]) -> str:
    """The ATT&CK tactic or our own class, as `attack.credential-access` or `oat.008` say it."""
    return next(
        (tag.split(".", 1)[1] for tag in tags if tag.startswith(("attack.", "oat.")) and "t1" not in tag), ""
    )
