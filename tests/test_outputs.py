import json

import pytest

from sentinel import outputs
from sentinel.errors import SentinelError
from sentinel.model import Alert
from sentinel.outputs import encode


@pytest.fixture
def journal():
    opened = []

    def make(path, **options):
        opened.append(outputs.Journal(path, **options))
        return opened[-1]

    yield make
    for made in opened:
        made.close()


def alert(number=1):
    return Alert(timestamp=1_700_000_000_123_456_789 + number, source="network", rule_id=str(number), signature=f"rule {number}", signature_id=number,
                 src_ip="192.0.2.1", src_port=0, extra={"http": {"url": "/é"}})  # fmt: skip


def test_eve_fields():
    (line,) = encode([alert()], "shop-1").splitlines()
    eve = json.loads(line)
    assert eve["timestamp"] == "2023-11-14T22:13:20.123456+0000"
    assert eve["event_type"] == "alert"
    assert (eve["host"], eve["src_ip"], eve["src_port"]) == ("shop-1", "192.0.2.1", 0)
    assert eve["alert"]["rule_id"] == "1"
    assert eve["http"] == {"url": "/é"}
    assert "dest_ip" not in eve


def test_the_journal_grows_and_reports_its_length(tmp_path, journal):
    live = journal(tmp_path / "j" / "a.jsonl")
    first = live.append([alert(1)])
    second = live.append([alert(2), alert(3)])
    assert 0 < first < second == (tmp_path / "j" / "a.jsonl").stat().st_size
    assert live.append([]) == second
    assert len(live.path.read_bytes().splitlines()) == 3


def test_truncate_takes_back_what_was_not_checkpointed(tmp_path, journal):
    live = journal(tmp_path / "a.jsonl")
    kept = live.append([alert(1)])
    live.append([alert(2)])
    again = journal(tmp_path / "a.jsonl")
    again.truncate(kept)
    again.append([alert(3)])
    assert [json.loads(line)["alert"]["rule_id"] for line in again.path.read_bytes().splitlines()] == [
        "1",
        "3",
    ]


@pytest.mark.parametrize("torn", [b'{"times', b"x" * 200_000])
def test_a_torn_line_is_cut_when_opened(tmp_path, torn, journal):
    path = tmp_path / "a.jsonl"
    length = journal(path).append([alert()])
    with path.open("ab") as file:
        file.write(torn)
    assert journal(path).length() == length == path.stat().st_size


def test_rotation_keeps_one_old_file(tmp_path, monkeypatch, journal):
    monkeypatch.setattr(outputs, "ROTATE_BYTES", 100)
    live = journal(tmp_path / "a.jsonl")
    assert not live.rotate()
    live.append([alert()])
    assert live.rotate()
    live.append([alert(2)])
    assert len((tmp_path / "a.jsonl.1").read_bytes().splitlines()) == 1
    assert len((tmp_path / "a.jsonl").read_bytes().splitlines()) == 1


def test_a_place_that_cannot_hold_a_journal(tmp_path, journal):
    (tmp_path / "file").write_text("")
    with pytest.raises(SentinelError, match="cannot be opened"):
        journal(tmp_path / "file" / "a.jsonl")
