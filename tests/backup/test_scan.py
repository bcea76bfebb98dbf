"""A digest tells any difference; looking ahead changes nothing but the time."""

import os

import pytest

from sentinel.backup import scan
from sentinel.backup.exclude import PathFilter
from sentinel.backup.scan import Scanner, ScanOptions, sight_of

FIELDS = {"st_mode": 0, "st_ino": 1, "st_dev": 2, "st_nlink": 3, "st_uid": 4, "st_gid": 5, "st_size": 6}


@pytest.fixture
def folder(tmp_path):
    for name in ("a/b", "c"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "file").write_text(name)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "big").write_bytes(bytes(1000))
    return os.fsencode(tmp_path)


def scanner(*excludes, **options):
    return Scanner(ScanOptions(PathFilter(excludes), **options))


def altered(info, field):
    values = list(info[:10])
    times = {name: getattr(info, name) for name in ("st_atime_ns", "st_mtime_ns", "st_ctime_ns")}
    if field in times:
        times[field] += 1
    else:
        values[FIELDS[field]] += 1
    return os.stat_result(values, times)


def test_what_a_folder_holds(folder):
    infos = scanner().scan(folder)
    assert set(infos) == {b"a", b"c", b"pipe", b"big"}
    sight = sight_of(infos)
    assert (sight.entries, sight.files, sight.size) == (4, 1, 1000)
    assert (sorted(sight.folders), sorted(sight.others)) == ([b"a", b"c"], [b"big", b"pipe"])
    assert set(scanner("pipe", exclude_larger_bytes=999).scan(folder)) == {b"a", b"c"}


@pytest.mark.parametrize("field", [*FIELDS, "st_mtime_ns", "st_ctime_ns"])
def test_any_difference_gives_another_digest(folder, field):
    infos = scanner().scan(folder)
    assert sight_of(dict(infos)).digest == sight_of(infos).digest
    assert sight_of({**infos, b"big": altered(infos[b"big"], field)}).digest != sight_of(infos).digest


def test_names_and_owners_are_in_the_digest(folder, monkeypatch):
    infos = scanner().scan(folder)
    digest = sight_of(infos).digest
    renamed = {name.replace(b"big", b"bag"): info for name, info in infos.items()}
    assert sight_of(renamed).digest != digest
    assert sight_of({name: info for name, info in infos.items() if name != b"c"}).digest != digest
    monkeypatch.setattr(scan, "user_name", lambda uid: "somebody else")
    assert sight_of(infos).digest != digest


def test_a_time_in_the_far_future_is_a_time(folder):
    infos = scanner().scan(folder)
    times = {"st_mtime_ns": 2**64, "st_ctime_ns": 2**64, "st_atime_ns": 0}
    far = {**infos, b"big": os.stat_result(infos[b"big"][:10], times)}
    assert sight_of(far).digest not in {sight_of(infos).digest, b""}


def test_looking_ahead_finds_the_same_and_is_used_once(folder):
    ahead = scanner()
    ahead.ahead([folder], 60)
    os.unlink(folder + b"/big")
    for path in (folder, folder + b"/a", folder + b"/a/b", folder + b"/c"):
        assert set(ahead.scan(path)) == set(scanner().scan(path)) | ({b"big"} if path == folder else set())
    assert b"big" not in ahead.scan(folder)


def test_looking_ahead_has_an_end_and_no_problems(folder, monkeypatch):
    ahead = scanner()
    ahead.ahead([folder], 0)
    ahead.ahead([folder + b"/none", folder + b"/big"], 60)
    os.unlink(folder + b"/big")
    assert b"big" not in ahead.scan(folder)
    assert ahead.problems == []
    monkeypatch.setattr(scan, "MOST_AHEAD", 1)
    ahead.ahead([folder], 60)
    os.mkdir(folder + b"/c/late")
    assert b"late" in ahead.scan(folder + b"/c")


def test_looking_ahead_stays_on_its_file_system():
    ahead = scanner()
    ahead.ahead([b"/"], 0.5)
    assert not any(path.startswith((b"/proc/", b"/sys/")) for path in ahead._ahead)
