"""The `backup:` section: what an operator may write, and how every mistake is told with its line."""

from __future__ import annotations

import pytest

from sentinel.backup.settings import BackupSettings, RepositorySettings, Secret, SourceSettings
from sentinel.errors import InvalidInputError
from sentinel.yamlfile import parse

GOOD = """\
repositories:
  main: {store: "s3://bucket/prefix", endpoint: "https://s3.example:9000/", password_file: /etc/sentinel/repo.key}
jobs:
  shop-db:
    source: {postgresql: {database: shop}}
    repository: main
    schedule: "0 */6 * * *"
    keep: {daily: 14, weekly: 8}
    drill: {playbook: restore-postgresql, schedule: "30 3 * * *", max_age: 8h}
"""


def test_the_example_of_the_design() -> None:
    settings = parse(GOOD, BackupSettings, "sentinel.yml")
    job = settings.jobs["shop-db"]
    assert job.source.kind == "postgresql"
    assert (job.keep.daily, job.keep.last) == (14, None)
    assert job.drill.max_age == 28_800
    assert settings.repositories["main"].location() == "s3:https://s3.example:9000/bucket/prefix"


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("repository: main", "repository: mian", 6, "there is no repository 'mian'"),
        ("0 */6 * * *", "0 */6 * *", 7, "neither a cron expression"),
        ("0 */6 * * *", "99 * * * *", 7, "'99' is no minute"),
        ("daily: 14", "dayly: 14", 8, "unknown key"),
        ("daily: 14", "daily: 0", 8, "greater than or equal to 1"),
        ("max_age: 8h", "max_age: soon", 9, "is not a duration"),
        ("{postgresql: {database: shop}}", "{postgresql: {database: shop}, redis: {}}", 5, "exactly one of"),
        ("{postgresql: {database: shop}}", "{}", 5, "exactly one of"),
        ("database: shop", "database: --all", 5, "match"),
        (
            ", password_file: /etc/sentinel/repo.key",
            "",
            2,
            "password_file, password_env and password_credential",
        ),
        ("password_file: /etc/sentinel/repo.key", "password_file: /x, password_env: Y", 2, "only one of"),
        ("shop-db:", "'../shop':", 4, "match"),
    ],
)
def test_mistakes_are_told_with_their_line(old, new, line, message) -> None:
    assert old in GOOD
    with pytest.raises(InvalidInputError) as caught:
        parse(GOOD.replace(old, new), BackupSettings, "sentinel.yml")
    (problem,) = caught.value.problems
    assert (problem.line, message in problem.message) == (line, True), str(problem)


def test_all_mistakes_at_once() -> None:
    text = (
        GOOD.replace("max_age: 8h", "max_age: soon")
        .replace("0 */6", "0 */99")
        .replace("database: shop", "database: 7")
    )
    with pytest.raises(InvalidInputError) as caught:
        parse(text, BackupSettings, "sentinel.yml")
    assert [problem.line for problem in caught.value.problems] == [5, 7, 9]


class TestSecrets:
    def test_from_a_file_without_its_line_end(self, tmp_path) -> None:
        (tmp_path / "key").write_text(" with blanks \n")
        assert Secret(password_file=tmp_path / "key").password() == " with blanks "

    def test_from_the_environment(self, monkeypatch) -> None:
        monkeypatch.setenv("SHOP_PASSWORD", "open")
        assert Secret(password_env="SHOP_PASSWORD").password() == "open"
        monkeypatch.delenv("SHOP_PASSWORD")
        with pytest.raises(InvalidInputError, match="variable is not set"):
            Secret(password_env="SHOP_PASSWORD").password()

    def test_from_a_systemd_credential(self, tmp_path, monkeypatch) -> None:
        (tmp_path / "repo").write_text("open\n")
        secret = Secret(password_credential="repo")
        with pytest.raises(InvalidInputError, match="not started by systemd"):
            secret.password()
        monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
        assert secret.password() == "open"

    def test_none_and_missing(self, tmp_path) -> None:
        assert Secret().password() is None
        with pytest.raises(InvalidInputError, match="password cannot be read"):
            Secret(password_file=tmp_path / "none").password()

    def test_never_in_a_text_form(self, tmp_path) -> None:
        (tmp_path / "key").write_text("hunter2")
        settings = RepositorySettings(store="/srv", password_file=tmp_path / "key")
        settings.password()
        assert "hunter2" not in repr(settings) + settings.model_dump_json()


def test_a_source_is_one_kind() -> None:
    assert SourceSettings.model_validate({"sqlite": {"path": "/x"}}).kind == "sqlite"


def test_only_s3_retains(tmp_path) -> None:
    with pytest.raises(ValueError, match="object_lock needs an S3 store"):
        RepositorySettings(store="/srv", password_env="X", object_lock={"days": 3})
    settings = RepositorySettings(store="s3://bucket/prefix", password_env="X", object_lock={"days": 3})
    assert settings.object_lock.renew == "@daily"
