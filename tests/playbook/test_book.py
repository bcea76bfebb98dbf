"""Playbook files: what may be written, and how every mistake is told with its line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.errors import InvalidInputError, UsageError
from sentinel.playbook import book

GOOD = """\
name: probe
title: A title
when: Always
parameters:
  word: {about: a word, default: "{host}"}
steps:
  - step: one
    title: Say {word}
    run: ["echo {word}"]
  - step: two
    title: Ask
    confirm: "Shall {word} be said again?"
"""


def load(tmp_path, text):
    path = tmp_path / "probe.yml"
    path.write_text(text)
    return book.load(path)


def test_a_good_one(tmp_path) -> None:
    assert load(tmp_path, GOOD).step_names() == ["one", "two"]


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("name: probe", "name: prob", 1, "file name"),
        ("{host}", "{hots}", 5, "{hots} is not a fact"),
        ("echo {word}", "echo {wrod}", 9, "{wrod} is neither a parameter nor a fact"),
        ("title: Say {word}", "title: Say {wrod}", 8, "{wrod} is neither"),
        ("echo {word}", "echo 'open", 9, "not a command line"),
        ('["echo {word}"]', '[" "]', 9, "an empty command"),
        ("step: two", "step: one", 10, "there are two steps"),
        ("echo {word}", "sentinel playbook run x --approve y", 9, "cannot approve"),
        ("echo {word}", "sentinel playbook run x --approve=y", 9, "cannot approve"),
        ('confirm: "Shall {word} be said again?"', "confirm: true", 12, "valid string"),
        ('confirm: "Shall {word} be said again?"', "approved: true", 12, "unknown key"),
        ('confirm: "Shall {word} be said again?"', "note: only", 10, "needs one of"),
        ('run: ["echo {word}"]', "run: echo", 9, "valid list"),
        ('run: ["echo {word}"]', "run: [[echo]]", 9, "valid string"),
        ('run: ["echo {word}"]', "run: ['true']\n    timeout: never", 10, "not a duration"),
        ("when: Always\n", "", 1, "missing key"),
    ],
)
def test_mistakes_are_told_with_their_line(tmp_path, old, new, line, message) -> None:
    assert old in GOOD
    with pytest.raises(InvalidInputError) as caught:
        load(tmp_path, GOOD.replace(old, new))
    problem = caught.value.problems[0]
    assert (problem.line, message in problem.message) == (line, True), str(problem)


def test_an_own_playbook_hides_a_shipped_one(tmp_path) -> None:
    assert book.find("restore-sqlite").parent == book.SHIPPED[1]
    (tmp_path / "restore-sqlite.yml").write_text("")
    assert book.find("restore-sqlite", [tmp_path]).parent == tmp_path
    with pytest.raises(UsageError, match=r"known are: .*restore-files"):
        book.find("nonsense")


@pytest.mark.parametrize("path", sorted(book.SHIPPED[1].glob("*.yml")), ids=lambda path: path.stem)
def test_shipped_ones_load_and_ask_before_they_replace(path) -> None:
    playbook = book.load(path)
    for step in playbook.steps:
        lines = " ".join(command for _, command in step.commands())
        if ("--in-place" in lines or "rename" in lines) and step.only != "sandbox":
            assert step.confirm, f"{step.step} changes live data without asking"


@given(st.text())
def test_a_value_stays_one_argument(value) -> None:
    assert book.argv("echo {word} --x={word}", {"word": value}) == ["echo", value, f"--x={value}"]
