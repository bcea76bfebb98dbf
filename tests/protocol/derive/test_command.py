"""What a shell drops is dropped, and only then is there a column."""

import pytest

from sentinel.protocol.derive.command import plain
from sentinel.trial import columns_of

LINE = '198.51.100.7 - - [02/Mar/2026:10:00:00 +0000] "GET {} HTTP/1.1" 200 5 "-" "x"'


@pytest.mark.parametrize(
    ("disguised", "told"),
    [
        (b"c''a\\t /e't'c", b"cat /etc"),
        (b"w^ho^ami", b"whoami"),
        (b"cat$IFS/etc/pas$@swd", b"cat /etc/passwd"),
        (b"cat${IFS}$9x", b"cat x"),
        (b"who``ami;l$()s", b"whoami;ls"),
        (b"price=$10", b"price=0"),
        (b"plain text", b"plain text"),
    ],
)
def test_plain(disguised, told):
    assert plain(disguised) == told


def test_a_column_only_where_something_changes():
    lines = [LINE.format(target) for target in ("/x?a=1", "/x?a=c%27%27at+x", "/x?a=w^hoami", "/x?a=b%20c")]
    column = columns_of(lines, "nginx-access").column("request.command")
    assert column.values() == [None, b"/x?a=cat x", b"/x?a=whoami", None]
    assert columns_of(lines[:1], "nginx-access").column("request.command") is None


def test_any_bytes():
    line = LINE.format("/\\x00\\xff?a=\\x22'\\x5C")
    assert columns_of([line, "garbage"], "nginx-access").column("request.command") is not None
