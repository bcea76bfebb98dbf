"""Dashboards are shipped as made, ask for metrics that exist, and are valid PromQL."""

import json
import re
import subprocess

import pytest

from sentinel import metrics, yamlfile
from sentinel.operate import dashboards

DECLARED = {m.name: m for m in vars(metrics).values() if isinstance(m, metrics.Metric)}
PANELS = [(board.uid, panel) for board in dashboards.DASHBOARDS for panel in board.panels]


def test_the_shipped_files_are_the_made_ones(tmp_path):
    made = {path.name: path.read_text() for path in dashboards.write(tmp_path)}
    shipped = {path.name: path.read_text() for path in dashboards.FOLDER.glob("*.json")}
    assert shipped == made


@pytest.mark.parametrize(("board", "panel"), PANELS, ids=lambda v: v if isinstance(v, str) else v.title)
def test_a_panel(board, panel):
    assert panel.description.endswith(".")
    for query, legend in panel.queries:
        names = set(re.findall(r"sentinel_[a-z_]+", query))
        assert {name.removesuffix("_bucket") if name not in DECLARED else name for name in names} <= set(
            DECLARED
        )
        labels = set(re.findall(r"\{\{(\w+)\}\}", legend)) - {"instance"}
        (metric,) = {DECLARED.get(name) or DECLARED[name.removesuffix("_bucket")] for name in names}
        assert labels <= set(metric.labels)
        assert "$I" in query


def test_every_query_is_promql(tmp_path):
    exprs = [dashboards.expression(query) for _, panel in PANELS for query, _ in panel.queries]
    exprs = [e.replace("$__rate_interval", "5m").replace("$instance", ".*") for e in exprs]
    rules = [{"record": f"x:{number}", "expr": expr} for number, expr in enumerate(exprs)]
    (tmp_path / "r.yml").write_text(yamlfile.dump({"groups": [{"name": "x", "rules": rules}]}))
    done = subprocess.run(
        ["promtool", "check", "rules", tmp_path / "r.yml"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("board", dashboards.DASHBOARDS, ids=lambda b: b.uid)
def test_layout(board):
    rendered = dashboards.render(board)
    cells = [
        (p["gridPos"]["x"] + dx, p["gridPos"]["y"])
        for p in rendered["panels"]
        for dx in range(p["gridPos"]["w"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    assert {v["name"] for v in rendered["templating"]["list"]} == {"datasource", "instance"}
    assert rendered["links"]


def test_export(tmp_path, sentinel):
    done = sentinel("dashboards", "export", tmp_path, check=0)
    assert len(done.stdout.splitlines()) == len(dashboards.DASHBOARDS) + 3
    provider = (tmp_path / "provisioning/dashboards/sentinel.yaml").read_text()
    assert str(tmp_path / "dashboards") in provider
    assert (
        json.loads((tmp_path / "dashboards/sentinel-overview.json").read_text())["title"]
        == "Sentinel / Overview"
    )
