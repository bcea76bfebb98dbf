"""Patterns match as restic's do."""

import pytest

from sentinel.backup.exclude import PathFilter

CASES = [
    ("*.tmp", "/srv/a.tmp", True),
    ("*.tmp", "/srv/a.tmp.old", False),
    ("*.tmp", "/srv/x.tmp/file", False),  # the folder itself matches, so nobody looks below it
    ("/srv/cache", "/srv/cache", True),
    ("/srv/cache", "/mnt/srv/cache", False),
    ("/srv/cache/", "/srv/cache", True),
    ("cache/img", "/srv/cache/img", True),
    ("/srv/*/log", "/srv/shop/log", True),
    ("/srv/*/log", "/srv/shop/deep/log", False),
    ("/srv/**/log", "/srv/shop/deep/log", True),
    ("/srv/**/log", "/srv/log", True),
    ("**/node_modules", "/a/b/node_modules", True),
    ("file?", "/file1", True),
    ("file?", "/file", False),
    ("file[0-3]", "/file2", True),
    ("file[!0-3]", "/file2", False),
    (r"a\*b", "/a*b", True),
    (r"a\*b", "/axb", False),
    ("a.b", "/aXb", False),
    ("größe", "/srv/größe", True),
    ("new\nline", "/new\nline", True),
    ("/", "/", True),
]


@pytest.mark.parametrize(("pattern", "path", "expected"), CASES)
def test_patterns(pattern, path, expected):
    assert PathFilter([pattern]).matches(path.encode()) is expected


def test_the_last_match_decides():
    chosen = PathFilter(["*.log", "!important.log", "/var/important.log"])
    assert chosen.matches(b"/a.log")
    assert not chosen.matches(b"/srv/important.log")
    assert chosen.matches(b"/var/important.log")


def test_empty_patterns_are_nothing():
    assert not PathFilter([" ", ""])
    assert PathFilter(["x"])
