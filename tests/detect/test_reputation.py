"""iprep: files, scores, and the verdicts that Suricata 7.0.10 gave for the same files."""

import ipaddress

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

from sentinel.detect.reputation import UNKNOWN, reputation_of
from sentinel.errors import InvalidInputError

CATEGORIES = "1,Bad,Known bad hosts\n2,Scan,Scanners\n# nothing\n"
SCORES = (
    "10.0.0.1,1,20\n10.0.0.2,2,0\n10.1.0.0/16,1,50\n10.1.2.0/24,1,60\n10.1.0.1,2,7\n2001:db8::/32,2,127\n"
)


@pytest.fixture
def files(tmp_path):
    (tmp_path / "categories.txt").write_text(CATEGORIES)
    (tmp_path / "scores.list").write_text(SCORES)
    return {
        "reputation-categories-file": str(tmp_path / "categories.txt"),
        "default-reputation-path": str(tmp_path),
        "reputation-files.0": "scores.list",
    }


def packed(text):
    return ipaddress.ip_address(text).packed


@pytest.mark.parametrize(
    ("address", "bad", "scan"),
    [
        ("10.0.0.1", 20, 0),
        ("10.0.0.2", 0, 0),
        ("10.0.0.3", UNKNOWN, UNKNOWN),
        ("10.1.7.7", 50, UNKNOWN),
        ("10.1.2.7", 60, UNKNOWN),
        ("10.1.0.1", 0, 7),
        ("2001:db8::5", UNKNOWN, 127),
    ],
)
def test_scores(files, address, bad, scan):
    reputation = reputation_of(files)
    assert reputation.score("Bad", packed(address)) == bad
    assert reputation.score("Scan", packed(address)) == scan


def test_no_files_know_nothing():
    reputation = reputation_of({})
    assert reputation.score("Bad", packed("10.0.0.1")) == UNKNOWN
    assert len(reputation) == 0


def test_bad_categories_are_located(files, tmp_path):
    (tmp_path / "categories.txt").write_text("1,Bad,x\n60,Far,x\nNo,Number,x\n")
    with pytest.raises(InvalidInputError) as refused:
        reputation_of(files)
    assert [problem.line for problem in refused.value.problems] == [2, 3]


def test_bad_scores_are_named_and_passed_over(files, tmp_path, caplog):
    (tmp_path / "scores.list").write_text(
        "10.0.0.1,1,20\n10.0.0.2,9,1\nshop,1,1\n10.0.0.3,1,128\n10.0.0.4,1\n"
    )
    assert len(reputation_of(files)) == 1
    assert [record.getMessage().split(":")[1] for record in caplog.records] == ["2", "3", "4", "5"]


def test_a_list_that_is_not_there(files, tmp_path):
    (tmp_path / "scores.list").unlink()
    with pytest.raises(InvalidInputError, match=r"scores\.list: No such file"):
        reputation_of(files)


EXPECTED = {  # from Suricata, rules as below, in the order of VALUES
    ("10.0.0.1", "10.0.0.2"): {
        "any": ["Bad,<,20", "Bad,=,20", "Bad,>=,20", "Bad,isset", "Scan,<,20", "Scan,isset"],
        "src": ["Bad,=,20", "Bad,>=,20", "Bad,isset", "Scan,<,20", "Scan,isset", "Scan,isnotset"],
        "dst": ["Bad,<,20", "Bad,isset", "Bad,isnotset", "Scan,<,20", "Scan,isset", "Scan,isnotset"],
        "both": ["Bad,isset", "Scan,<,20", "Scan,isset"],
    },
    ("10.1.0.1", "10.1.0.2"): {
        "any": ["Bad,<,20", "Bad,>=,20", "Bad,>,20", "Bad,isset", "Scan,<,20", "Scan,isset", "Scan,isnotset"],
        "src": ["Bad,<,20", "Bad,isset", "Bad,isnotset", "Scan,<,20", "Scan,isset"],
        "dst": ["Bad,>=,20", "Bad,>,20", "Bad,isset", "Scan,isnotset"],
        "both": ["Bad,isset"],
    },
}
VALUES = [
    f"{name},{value}"
    for name in ("Bad", "Scan")
    for value in ("<,20", "=,20", ">=,20", ">,20", "isset", "isnotset")
]


@pytest.mark.parametrize("side", ["any", "src", "dst", "both"])
@pytest.mark.parametrize("ends", EXPECTED)
def test_verdicts(replay, files, ends, side):
    rules = "".join(
        f'alert ip any any -> any any (msg:"{value}"; iprep:{side},{value}; sid:{number};)\n'
        for number, value in enumerate(VALUES, 1)
    )
    source, target = ends
    frame = (
        Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / IP(src=source, dst=target) / UDP() / b"x"
    )
    found = replay(rules, [frame], **{key.replace(".", "__"): value for key, value in files.items()})
    assert [eve["alert"]["signature"] for eve in found] == EXPECTED[ends][side]


def test_a_rule_with_an_unknown_category_is_refused_by_name(files, tmp_path):
    from sentinel.detect.build import build
    from sentinel.detect.settings import STOCK_VARIABLES

    (tmp_path / "a.rules").write_text(
        "alert ip any any -> any any (iprep:src,Bad,>,1; sid:1;)\nalert ip any any -> any any (iprep:src,Nope,>,1; sid:2;)\n"
    )
    built = build([tmp_path / "a.rules"], STOCK_VARIABLES, files)
    assert [rule.sid for rule in built.engine.rules] == [1]
    assert [(f.line, f.rule, f.reason) for f in built.loaded.failed] == [
        (2, "2", "iprep: no category Nope in the reputation categories")
    ]
