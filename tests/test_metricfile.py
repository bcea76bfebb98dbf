"""Mapped values: byte for byte what prometheus_client writes, whatever its reader is given, and mended when damaged."""

import threading

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.mmap_dict import MmapedDict, mmap_key
from prometheus_client.multiprocess import MultiProcessCollector

from sentinel.metricfile import FIRST_BYTES, Series, ValueFile, Values

HITS = Series("counter", "sentinel_hits", "sentinel_hits_total", (("plane", "logs"), ("rule", "ü")), "Hits.")


def read(directory):
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(directory))
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in registry.collect()
        for sample in family.samples
    }


@pytest.mark.parametrize("length", range(1, 10))
def test_files_are_those_of_prometheus_client(tmp_path, length):
    names = ["rule", "plane"]
    theirs = MmapedDict(str(tmp_path / "theirs"))
    key = mmap_key("sentinel_hits", "sentinel_hits_total", names, ["x" * length, "logs"], "Hits.")
    theirs.write_value(key, 2.5, 7.0)
    theirs.close()
    labels = (("plane", "logs"), ("rule", "x" * length))
    ours = ValueFile(tmp_path / "ours")
    ours.write(Series("counter", "sentinel_hits", "sentinel_hits_total", labels, "Hits.").key, 2.5, 7.0)
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()
    assert ValueFile(tmp_path / "theirs").read(key) == 2.5


def test_values_go_on_after_a_restart_and_are_summed_over_processes(tmp_path):
    for process in ("logs", "logs", "network"):
        values = Values()
        values.share(tmp_path, process)
        values.add(HITS, 2)
    assert read(tmp_path) == {("sentinel_hits_total", ("plane", "logs"), ("rule", "ü")): 6.0}


def test_a_file_grows(tmp_path):
    values = Values()
    values.share(tmp_path, "logs")
    series = [
        Series("counter", "sentinel_x", "sentinel_x_total", (("n", str(n)),), "X.") for n in range(1000)
    ]
    for number, one in enumerate(series):
        values.add(one, number)
    assert (tmp_path / "counter_logs.db").stat().st_size > FIRST_BYTES
    found = read(tmp_path)
    assert [found["sentinel_x_total", ("n", str(n))] for n in range(1000)] == list(range(1000))


@pytest.mark.parametrize(
    "damage",
    [b"\xff\xff\xff\x7f", b"\x80\0\0\0\0\0\0\0\xff\xff\0\0", b"\x80\0\0\0\0\0\0\0\xff\xff\xff\xff", b"\x09\0\0\0"],
    ids=["more than there is", "long key", "negative length", "torn entry"],
)  # fmt: skip
def test_a_damaged_file_is_begun_anew(tmp_path, damage):
    path = tmp_path / "counter_logs.db"
    ValueFile(path).write(HITS.key, 5, 0)
    with path.open("r+b") as file:
        file.write(damage)
    values = Values()
    values.share(tmp_path, "logs")
    values.add(HITS, 1)
    assert list(read(tmp_path).values()) == [1.0]


def test_threads_lose_nothing(tmp_path):
    values = Values()
    values.share(tmp_path, "logs")
    threads = [threading.Thread(target=lambda: [values.add(HITS, 1) for _ in range(2000)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(read(tmp_path).values()) == [8000.0]
