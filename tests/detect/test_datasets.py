import base64
import hashlib

import pytest

from sentinel.detect.datasets import DataSets
from sentinel.detect.rule import InSet


def test_commands():
    sets = DataSets()
    assert not sets.match(InSet("isset", "s", "string"), b"x")
    assert sets.match(InSet("set", "s", "string"), b"x")
    assert not sets.match(InSet("set", "s", "string"), b"x")
    assert sets.match(InSet("isset", "s", "string"), b"x")
    assert sets.match(InSet("unset", "s", "string"), b"x")
    assert sets.match(InSet("isnotset", "s", "string"), b"x")


def test_files_of_each_type(tmp_path):
    (tmp_path / "strings").write_text(base64.b64encode(b"evil.example").decode() + "\n")
    (tmp_path / "hashes").write_text(hashlib.md5(b"evil").hexdigest() + ",70\n")
    (tmp_path / "addresses").write_text("10.0.0.1\n::ffff:10.0.0.2\nfd00::1\n")
    sets = DataSets()
    sets.load_all(
        [
            (name, kind, str(tmp_path / name))
            for name, kind in (("strings", "string"), ("hashes", "md5"), ("addresses", "ip"))
        ]
    )
    assert sets.match(InSet("isset", "strings", "string"), b"evil.example")
    assert sets.match(InSet("isset", "hashes", "md5"), b"evil")
    assert sets.match(InSet("datarep", "hashes", "md5", ">", 50), b"evil")
    assert not sets.match(InSet("datarep", "hashes", "md5", "<", 50), b"evil")
    assert all(sets.match(InSet("isset", "addresses", "ip"), bytes([10, 0, 0, n])) for n in (1, 2))
    assert not sets.match(InSet("isset", "addresses", "ip"), bytes([10, 0, 0, 3]))


def test_bad_member_is_located(tmp_path):
    (tmp_path / "bad").write_text("AAAA\n***\n")
    with pytest.raises(ValueError, match="bad:2"):
        DataSets().load("bad", "string", str(tmp_path / "bad"))


def test_rules_share_sets(exchange, fired, tmp_path):
    (tmp_path / "hosts").write_text(base64.b64encode(b"shop.example").decode())
    rules = (
        f"alert http any any -> any any (http.host; dataset:isset,hosts,type string,load {tmp_path}/hosts; sid:1;)\n"
        "alert http any any -> any any (http.uri; dataset:set,uris,type string; sid:2;)\n"
    )
    assert sorted(fired(rules, exchange("/a") + exchange("/a") + exchange("/b"))) == [1, 1, 1, 2, 2]
