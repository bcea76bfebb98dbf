"""The chain breaks at the first record somebody touched."""

import json
import multiprocessing
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel.ledger import Ledger


def fill(directory, count):
    ledger = Ledger(directory, actor="test")
    for number in range(count):
        ledger.append("ban.add", f"198.51.100.{number}", reason="scan", number=number)
    return ledger


def test_chain_is_intact_and_readable(tmp_path):
    ledger = fill(tmp_path, 20)
    verdict = ledger.verify()
    assert (verdict.entries, verdict.bad_line) == (20, None)
    entries = list(ledger.entries())
    assert [e.sequence for e in entries] == list(range(1, 21))
    assert entries[7].subject == "198.51.100.7"
    assert entries[7].detail == {"reason": "scan", "number": 7}
    assert verdict.head == entries[-1].hash


def test_empty_ledger_is_intact(tmp_path):
    assert Ledger(tmp_path).verify().bad_line is None


def edit(lines, where, rng):
    record = json.loads(lines[where])
    field = rng.choice(["time", "actor", "action", "subject", "sequence", "hash", "previous"])
    record[field] = record[field] + 1 if isinstance(record[field], int) else "x" + record[field][1:]
    lines[where] = json.dumps(record)


def remove(lines, where, rng):
    del lines[where]


def swap(lines, where, rng):
    lines[where], lines[where + 1] = lines[where + 1], lines[where]


def repeat(lines, where, rng):
    lines.insert(where, lines[where])


def cut(lines, where, rng):
    """Whole records off the end: what is left is a valid chain."""
    del lines[where:]


@pytest.mark.parametrize("damage", [edit, remove, swap, repeat, cut])
def test_damage_is_found_at_its_line(tmp_path, damage):
    ledger = fill(tmp_path, 12)
    original = ledger.path.read_text().splitlines()
    rng = random.Random(5)
    for _ in range(50):
        lines = list(original)
        where = rng.randrange(0, 10)
        damage(lines, where, rng)
        ledger.path.write_text("".join(f"{line}\n" for line in lines))
        bad = ledger.verify().bad_line
        assert bad is not None
        assert where + 1 <= bad <= where + 2


@pytest.mark.parametrize("text", ["", "garbage\n", f"{12:020} {'0' * 64}\n"])
def test_a_damaged_note_of_the_head_is_named(tmp_path, text):
    ledger = fill(tmp_path, 12)
    ledger.head_path.write_text(text)
    verdict = ledger.verify()
    assert verdict.bad_line == 12
    assert "ledger.head" in verdict.reason


def test_killed_between_record_and_note_is_no_damage(tmp_path):
    ledger = fill(tmp_path, 1)
    before = ledger.head_path.read_text()
    ledger.append("ban.add", "198.51.100.9")
    ledger.head_path.write_text(before)
    assert ledger.verify().bad_line is None
    ledger.path.write_text(ledger.path.read_text().splitlines()[0] + "\n")
    ledger.head_path.unlink()
    assert ledger.verify().bad_line is None


@settings(max_examples=60)
@given(cut=st.integers(min_value=1, max_value=400))
def test_a_torn_record_is_named(tmp_path_factory, cut):
    ledger = fill(tmp_path_factory.mktemp("ledger"), 4)
    data = ledger.path.read_bytes()
    torn = data[:-cut]
    ledger.path.write_bytes(torn)
    verdict = ledger.verify()
    assert verdict.bad_line == torn.count(b"\n") + 1


def test_append_after_a_torn_write_goes_on_from_the_last_whole_record(tmp_path):
    ledger = fill(tmp_path, 3)
    with ledger.path.open("ab") as file:
        file.write(b'{"sequence": 4, "ti')
    ledger.append("service.start", "host")
    verdict = ledger.verify()
    assert (verdict.entries, verdict.bad_line) == (4, None)


def _append(directory):
    for _ in range(25):
        Ledger(directory).append("x", "y" * 100)


def test_processes_take_turns(tmp_path):
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_append, args=(tmp_path,)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    verdict = Ledger(tmp_path).verify()
    assert (verdict.entries, verdict.bad_line) == (50, None)


def test_records_longer_than_the_read_window(tmp_path):
    ledger = Ledger(tmp_path)
    ledger.append("x", "y" * 200_000)
    ledger.append("x", "z" * 70_000)
    ledger.append("x", "end")
    assert ledger.verify().entries == 3
    assert ledger.verify().bad_line is None
