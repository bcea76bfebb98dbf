"""MIME parameters, encoded words and nesting."""

from hypothesis import given
from hypothesis import strategies as st

from sentinel.model import Transaction
from sentinel.protocol.apps.mime import Mime, decode_words, parameters


def test_parameters():
    assert parameters(b'; filename="a b.txt"; size=3') == {b"filename": b"a b.txt", b"size": b"3"}
    assert parameters(b"; name*0=abc; name*1=.exe") == {b"name": b"abc.exe"}


def test_words():
    assert decode_words(b"=?utf-8?Q?a=20b?= and =?utf-8?B?Yw==?=") == b"a b and c"
    assert decode_words(b"=?utf-8?B?*?=") in {b"", b"=?utf-8?B?*?="}


@given(st.lists(st.binary(max_size=80) | st.sampled_from([b"", b"--a", b"--a--", b"Content-Type: multipart/x; boundary=a",
                                                         b"Content-Type: message/rfc822"]), max_size=60))  # fmt: skip
def test_any_lines(lines):
    transaction = Transaction("smtp", 0)
    mime = Mime(transaction, lambda _: None, lambda: None)
    for line in lines:
        mime.line(line)
    mime.finish()
    assert all(file.closed for file in transaction.files)
