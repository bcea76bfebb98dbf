"""The page for a tired human: complete, copyable, without secrets."""

from __future__ import annotations

import shlex

import pytest
from shop import Bench, SqliteShop

from sentinel.playbook import book
from sentinel.playbook.runner import Request, Runner
from sentinel.playbook.show import render


@pytest.fixture
def bench(tmp_path) -> Bench:
    place = tmp_path / "with blank"
    place.mkdir()
    return Bench(place, SqliteShop(place, None))


def plan(bench: Bench, name: str, **parameters):
    runner = Runner(config=bench.config, settings=bench.settings, state=bench.state, ledger=bench.ledger)
    return runner.dry(Request(name, parameters=parameters))


def test_filled_in_and_copyable(bench) -> None:
    filled = plan(bench, "restore-sqlite")
    page = render(filled.playbook, filled.values)
    commands = [line.partition("$ ")[2] for line in page.splitlines() if line.startswith("      $ ")]
    assert len(commands) > 10
    moves = [shlex.split(line) for line in commands if line.startswith("mv ")]
    assert all(len(words) in {3, 4} for words in moves), "a blank in a path must not split it"
    assert f"export RESTIC_REPOSITORY={shlex.quote(str(bench.store))}" in commands
    assert "<" not in "".join(line for line in commands if "restic dump" not in line)


def test_no_secret_is_shown(bench, monkeypatch) -> None:
    monkeypatch.setenv("REPO_SECRET", "hunter2")
    bench.configure(repository={"password_env": "REPO_SECRET", "password_file": None})
    bench.data["backup"]["repositories"]["main"].pop("password_file")
    from sentinel import yamlfile

    bench.config.write_text(yamlfile.dump(bench.data))
    filled = plan(bench, "restore-sqlite")
    page = render(filled.playbook, filled.values)
    assert "hunter2" not in page
    assert "read -rs RESTIC_PASSWORD" in page
    assert filled.environment["RESTIC_PASSWORD"] == "hunter2"
    assert "hunter2" not in str(filled.recorded) + str(filled.values)


def test_unknown_values_are_left_for_the_reader() -> None:
    page = render(book.load(book.find("restore-postgresql")), {})
    assert "createdb -T template0 <target_database>_restored" in page
    assert "export RESTIC_REPOSITORY=<where the repository is>" in page
    assert "export RESTIC_PASSWORD" in page
    assert "STOP. A person decides" in page
