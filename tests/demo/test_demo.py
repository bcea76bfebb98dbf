"""The demo's whole story, and a real Prometheus that scrapes it: every panel of every dashboard has data."""

import contextlib
import json
import sys

import pytest

from sentinel.cli.demo import _keep
from sentinel.demo.lab import Lab
from sentinel.demo.stage import Stage
from sentinel.demo.story import PROMISES, wait_for
from sentinel.errors import SentinelError
from sentinel.operate import dashboards

pytestmark = [pytest.mark.netns, pytest.mark.timeout(300)]

PROMETHEUS = """\
global: {scrape_interval: 1s}
scrape_configs: [{job_name: sentinel, static_configs: [{targets: ["127.0.0.1:9480"]}]}]
"""
ADDRESS = "127.0.0.1:9090"


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    with Lab() as lab:
        stage = Stage(lab, folder)
        stage.open_shop()
        stage.start_sentinel()
        (folder / "prometheus.yml").write_text(PROMETHEUS)
        lab.shop.start(
            ["prometheus", f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'tsdb'}",
             f"--web.listen-address={ADDRESS}"], folder / "prometheus.log")  # fmt: skip
        stage.customer_arrives()
        yield stage


@pytest.mark.parametrize("promise", PROMISES, ids=lambda p: p.text)
def test_promise(stage, promise):
    from rich.console import Console

    _, kept, evidence, _ = _keep(promise, stage, Console())
    assert kept, evidence


def test_every_panel_has_data(stage):
    exprs = {
        (board.uid, panel.title, query): dashboards.expression(query)
        .replace("$__rate_interval", "1m")
        .replace("$instance", ".*")
        for board in dashboards.DASHBOARDS
        for panel in board.panels
        for query, _ in panel.queries
    }
    script = (
        "import json, sys, urllib.request, urllib.parse\n"
        "def ask(e):\n"
        f"    u = 'http://{ADDRESS}/api/v1/query?query=' + urllib.parse.quote(e)\n"
        "    return json.load(urllib.request.urlopen(u, timeout=5))['data']['result']\n"
        "print(json.dumps([len(ask(e)) for e in json.load(open(sys.argv[1]))]))"
    )
    file = stage.folder / "queries.json"
    file.write_text(json.dumps(list(exprs.values())))

    def empty():
        counts = json.loads(stage.lab.shop.run([sys.executable, "-c", script, str(file)]).stdout)
        return [where for where, count in zip(exprs, counts, strict=True) if count == 0]

    with contextlib.suppress(SentinelError):
        wait_for("data in every panel", 60.0, lambda: not empty())
    missing = empty()
    assert not missing, "\n".join(map(str, missing))
