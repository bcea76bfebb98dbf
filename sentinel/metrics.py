"""Every metric Sentinel exports, declared on this one page; the only importer of prometheus_client.

A declaration is inert. Components are processes of their own; they share a directory of mapped files (set by
`use_directory` before the first value) and one component serves them all: only that one loads prometheus_client.
Names follow Prometheus' rules: unit suffix, `_total` for counters, bounded labels, no address or user as a label.
"""

from __future__ import annotations

import bisect
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from sentinel.errors import SentinelError
from sentinel.metricfile import Series, Values

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)  # seconds
_values = Values()


@dataclass(frozen=True, slots=True)
class Metric:
    name: str
    help: str
    labels: tuple[str, ...] = ()

    def series(self, kind: str, given: dict[str, str], *, suffix: str = "", le: str = "") -> Series:
        if len(given) != len(self.labels):
            raise ValueError(f"{self.name} has labels {self.labels}, not {tuple(given)}")
        labels = tuple((name, str(given[name])) for name in self.labels)
        family = self.name.removesuffix("_total") if kind == "counter" else self.name
        return Series(kind, family, self.name + suffix, (*labels, ("le", le)) if le else labels, self.help)


class Counter(Metric):
    """Only ever grows; values of ended processes stay in the sum."""

    def inc(self, amount: float = 1, **labels: str) -> None:
        _values.add(self.series("counter", labels), amount)

    def begin(self, **labels: str) -> None:
        """Export a zero, so that `rate` and `increase` see the first event, and a panel without events is not empty."""
        _values.add(self.series("counter", labels), 0)


class Gauge(Metric):
    """The newest value written by any process."""

    mode: ClassVar[Literal["mostrecent", "sum"]] = "mostrecent"

    def set(self, value: float, **labels: str) -> None:
        _values.put(self.series(f"gauge_{self.mode}", labels), value, time.time())


class SharedGauge(Gauge):
    """The sum over the workers of a component."""

    mode: ClassVar[Literal["mostrecent", "sum"]] = "sum"


class Histogram(Metric):
    def observe(self, value: float, **labels: str) -> None:
        """All buckets are there from the first value on. Each counts its own; the reader sums them up."""
        own = bisect.bisect_left(BUCKETS, value)
        for number, bound in enumerate((*map(str, BUCKETS), "+Inf")):
            _values.add(self.series("histogram", labels, suffix="_bucket", le=bound), number == own)
        _values.add(self.series("histogram", labels, suffix="_sum"), value)


@dataclass(frozen=True, slots=True)
class Figure:
    """One value read at scrape time from state or ledger, not from a process's memory: it survives restarts."""

    metric: Metric
    value: float
    labels: dict[str, str] = field(default_factory=dict)


# --- build and supervision ------------------------------------------------------------------------------------
component_up = Gauge("sentinel_component_up", "1 while the component runs.", ("component",))
component_restarts = Counter(
    "sentinel_component_restarts_total", "Restarts by the supervisor.", ("component",)
)
reloads = Counter("sentinel_reloads_total", "Configuration reloads.", ("component", "result"))
reload_timestamp = Gauge(
    "sentinel_last_reload_timestamp_seconds", "When the running configuration was loaded.", ("component",)
)

report_age = Gauge(
    "sentinel_component_report_age_seconds", "Since the component last said that it works.", ("component",)
)
ledger_sequence = Gauge("sentinel_ledger_sequence", "Number of the newest ledger record.")
ledger_head = Gauge(
    "sentinel_ledger_head",
    "First 12 hex digits of the newest ledger record's hash, as a number: an anchor off the host.",
)

