"""DER reading."""

import pytest

from sentinel.protocol.apps import der


def test_nodes_and_oids():
    node = der.read(bytes.fromhex("30080603550403020105"))
    assert node.tag == 0x30
    assert [child.tag for child in node.list()] == [6, 2]
    assert der.oid(node.list()[0].content) == "2.5.4.3"
    assert node.list()[1].integer == 5


@pytest.mark.parametrize("data", [b"", b"\x30", b"\x30\x05a", b"\x30\x85\1\1\1\1\1", b"\x1f\x81\0"])
def test_lengths_that_do_not_fit(data):
    with pytest.raises(der.BadDerError):
        der.read(data)
