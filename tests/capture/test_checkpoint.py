import json

import pytest

from sentinel.capture.checkpoint import Checkpoint
from sentinel.capture.position import Position
from sentinel.capture.settings import LogFile
from sentinel.capture.tail import Tail
from sentinel.model import Alert
from sentinel.outputs import Journal


@pytest.fixture
def journal(tmp_path):
    journal = Journal(tmp_path / "logs.jsonl")
    yield journal
    journal.close()


def alert(name):
    return Alert(0, "log", name, name)


def written(journal):
    return [json.loads(line)["alert"]["rule_id"] for line in journal.path.read_text().splitlines()]


def position(offset):
    return Position(1, 2, offset, offset // 10, "ab", 2)


def test_alerts_that_were_never_committed_are_cut_off(state, journal):
    checkpoint = Checkpoint(state, journal)
    checkpoint.commit("/a.log", position(100), [alert("one"), alert("two")])
    journal.append([alert("half a batch")])  # and then kill -9

    positions, _ = Checkpoint(state, journal).resume()

    assert written(journal) == ["one", "two"]
    assert Position.from_json(positions["/a.log"]) == position(100)


def test_a_batch_without_alerts_moves_the_position(state, journal):
    checkpoint = Checkpoint(state, journal)
    checkpoint.commit("/a.log", position(100), [])
    checkpoint.commit("/a.log", position(200), [])
    checkpoint.commit("journald", {"cursor": "x"}, [])

    positions, _ = Checkpoint(state, journal).resume()

    assert positions["/a.log"]["offset"] == 200
    assert positions["journald"] == {"cursor": "x"}


def test_a_journal_that_was_replaced_is_not_cut(state, journal, tmp_path):
    Checkpoint(state, journal).commit("/a.log", position(1), [])
    journal.path.rename(tmp_path / "old")
    other = Journal(journal.path)
    other.append([alert("of the new file")])

    Checkpoint(state, other).resume()

    assert written(other) == ["of the new file"]
    other.close()


def test_what_is_followed_is_stored_before_the_first_line(state, journal, tmp_path):
    log = tmp_path / "a.log"
    log.write_text("old\n")
    tail = Tail([LogFile(path=str(log)), LogFile(path=str(tmp_path / "*.late"))], {})
    Checkpoint(state, journal).begin(tail)
    tail.close()

    positions, begun = Checkpoint(state, journal).resume()

    assert positions[str(log)]["offset"] == 4
    assert begun == {str(log), str(tmp_path / "*.late")}


def test_forget(state, journal):
    checkpoint = Checkpoint(state, journal)
    checkpoint.commit("/a.log", position(1), [])
    checkpoint.commit("/b.log", position(1), [])

    checkpoint.forget(["/a.log"])

    assert list(checkpoint.resume()[0]) == ["/b.log"]


def test_a_note_belongs_to_no_line(state, journal):
    checkpoint = Checkpoint(state, journal)
    checkpoint.commit("/a.log", position(1), [])
    checkpoint.note([alert("quiet")])

    assert Checkpoint(state, journal).resume()[0]["/a.log"]["offset"] == 1
    assert written(journal) == ["quiet"]


def test_the_journal_is_followed_again_after_a_restart(state, journal, tmp_path):
    checkpoint = Checkpoint(state, journal)
    checkpoint.commit("journald", {"cursor": "x"}, [])
    positions, begun = checkpoint.resume()
    tail = Tail([LogFile(path="journald", format="journald-json")], positions, begun)
    try:
        checkpoint.begin(tail)
    finally:
        tail.close()
    assert checkpoint.resume()[0] == {"journald": {"cursor": "x"}}