# --- network plane ----------------------------------------------------------------------------------------------
network_packets = Counter("sentinel_network_packets_total", "Packets taken from the ring.", ("interface",))
network_dropped = Counter(
    "sentinel_network_dropped_packets_total",
    "Packets lost before we saw them, as the kernel counts: the ring was full, the interface dropped it or overran.",
    ("interface", "reason"),
)
network_last_packet = Gauge(
    "sentinel_network_last_packet_timestamp_seconds", "When the last packet was taken.", ("interface",)
)
network_flows = SharedGauge("sentinel_network_flows", "Flows in the table.")
network_flows_evicted = Counter("sentinel_network_flows_evicted_total", "Flows dropped at the table's bound.")
network_flows_deferred = SharedGauge(
    "sentinel_network_flows_deferred", "Flows without a candidate so far, kept as raw frames."
)
network_deferred_bytes = SharedGauge("sentinel_network_deferred_bytes", "Bytes of those frames.")
network_packets_passed = Counter(
    "sentinel_network_packets_passed_total",
    "Packets that the screen passed without looking at them one by one.",
)
network_stream_bytes = SharedGauge("sentinel_network_stream_bytes", "Bytes held for TCP reassembly.")
network_segments_refused = Counter(
    "sentinel_network_segments_refused_total", "TCP segments not kept because reassembly memory was full."
)
network_stream_gaps = Counter("sentinel_network_stream_gaps_total", "Holes in TCP streams.")
network_datagrams_lost = Counter(
    "sentinel_network_fragmented_datagrams_lost_total",
    "Unfinished fragmented datagrams given up.",
    ("reason",),
)
app_transactions_evicted = Counter(
    "sentinel_app_transactions_evicted_total", "Live transactions dropped because a flow had too many."
)
app_errors = Counter(
    "sentinel_app_parser_errors_total", "Flows whose application parser gave up.", ("protocol",)
)

# --- log plane --------------------------------------------------------------------------------------------------
log_files = Gauge("sentinel_log_files", "Log files that are followed.")
log_lines = Counter("sentinel_log_lines_total", "Lines read.", ("file",))
log_behind = Gauge(
    "sentinel_log_behind_bytes",
    "Bytes of a log that wait to be read while earlier lines are judged.",
    ("file",),
)
log_lines_unparsed = Counter(
    "sentinel_log_lines_unparsed_total", "Lines their format does not fit.", ("file",)
)
log_lines_cut = Counter("sentinel_log_lines_cut_total", "Lines cut for their length.")
log_generations_lost = Counter(
    "sentinel_log_generations_lost_total", "Rotated files that were gone before they were read to their end."
)
log_last_line_timestamp = Gauge(
    "sentinel_log_last_line_timestamp_seconds", "When the last line of a log arrived.", ("file",)
)
log_quiet_limit = Gauge(
    "sentinel_log_quiet_limit_seconds",
    "Silence beyond which a log counts as quiet, from its own past.",
    ("file",),
)
log_quiet = Gauge("sentinel_log_quiet", "1 while a log is silent for longer than is usual for it.", ("file",))
log_rules_blind = Gauge(
    "sentinel_log_rules_blind",
    "Rules that cannot match on a log: a field they need never occurs in it.",
    ("file",),
)

correlation_evictions = Counter(
    "sentinel_correlation_evictions_total", "Groups dropped from full correlation tables."
)

# --- detection, alerts, response --------------------------------------------------------------------------------
response_decisions = Counter(
    "sentinel_response_decisions_total",
    "What alerts led to: a ban asked for, spared, below level ...",
    ("outcome",),
)
alerts_excepted = Counter(
    "sentinel_alerts_excepted_total", "Alerts hidden by an exception of the configuration.", ("source",)
)
alert_exceptions = Gauge(
    "sentinel_alert_exceptions",
    "Exceptions of the configuration: active, or ended and without effect.",
    ("state",),
)
webhook_alerts = Counter(
    "sentinel_webhook_alerts_total",
    "Alerts for the webhook: sent, repeated within its interval, given up.",
    ("result",),
)
webhook_requests = Counter(
    "sentinel_webhook_requests_total", "Requests to the webhook by the status of the answer.", ("result",)
)
alerts = Counter("sentinel_alerts_total", "Alerts written to the journal.", ("source", "level"))

expression_timeouts = Counter(
    "sentinel_expression_timeouts_total",
    "Regular expressions of rules that were stopped at their time limit.",
)
detect_evictions = Counter(
    "sentinel_detect_evictions_total", "Entries dropped from a full table of detection.", ("table",)
)
rules_loaded = Gauge("sentinel_rules_loaded", "Rules in force.", ("plane",))
rules_failed = Gauge("sentinel_rules_failed", "Rules refused at the last load.", ("plane",))
rules_load_seconds = Gauge("sentinel_rules_load_seconds", "How long the last load took.", ("plane",))
rules_info = Gauge(
    "sentinel_rules_info", "1; the label is the hash of the rules in force.", ("plane", "hash")
)

