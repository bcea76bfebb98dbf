"""setup is idempotent, never replaces an operator's file, and takes away only what it put there."""

from pathlib import Path

import pytest

from sentinel.errors import UsageError
from sentinel.operate import setup


def run(steps):
    done = [step.text for step in steps if step.act]
    for step in steps:
        if step.act:
            step.act()
    return done


def test_twice_is_once(tmp_path):
    assert run(setup.install(tmp_path))
    assert run(setup.install(tmp_path)) == []
    assert (tmp_path / "etc/systemd/system/sentinel.target").exists()
    assert (tmp_path / "usr/local/bin/sentinel").is_symlink()


def test_the_password_is_not_for_everybody(tmp_path):
    run(setup.install(tmp_path))
    key = tmp_path / "etc/sentinel/repository.key"
    assert key.stat().st_mode & 0o777 == 0o600
    assert len(key.read_text().strip()) >= 32


def test_an_operators_file_stays(tmp_path):
    (tmp_path / "etc/sentinel").mkdir(parents=True)
    (tmp_path / "etc/sentinel/sentinel.yml").write_text("host: mine\n")
    run(setup.install(tmp_path))
    assert (tmp_path / "etc/sentinel/sentinel.yml").read_text() == "host: mine\n"


def test_a_changed_unit_is_written_again(tmp_path):
    run(setup.install(tmp_path))
    unit = tmp_path / "etc/systemd/system/sentinel-logs.service"
    unit.write_text("[Service]\n")
    assert run(setup.install(tmp_path)) == [f"write {unit}"]


def test_uninstall_leaves_data(tmp_path):
    run(setup.install(tmp_path))
    (tmp_path / "var/lib/sentinel").mkdir(parents=True)
    run(setup.uninstall(tmp_path))
    assert list((tmp_path / "etc/systemd/system").glob("*.*")) == []
    assert not (tmp_path / "usr/local/bin/sentinel").is_symlink()
    assert (tmp_path / "etc/sentinel/sentinel.yml").exists()
    assert (tmp_path / "var/lib/sentinel").exists()


@pytest.mark.parametrize("version", [252, 253])
def test_notify_reload_where_systemd_knows_it(tmp_path, monkeypatch, version):
    monkeypatch.setattr(setup, "_systemd_version", lambda: version)
    run(setup.install(tmp_path))
    drop_in = tmp_path / "etc/systemd/system/sentinel-logs.service.d/10-notify-reload.conf"
    assert drop_in.exists() == (version >= 253)


def test_dry_run_does_nothing(tmp_path, sentinel):
    done = sentinel("setup", "--dry-run", "--root", tmp_path, check=0)
    assert "would write" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_man_page_and_completion_are_installed_and_go_again(tmp_path, sentinel):
    sentinel("setup", "--root", tmp_path, check=0)
    share = tmp_path / "usr/local/share"
    assert ".SH EXIT STATUS" in (share / "man/man1/sentinel.1").read_text()
    assert "_SENTINEL_COMPLETE" in (share / "bash-completion/completions/sentinel").read_text()
    again = sentinel("setup", "--root", tmp_path, check=0).stdout
    assert "  do  " not in again
    sentinel("setup", "--uninstall", "--root", tmp_path, check=0)
    assert [path for path in share.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("place", ["/root/venv/bin", "/home/anna/venv/bin", "/tmp/venv/bin"])
def test_a_place_that_the_units_cannot_see_is_refused(place):
    with pytest.raises(UsageError, match="install into /opt/sentinel"):
        setup._refuse_hidden(Path(place))
    setup._refuse_hidden(Path("/opt/sentinel/bin"))
