"""Shared options reach typer one by one and the command as a whole."""

from dataclasses import dataclass

import typer
from typer.testing import CliRunner

from sentinel.cli.options import grouped

VIA = typer.Option([], "--via")


@dataclass(frozen=True)
class Where:
    host: str = typer.Option("here", "--host", envvar="TEST_WHERE_HOST")
    port: int = typer.Option(1, "--port")


@dataclass(frozen=True)
class Farther(Where):
    via: list[str] = VIA


def run(*words, env=None):
    app = typer.Typer()

    @app.command()
    @grouped
    def go(
        name: str = typer.Argument(), *, where: Farther, loud: bool = typer.Option(False, "--loud")
    ) -> None:
        """Goes."""
        typer.echo(f"{name} {where} {loud}")

    return CliRunner().invoke(app, words, env=env)


def test_fields_are_options():
    assert run("x").stdout == "x Farther(host='here', port=1, via=[]) False\n"
    said = run("x", "--port", "7", "--via", "a", "--via", "b", "--loud", env={"TEST_WHERE_HOST": "there"})
    assert said.stdout == "x Farther(host='there', port=7, via=['a', 'b']) True\n"


def test_help_and_types_are_those_of_the_fields():
    assert "Goes." in run("--help").stdout
    assert run("x", "--port", "many").exit_code == 2
    assert run("x", "--where", "y").exit_code == 2