# --- firewall ---------------------------------------------------------------------------------------------------
bans = Counter("sentinel_firewall_ban_decisions_total", "Decisions about bans.", ("outcome",))
bans_live = Gauge("sentinel_firewall_bans", "Bans that are in force now.")
firewall_applies = Counter(
    "sentinel_firewall_applies_total", "Policies applied, by how it ended.", ("result",)
)
firewall_version = Gauge("sentinel_firewall_version", "Number of the version that the kernel should hold.")
firewall_pending = Gauge("sentinel_firewall_pending", "1 while a version waits for confirmation.")
firewall_in_sync = Gauge("sentinel_firewall_in_sync", "1 while the kernel agrees with the applied version.")
firewall_drift = Counter(
    "sentinel_firewall_drift_total", "Changes of the table by somebody else.", ("kind", "result")
)
firewall_repair_seconds = Histogram(
    "sentinel_firewall_repair_seconds", "From noticing a drift to the kernel being right again."
)
firewall_name_age = Gauge(
    "sentinel_firewall_name_age_seconds", "Age of the oldest DNS answer that the policy relies on."
)
firewall_name_failures = Counter(
    "sentinel_firewall_name_failures_total", "DNS lookups of names in groups that failed."
)
firewall_name_addresses_refused = Counter(
    "sentinel_firewall_name_addresses_refused_total", "Addresses of a DNS name beyond what one name may have."
)
firewall_published_ports = Gauge(
    "sentinel_firewall_published_ports", "Ports that containers publish past the policy's inbound rules."
)

# --- backup -----------------------------------------------------------------------------------------------------
backup_store_requests = Counter(
    "sentinel_backup_store_requests_total", "Requests to repository stores.", ("operation", "result")
)
backup_store_retries = Counter("sentinel_backup_store_retries_total", "Requests tried again.", ("operation",))
backup_store_bytes = Counter(
    "sentinel_backup_store_bytes_total", "Bytes to and from repository stores.", ("direction",)
)
backup_runs = Gauge(
    "sentinel_backup_runs", "Runs of a job that state remembers, by result.", ("backup_job", "result")
)
backup_last_run = Gauge(
    "sentinel_backup_last_run_timestamp_seconds", "When the newest run of a job began.", ("backup_job",)
)
backup_last_result = Gauge(
    "sentinel_backup_last_run_success", "1 when the newest run of a job ended well.", ("backup_job",)
)
backup_last_success = Gauge(
    "sentinel_backup_last_success_timestamp_seconds",
    "When a job last wrote a complete snapshot.",
    ("backup_job",),
)
backup_seconds = Gauge(
    "sentinel_backup_duration_seconds", "How long the newest run of a job took.", ("backup_job",)
)
backup_bytes = Gauge(
    "sentinel_backup_source_bytes", "Size of the data in the newest complete snapshot.", ("backup_job",)
)
backup_stored_bytes = Gauge(
    "sentinel_backup_stored_bytes",
    "What the newest complete snapshot added to the repository.",
    ("backup_job",),
)
backup_files = Gauge("sentinel_backup_files", "Files in the newest complete snapshot.", ("backup_job",))
backup_overdue = Gauge(
    "sentinel_backup_overdue", "1 while a scheduled job did not run in time.", ("backup_job",)
)
backup_check_problems = Gauge(
    "sentinel_backup_check_problems", "Problems that the newest scheduled check found.", ("repository",)
)
backup_check_time = Gauge(
    "sentinel_backup_last_check_timestamp_seconds",
    "When a repository was last checked on schedule.",
    ("repository",),
)
drill_runs = Gauge("sentinel_drill_runs", "Drills that state remembers, by result.", ("backup_job", "result"))
drill_last_run = Gauge(
    "sentinel_drill_last_run_timestamp_seconds", "When the newest drill of a job began.", ("backup_job",)
)
drill_last_result = Gauge(
    "sentinel_drill_last_run_success",
    "1 when the newest drill of a job restored what was recorded.",
    ("backup_job",),
)
drill_last_success = Gauge(
    "sentinel_drill_last_success_timestamp_seconds", "When a drill of a job last succeeded.", ("backup_job",)
)
drill_rto_seconds = Gauge(
    "sentinel_drill_rto_seconds", "Time to restore, measured by the newest good drill.", ("backup_job",)
)
drill_rpo_seconds = Gauge(
    "sentinel_drill_rpo_seconds", "Age of the data that the newest good drill restored.", ("backup_job",)
)
drill_bytes = Gauge(
    "sentinel_drill_restored_bytes", "Bytes that the newest good drill restored.", ("backup_job",)
)
drill_overdue = Gauge(
    "sentinel_drill_overdue", "1 while a scheduled drill did not run in time.", ("backup_job",)
)


