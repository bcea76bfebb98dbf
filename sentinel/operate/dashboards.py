"""Grafana dashboards from tables: one row a panel (title, unit, queries, what it tells); JSON as Grafana 10 reads it.

The JSON files in sentinel/grafana are made by `python -m sentinel.operate.dashboards` and shipped; a test keeps both
in step. Every dashboard has the variables `datasource` and `instance`, links to the others, and panel descriptions.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

FOLDER = Path(__file__).parents[1] / "grafana"
COLUMNS, HEIGHT = 24, 7
Kind = Literal["stat", "timeseries", "table"]


@dataclass(frozen=True, slots=True)
class Panel:
    """`queries` are (PromQL, legend); `$I` stands for the instance selector. `good` colours a stat: 0 or 1 is green."""

    title: str
    description: str
    queries: tuple[tuple[str, str], ...]
    unit: str = "short"
    kind: Kind = "timeseries"
    width: int = 8
    good: int | None = None


@dataclass(frozen=True, slots=True)
class Dashboard:
    uid: str
    title: str
    panels: tuple[Panel, ...]


def stat(title: str, description: str, query: str, unit: str = "short", good: int | None = None) -> Panel:
    return Panel(title, description, ((query, ""),), unit, "stat", 4, good)


def chart(
    title: str, description: str, *queries: tuple[str, str], unit: str = "short", width: int = 8
) -> Panel:
    return Panel(title, description, queries, unit, "timeseries", width)


AGE = "time() - {}{{$I}}"

DASHBOARDS: tuple[Dashboard, ...] = (
    Dashboard("sentinel-overview", "Sentinel / Overview", (
        stat("Components", "Components that work now.", "sum(sentinel_component_up{$I})"),
        stat("Components down", "Must be 0; sentinel doctor says why it is not.", "sum(1 - sentinel_component_up{$I})", good=0),
        stat("Firewall in place", "1 while the kernel agrees with the applied policy.", "min(sentinel_firewall_in_sync{$I})", good=1),
        stat("Oldest good backup", "Age of the last good run of the job that waits longest.", "max(time() - sentinel_backup_last_success_timestamp_seconds{$I})", "s"),
        stat("Oldest good drill", "Age of the last successful rehearsal of a restore.", "max(time() - sentinel_drill_last_success_timestamp_seconds{$I})", "s"),
        stat("Bans in force", "Addresses the firewall turns away now.", "sum(sentinel_firewall_bans{$I})"),
        chart("Alerts by level", "Detections of all planes.", ("sum by (level) (rate(sentinel_alerts_total{$I}[$__rate_interval]))", "{{level}}"), unit="cps", width=12),
        chart("Alerts by plane", "On the wire and in the logs.", ("sum by (source) (rate(sentinel_alerts_total{$I}[$__rate_interval]))", "{{source}}"), unit="cps", width=12),
        chart("Component restarts", "A component that keeps restarting does not keep its promise.", ("increase(sentinel_component_restarts_total{$I}[1h])", "{{instance}} {{component}}")),
        chart("Reloads", "Refused reloads leave the old configuration in force.", ("increase(sentinel_reloads_total{$I}[1h])", "{{component}} {{result}}")),
        chart("Ledger", "Number of the newest record. It only ever grows.", ("sentinel_ledger_sequence{$I}", "{{instance}}")),
        chart("Last report", "Seconds since each component said that it works.", ("sentinel_component_report_age_seconds{$I}", "{{component}}"), unit="s", width=12),
        chart("Configuration age", "Since the running configuration was loaded.", (AGE.format("sentinel_last_reload_timestamp_seconds"), "{{component}}"), unit="s", width=12),
    )),
    Dashboard("sentinel-network", "Sentinel / Network", (
        chart("Packets", "Packets looked at, by interface.", ("rate(sentinel_network_packets_total{$I}[$__rate_interval])", "{{interface}}"), unit="pps"),
        chart("Packets lost", "Not looked at because the ring was full. Should be 0.", ("rate(sentinel_network_dropped_packets_total{$I}[$__rate_interval])", "{{interface}}"), unit="pps"),
        chart("Last packet", "Age of the newest packet; a blind capture shows here.", (AGE.format("sentinel_network_last_packet_timestamp_seconds"), "{{interface}}"), unit="s"),
        chart("Alerts", "Suricata rules that matched.", ('sum by (level) (rate(sentinel_alerts_total{source="network",$I}[$__rate_interval]))', "{{level}}"), unit="cps"),
        chart("Rules in force", "Loaded and refused network rules.", ('sentinel_rules_loaded{plane="network",$I}', "loaded"), ('sentinel_rules_failed{plane="network",$I}', "refused")),
        chart("Flows", "Connections that are followed now, and the ones dropped because the table was full.", ("sentinel_network_flows{$I}", "flows"), ("rate(sentinel_network_flows_evicted_total{$I}[$__rate_interval])", "dropped a second")),
        chart("Memory for traffic", "Held for TCP reassembly, and frames kept until a flow becomes a candidate.", ("sentinel_network_stream_bytes{$I}", "reassembly"), ("sentinel_network_deferred_bytes{$I}", "frames")  , unit="bytes"),
        chart("Holes in streams", "What was lost on the way here cannot be judged; refused segments mean that reassembly memory was full.", ("rate(sentinel_network_stream_gaps_total{$I}[$__rate_interval])", "holes"), ("rate(sentinel_network_segments_refused_total{$I}[$__rate_interval])", "refused segments"), unit="cps"),
        chart("Passed by the screen", "Packets that no rule's pattern asked to be looked at one by one.", ("rate(sentinel_network_packets_passed_total{$I}[$__rate_interval])", "{{instance}}"), unit="pps"),
        chart("Rule load time", "How long the last load took.", ('sentinel_rules_load_seconds{plane="network",$I}', "{{instance}}"), unit="s"),
    )),
    Dashboard("sentinel-logs", "Sentinel / Logs and abuse", (
        chart("Lines", "Lines read, by log.", ("rate(sentinel_log_lines_total{$I}[$__rate_interval])", "{{file}}"), unit="cps"),
        chart("Lines that do not parse", "Rules on fields cannot see them.", ("rate(sentinel_log_lines_unparsed_total{$I}[$__rate_interval])", "{{file}}"), unit="cps"),
        chart("Last line", "Age of the newest line of each log.", (AGE.format("sentinel_log_last_line_timestamp_seconds"), "{{file}}"), unit="s"),
        chart("Quiet logs", "1 while a log is silent for longer than is usual for it.", ("sentinel_log_quiet{$I}", "{{file}}")),
        chart("Lines and files lost", "Lines cut for their length, and rotated files gone before they were read to their end. Should be 0.", ("increase(sentinel_log_lines_cut_total{$I}[1h])", "cut lines"), ("increase(sentinel_log_generations_lost_total{$I}[1h])", "lost files")),
        chart("What alerts led to", "A ban asked for, below the level, never banned, or spared because many customers are behind the address.", ("sum by (outcome) (rate(sentinel_response_decisions_total{$I}[$__rate_interval]))", "{{outcome}}"), unit="cps"),
        chart("Full correlation tables", "Groups dropped to bound memory; slow attacks may be missed.", ("increase(sentinel_correlation_evictions_total{$I}[1h])", "dropped groups")),
        chart("Alerts", "Sigma rules and correlations that matched.", ('sum by (level) (rate(sentinel_alerts_total{source="log",$I}[$__rate_interval]))', "{{level}}"), unit="cps"),
        chart("Rules in force", "Loaded and refused log rules.", ('sentinel_rules_loaded{plane="logs",$I}', "loaded"), ('sentinel_rules_failed{plane="logs",$I}', "refused")),
    )),
    Dashboard("sentinel-firewall", "Sentinel / Firewall", (
        stat("In place", "1 while the kernel agrees with the applied version.", "min(sentinel_firewall_in_sync{$I})", good=1),
        stat("Version", "Number of the version in force.", "max(sentinel_firewall_version{$I})"),
        stat("Waiting for confirmation", "1 while an apply can still roll itself back.", "max(sentinel_firewall_pending{$I})", good=0),
        stat("Bans in force", "Addresses turned away now.", "sum(sentinel_firewall_bans{$I})"),
        chart("Decisions about bans", "What became of offenders: banned, never, budget, observed.", ("sum by (outcome) (rate(sentinel_firewall_ban_decisions_total{$I}[$__rate_interval]))", "{{outcome}}"), unit="cps"),
        chart("Drift", "Changes of Sentinel's table by somebody else.", ("increase(sentinel_firewall_drift_total{$I}[1h])", "{{kind}} {{result}}")),
        chart("Repair time, p99", "From noticing a drift to the kernel being right again.", ("histogram_quantile(0.99, sum by (le) (rate(sentinel_firewall_repair_seconds_bucket{$I}[1h])))", "p99"), unit="s"),
        chart("Age of DNS answers", "The oldest answer that the policy relies on.", ("sentinel_firewall_name_age_seconds{$I}", "{{instance}}"), unit="s"),
        chart("Applies", "How each apply ended.", ("increase(sentinel_firewall_applies_total{$I}[1d])", "{{result}}")),
    )),
    Dashboard("sentinel-backup", "Sentinel / Backup and drills", (
        chart("Last good backup", "Age of the newest complete snapshot, by job.", (AGE.format("sentinel_backup_last_success_timestamp_seconds"), "{{backup_job}}"), unit="s"),
        chart("Last run went well", "1 when the newest run of a job ended well.", ("sentinel_backup_last_run_success{$I}", "{{backup_job}}")),
        chart("Overdue", "1 while a job or its drill did not run in time.", ("sentinel_backup_overdue{$I}", "{{backup_job}}"), ("sentinel_drill_overdue{$I}", "drill {{backup_job}}")),
        chart("Recovery time (RTO)", "Measured by the newest good drill.", ("sentinel_drill_rto_seconds{$I}", "{{backup_job}}"), unit="s"),
        chart("Recovery point (RPO)", "Age of the data that the newest good drill restored.", ("sentinel_drill_rpo_seconds{$I}", "{{backup_job}}"), unit="s"),
        chart("Last good drill", "Since somebody last knew that it restores.", (AGE.format("sentinel_drill_last_success_timestamp_seconds"), "{{backup_job}}"), unit="s"),
        chart("Duration", "How long the newest run took.", ("sentinel_backup_duration_seconds{$I}", "{{backup_job}}"), unit="s"),
        chart("Data", "Size of the source, and what the newest snapshot added.", ("sentinel_backup_source_bytes{$I}", "{{backup_job}} source"), ("sentinel_backup_stored_bytes{$I}", "{{backup_job}} added"), unit="bytes"),
        chart("Runs", "Runs that state remembers, by result.", ("sentinel_backup_runs{$I}", "{{backup_job}} {{result}}")),
        chart("Drills", "Drills that state remembers, by result.", ("sentinel_drill_runs{$I}", "{{backup_job}} {{result}}")),
        chart("Files", "Files in the newest complete snapshot; a sudden fall means that something is not backed up any more.", ("sentinel_backup_files{$I}", "{{backup_job}}")),
        chart("Store", "Bytes to and from repository stores.", ("sum by (direction) (rate(sentinel_backup_store_bytes_total{$I}[$__rate_interval]))", "{{direction}}"), unit="Bps"),
    )),
)  # fmt: skip


def render(dashboard: Dashboard) -> dict[str, Any]:
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "tags": ["sentinel"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "links": [
            {
                "type": "dashboards",
                "tags": ["sentinel"],
                "title": "Sentinel",
                "asDropdown": True,
                "includeVars": True,
            }
        ],
        "templating": {"list": [_datasource(), _instance()]},
        "panels": _placed(dashboard.panels),
    }


def _datasource() -> dict[str, Any]:
    return {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Data source"}


def _instance() -> dict[str, Any]:
    return {
        "name": "instance",
        "type": "query",
        "label": "Host",
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "query": {"query": "label_values(sentinel_component_up, instance)", "refId": "instance"},
        "includeAll": True,
        "multi": True,
        "refresh": 2,
        "current": {"text": "All", "value": "$__all"},
    }


def _placed(panels: tuple[Panel, ...]) -> list[dict[str, Any]]:
    """Left to right, a new line where the width is used up."""
    placed, x, y = [], 0, 0
    for number, panel in enumerate(panels, 1):
        if x + panel.width > COLUMNS:
            x, y = 0, y + HEIGHT
        placed.append(_panel(panel, number, x, y))
        x += panel.width
    return placed


def _panel(panel: Panel, number: int, x: int, y: int) -> dict[str, Any]:
    source = {"type": "prometheus", "uid": "${datasource}"}
    targets = [
        {
            "refId": chr(65 + i),
            "datasource": source,
            "expr": expression(query),
            "legendFormat": legend or "__auto",
        }
        for i, (query, legend) in enumerate(panel.queries)
    ]
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": source,
        "gridPos": {"x": x, "y": y, "w": panel.width, "h": HEIGHT},
        "targets": targets,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0, **_colours(panel.good)}, "overrides": []},
        "options": {"reduceOptions": {"calcs": ["lastNotNull"]}}
        if panel.kind == "stat"
        else {"legend": {"displayMode": "list"}},
    }


def expression(query: str) -> str:
    return query.replace("$I", 'instance=~"$instance"')


def _colours(good: int | None) -> dict[str, Any]:
    if good is None:
        return {}
    low, high = ("green", "red") if good == 0 else ("red", "green")
    return {
        "thresholds": {
            "mode": "absolute",
            "steps": [{"color": low, "value": None}, {"color": high, "value": 1}],
        }
    }


def write(folder: Path) -> list[Path]:
    """All dashboards as JSON files."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for dashboard in DASHBOARDS:
        path = folder / f"{dashboard.uid}.json"
        path.write_text(json.dumps(render(dashboard), indent=1) + "\n")
        paths.append(path)
    return paths


PROVIDER = """\
# Grafana provisioning: put this into /etc/grafana/provisioning/dashboards/
apiVersion: 1
providers:
  - name: sentinel
    folder: Sentinel
    type: file
    options: {path: %s}
"""
# What a Prometheus without other duties needs; elsewhere the two entries go into its own file.
PROMETHEUS = """\
rule_files: [sentinel-alerts.yml]
scrape_configs:
  - job_name: sentinel
    scrape_interval: 15s
    # one endpoint a host: metrics.listen of its sentinel.yml. Off loopback it wants TLS (metrics.tls): add
    #   scheme: https
    #   tls_config: {ca_file: ..., cert_file: ..., key_file: ...}
    static_configs:
      - targets: ["127.0.0.1:9480"]
"""

if __name__ == "__main__":
    write(FOLDER)
