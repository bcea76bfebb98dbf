import hashlib

import pytest

from sentinel.detect.values import file_satisfied
from sentinel.model import File, Transaction

BODY = b"%PDF-1.4 something"


@pytest.fixture
def upload():
    tx = Transaction("smtp", 0)
    tx.files.append(File(b"Invoice.PDF", 0, bytearray(BODY), len(BODY), closed=True))
    return tx


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('fileext:"pdf";', True),
        ('fileext:!"pdf";', False),
        ('filename:"invoice";', True),
        ('filemagic:"pdf document, version 1.4";', True),
        ("filesize:>10;", True),
        ("filesize:<10;", False),
        ("filemd5:list;", True),
        ("filesha1:!list;", True),
        ('filestore; fileext:"exe";', False),
    ],
)
def test_files(rule, upload, tmp_path, text, expected):
    (tmp_path / "list").write_text(hashlib.md5(BODY).hexdigest() + "  invoice.pdf\n")
    part = rule(text, str(tmp_path)).parts[0][0]
    assert file_satisfied(upload, 0, tuple(match.args for match in part.matches)) is expected


def test_hash_waits_for_the_whole_file(rule, upload, tmp_path):
    (tmp_path / "list").write_text(hashlib.md5(BODY).hexdigest())
    part = rule("filemd5:list;", str(tmp_path)).parts[0][0]
    upload.files[0].closed = False
    assert not file_satisfied(upload, 0, tuple(match.args for match in part.matches))


def test_missing_list_refuses_the_rule(rule, tmp_path):
    with pytest.raises(ValueError, match="No such file"):
        rule("filemd5:absent;", str(tmp_path))
