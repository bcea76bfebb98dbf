"""Values cross processes, survive restarts, and every declared metric has a proper name."""

import re
import subprocess
import sys
import urllib.request

import pytest

from sentinel import metrics

DECLARED = [value for value in vars(metrics).values() if isinstance(value, metrics.Metric)]


def child(directory, name, code):
    script = f"from pathlib import Path; from sentinel import metrics; metrics.use_directory(Path({str(directory)!r}), {name!r}); {code}"
    subprocess.run([sys.executable, "-c", script], check=True)


def scrape(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
        return answer.read().decode()


def test_one_endpoint_over_all_components_and_restarts(tmp_path):
    restart = "metrics.component_restarts.inc(component='logs')"
    child(tmp_path, "network", restart)
    child(tmp_path, "network", restart)  # the same component, started again
    child(tmp_path, "logs", restart + "; metrics.component_up.set(1, component='logs')")
    server = metrics.serve(tmp_path, "127.0.0.1", 0)
    try:
        text = scrape(server.port)
    finally:
        server.close()
    assert 'sentinel_component_restarts_total{component="logs"} 3.0' in text
    assert 'sentinel_component_up{component="logs"} 1.0' in text
    assert len(list(tmp_path.glob("counter_*.db"))) == 2


@pytest.mark.parametrize("metric", DECLARED, ids=lambda m: m.name)
def test_names(metric):
    assert re.fullmatch(r"sentinel_[a-z0-9_]+", metric.name)
    assert metric.help.endswith(".")
    assert isinstance(metric, metrics.Counter) == metric.name.endswith("_total")
    assert not {"ip", "address", "user", "path"} & set(metric.labels), "unbounded label"


def test_names_are_unique():
    names = [metric.name for metric in DECLARED]
    assert len(names) == len(set(names))


def test_a_histogram_is_served_as_prometheus_expects(tmp_path):
    observe = "; ".join(f"metrics.firewall_repair_seconds.observe({value})" for value in (0.01, 0.02, 60))
    child(tmp_path, "firewall", observe)
    server = metrics.serve(tmp_path, "127.0.0.1", 0)
    try:
        lines = scrape(server.port).splitlines()
    finally:
        server.close()
    found = dict(line.rsplit(" ", 1) for line in lines if line.startswith("sentinel_firewall_repair"))
    name = "sentinel_firewall_repair_seconds"
    assert [found[f'{name}_bucket{{le="{le}"}}'] for le in ("0.005", "0.01", "0.025", "10.0", "+Inf")] == [
        "0.0",
        "1.0",
        "2.0",
        "2.0",
        "3.0",
    ]
    assert (found[f"{name}_count"], found[f"{name}_sum"]) == ("3.0", "60.03")


def test_wrong_labels_are_refused():
    with pytest.raises(ValueError, match="has labels"):
        metrics.component_restarts.inc()
    with pytest.raises(KeyError):
        metrics.component_restarts.inc(unit="logs")


def test_only_who_serves_loads_the_library(tmp_path):
    check = "metrics.component_up.set(1, component='logs'); import sys; sys.exit('prometheus_client' in sys.modules or 'ssl' in sys.modules)"
    child(tmp_path, "logs", check)
