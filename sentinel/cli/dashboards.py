"""sentinel dashboards: Grafana dashboards, Prometheus alert rules and their provisioning files."""

from __future__ import annotations

import shutil
from pathlib import Path

import typer

app = typer.Typer(
    help="Export Grafana dashboards and Prometheus alert rules.", no_args_is_help=True, rich_markup_mode=None
)


@app.callback()
def main() -> None:
    """Keep `export` a subcommand although it is the only one."""


@app.command()
def export(
    directory: Path = typer.Argument(
        ..., metavar="DIR", help="Made where it is missing; files are replaced."
    ),
) -> None:
    """Write dashboards (JSON), Grafana's provider file, Prometheus' alert rules and a scrape example to DIR."""
    from sentinel.operate import dashboards

    written = dashboards.write(directory / "dashboards")
    provider = directory / "provisioning" / "dashboards" / "sentinel.yaml"
    provider.parent.mkdir(parents=True, exist_ok=True)
    provider.write_text(dashboards.PROVIDER % (directory / "dashboards").resolve())
    rules = directory / "prometheus" / "sentinel-alerts.yml"
    rules.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(Path(__file__).parents[1] / "prometheus" / "alerts.yml", rules)
    scrape = rules.with_name("prometheus.yml")
    scrape.write_text(dashboards.PROMETHEUS)
    for path in (*written, provider, rules, scrape):
        print(f"wrote {path}")
