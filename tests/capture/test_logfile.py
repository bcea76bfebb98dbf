import bz2
import gzip
import lzma

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.capture.logfile import LONGEST_LINE, REPLAY_BYTES, LineCutter, read_file
from sentinel.errors import SentinelError

TEXT = b"".join(b"line %d with some text\r\n" % i for i in range(100_000))


def rows(path):
    return [row for batch in read_file(path) for row in batch.rows()]


@pytest.mark.parametrize(
    "pack", [bytes, gzip.compress, bz2.compress, lambda data: lzma.compress(data, preset=0)]
)
def test_plain_and_compressed(tmp_path, pack):
    path = tmp_path / "a.log"
    path.write_bytes(pack(TEXT))

    batches = list(read_file(path))

    assert b"".join(batch.data for batch in batches) == TEXT
    assert [batch.first for batch in batches[:2]] == [1, 1 + len(batches[0])]
    assert len(batches) == len(TEXT) // REPLAY_BYTES + 1


def test_the_last_line_may_lack_its_end(tmp_path):
    path = tmp_path / "a.log"
    path.write_bytes(b"one\ntwo")

    assert rows(path) == [b"one\n", b"two"]


@pytest.mark.parametrize(
    ("encoding", "mark"), [("utf-8", b""), ("utf-8-sig", b""), ("utf-16", b""), ("utf-32", b"")]
)
def test_encodings_with_a_mark(tmp_path, encoding, mark):
    path = tmp_path / "a.log"
    path.write_bytes("登录失败\nzwei\n".encode(encoding))

    assert rows(path) == ["登录失败\n".encode(), b"zwei\n"]


def test_other_bytes_are_left_alone(tmp_path):
    path = tmp_path / "a.log"
    path.write_bytes("登录失败\n".encode("gb18030"))

    assert rows(path) == ["登录失败\n".encode("gb18030")]


def test_progress_is_told_in_stored_bytes(tmp_path):
    path = tmp_path / "a.log.gz"
    path.write_bytes(gzip.compress(TEXT))
    told = []

    list(read_file(path, progress=told.append))

    assert told[-1] == path.stat().st_size


def test_a_cut_archive_gives_what_it_holds_and_then_says_so(tmp_path):
    path = tmp_path / "a.log.gz"
    path.write_bytes(gzip.compress(TEXT)[:-5000])
    got = []

    with pytest.raises(SentinelError, match=r"a\.log\.gz"):
        for batch in read_file(path):
            got += batch.rows()

    assert got[:2] == TEXT.splitlines(keepends=True)[:2]


def test_a_missing_file(tmp_path):
    with pytest.raises(SentinelError, match="No such file"):
        list(read_file(tmp_path / "none"))


def test_long_lines_are_cut_and_counted(tmp_path, monkeypatch):
    counted = []
    monkeypatch.setattr("sentinel.metrics.Counter.inc", lambda _self, amount=1, **_: counted.append(amount))
    path = tmp_path / "a.log"
    path.write_bytes(b"a\n" + b"x" * (3 * REPLAY_BYTES) + b"\nb\n" + b"y" * (LONGEST_LINE + 5) + b"\nc\n")

    assert [len(row) for row in rows(path)] == [2, LONGEST_LINE, 2, LONGEST_LINE, 2]
    assert sum(counted) == 2


@given(st.lists(st.binary(max_size=30), max_size=20))
def test_however_the_bytes_arrive_the_lines_are_the_same(chunks):
    cutter = LineCutter()
    got = []
    for chunk in chunks:
        batch = cutter.cut_lines(chunk, "x")
        got += batch.rows() if batch else []
    last = cutter.finish("x")
    got += last.rows() if last else []

    assert b"".join(got) == b"".join(chunks)
    assert all(b"\n" not in row[:-1] for row in got)
    assert cutter.number == len(got) + 1
