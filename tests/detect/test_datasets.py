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
    for name, kind in (("strings", "string"), ("hashes", "md5"), ("addresses", "ip")):
        sets.load(name, kind, tmp_path / name)
    assert sets.match(InSet("isset", "strings", "string"), b"evil.example")
    assert sets.match(InSet("isset", "hashes", "md5"), b"evil")
    assert sets.match(InSet("datarep", "hashes", "md5", ">", 50), b"evil")
    assert not sets.match(InSet("datarep", "hashes", "md5", "<", 50), b"evil")
    assert all(sets.match(InSet("isset", "addresses", "ip"), bytes([10, 0, 0, n])) for n in (1, 2))
    assert not sets.match(InSet("isset", "addresses", "ip"), bytes([10, 0, 0, 3]))


def test_bad_member_is_located(tmp_path):
    (tmp_path / "bad").write_text("AAAA\n***\n")
    with pytest.raises(ValueError, match="bad:2"):
        DataSets().load("bad", "string", tmp_path / "bad")


def test_rules_share_sets(exchange, fired, tmp_path):
    (tmp_path / "hosts").write_text(base64.b64encode(b"shop.example").decode())
    rules = (
        f"alert http any any -> any any (http.host; dataset:isset,hosts,type string,load {tmp_path}/hosts; sid:1;)\n"
        "alert http any any -> any any (http.uri; dataset:set,uris,type string; sid:2;)\n"
    )
    assert sorted(fired(rules, exchange("/a") + exchange("/a") + exchange("/b"))) == [1, 1, 1, 2, 2]


def test_saved_sets_are_there_after_a_restart(replay, exchange, tmp_path):
    rule = (
        "alert http any any -> any any (http.uri; dataset:set,uris,type string,state seen/uris.lst; sid:1;)"
    )
    data = {"default_data_dir": str(tmp_path / "data")}
    assert len(replay(rule, exchange("/a"), **data)) == 1
    assert (tmp_path / "data/seen/uris.lst").read_text() == base64.b64encode(b"/a").decode() + "\n"
    assert [eve["http"]["url"] for eve in replay(rule, exchange("/a") + exchange("/b"), **data)] == ["/b"]


@pytest.mark.parametrize(
    ("kind", "member"), [("string", b"a,b"), ("md5", bytes(16)), ("sha256", bytes(32)), ("ip", b"\x0a\0\0\1")]
)
def test_what_is_saved_is_what_is_read(tmp_path, kind, member):
    sets = DataSets(tmp_path)
    sets.load("s", kind, None, "s.lst")
    sets.match(InSet("set", "s", kind), member)
    sets.save()
    again = DataSets(tmp_path)
    again.load("s", kind, None, "s.lst")
    assert again.match(InSet("isset", "s", kind), member)


def test_a_set_is_written_only_when_it_changed(tmp_path):
    sets = DataSets(tmp_path)
    sets.load("s", "string", None, "s.lst")
    sets.save()
    (tmp_path / "s.lst").unlink()
    sets.save()
    assert not (tmp_path / "s.lst").exists()
    sets.match(InSet("set", "s", "string"), b"x")
    sets.save()
    assert (tmp_path / "s.lst").exists()


@pytest.mark.parametrize("place", ["/etc/cron.d/x", "../x", "a/../../x"])
@pytest.mark.parametrize("word", ["save", "state"])
def test_a_rule_cannot_choose_where_to_write(rule, word, place):
    with pytest.raises(ValueError, match="neither an absolute path"):
        rule(f"http.uri; dataset:set,s,type string,{word} {place};")


def test_a_reload_reads_lists_anew_and_keeps_what_was_learned(tmp_path):
    (tmp_path / "list").write_text("YQ==\n")
    before = DataSets(tmp_path)
    before.load("listed", "string", tmp_path / "list")
    before.load("learned", "string", None)
    before.match(InSet("set", "learned", "string"), b"x")
    (tmp_path / "list").write_text("Yg==\n")
    after = DataSets(tmp_path, before)
    after.load("listed", "string", tmp_path / "list")
    after.load("learned", "string", None)
    assert after.match(InSet("isset", "learned", "string"), b"x")
    assert after.match(InSet("isset", "listed", "string"), b"b")
    assert not after.match(InSet("isset", "listed", "string"), b"a")