def use_directory(directory: Path, process_name: str) -> None:
    """Share values with the other components through mapped files in `directory`. Call before the first value.

    Files are named after the component, not after its process, so that a restarted component goes on counting
    where it stopped and the number of files stays bounded. Two live processes must not share a name.
    """
    directory.mkdir(parents=True, exist_ok=True)
    _values.share(directory, process_name)


def begin_counters() -> None:
    """Counters without labels stand at zero from the start: `increase` would not see an event that made one appear."""
    for metric in globals().values():
        if isinstance(metric, Counter) and not metric.labels:
            metric.begin()


def held() -> dict[Series, float]:
    """What this process set, for tests and benches; the endpoint shows the sum over all processes."""
    return _values.held()


def forget_gauges(directory: Path, process_prefix: str) -> None:
    """Before workers start: what ended ones held must not go on counting in a sum. Counters stay."""
    for path in directory.glob(f"gauge_*_{process_prefix}*.db"):
        path.unlink(missing_ok=True)


def serve(
    directory: Path,
    address: str,
    port: int,
    *,
    figures: Callable[[], Iterable[Figure]] = tuple,
    certificate: Path | None = None,
    key: Path | None = None,
    client_ca: Path | None = None,
) -> Server:
    """Serve the values of all components; with `client_ca` only to clients that show a certificate of it."""
    from prometheus_client import CollectorRegistry, start_http_server
    from prometheus_client.multiprocess import MultiProcessCollector

    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(directory))  # type: ignore[no-untyped-call]
    registry.register(_FigureCollector(figures))
    tls = {"certfile": str(certificate), "keyfile": str(key)} if certificate else {}
    mutual = {"client_cafile": str(client_ca), "client_auth_required": True} if client_ca else {}
    try:
        server, thread = start_http_server(port, address, registry, **tls, **mutual)  # type: ignore[arg-type]
    except OSError as error:
        raise SentinelError(
            f"metrics: cannot listen on {address}:{port}: {error.strerror or error}"
        ) from error
    return Server(server, thread)


class _FigureCollector:
    """prometheus_client asks `collect` at every scrape."""

    def __init__(self, figures: Callable[[], Iterable[Figure]]) -> None:
        self._figures = figures

    def describe(self) -> list[Any]:
        return []  # nothing is asked for before the first scrape

    def collect(self) -> Iterable[Any]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        families: dict[str, Any] = {}
        for figure in self._figures():
            metric = figure.metric
            kind = CounterMetricFamily if isinstance(metric, Counter) else GaugeMetricFamily
            if metric.name not in families:
                families[metric.name] = kind(metric.name, metric.help, labels=metric.labels)
            families[metric.name].add_metric([figure.labels[name] for name in metric.labels], figure.value)
        return families.values()


CLIENT_SECONDS = 10.0  # a client that is silent for so long is dropped


class Server:
    """A running endpoint. Handshakes are made in the client's own thread: a silent client must not stop the others."""

    def __init__(self, server: Any, thread: Any) -> None:
        handler = server.RequestHandlerClass
        server.RequestHandlerClass = type("PatientHandler", (handler,), {"timeout": CLIENT_SECONDS})
        if hasattr(server.socket, "do_handshake_on_connect"):  # a socket of ssl, which components do not load
            server.socket.do_handshake_on_connect = False
        self.port = int(server.server_address[1])
        self._server, self._thread = server, thread

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
