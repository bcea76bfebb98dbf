"""Trees: byte for byte what restic writes, whatever the file; hostile ones are refused."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.backup.repo.tree import Node, decode_tree, encode_node, encode_tree, go_mode
from sentinel.errors import RepositoryError

# What stock restic 0.14 wrote for a file, a fifo and a link.
RESTIC = (
    rb'{"nodes":[{"name":"b\\xff\\xe4\\n\\\"","type":"file","mode":420,"mtime":"2026-11-23T20:35:21.697297357Z",'
    rb'"atime":"2026-11-23T20:35:21.697297357Z","ctime":"2026-11-23T20:35:21.697297357Z","uid":0,"gid":0,'
    rb'"user":"root","group":"root","inode":2146925,"device_id":65024,"size":1,"links":1,'
    rb'"content":["2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"]},'
    rb'{"name":"f","type":"fifo","mode":33554852,"mtime":"2026-11-23T20:35:21.701297357Z",'
    rb'"atime":"2026-11-23T20:35:21.701297357Z","ctime":"2026-11-23T20:35:21.701297357Z","uid":0,"gid":0,'
    rb'"user":"root","group":"root","inode":2146927,"device_id":65024,"content":null},'
    rb'{"name":"l","type":"symlink","mode":134218239,"mtime":"2026-11-23T20:35:21.697297357Z",'
    rb'"atime":"2026-11-23T20:35:21.697297357Z","ctime":"2026-11-23T20:35:21.697297357Z","uid":0,"gid":0,'
    rb'"user":"root","group":"root","inode":2146926,"device_id":65024,"links":1,"linktarget":"a","content":null}]}'
    b"\n"
)
BLOBS = st.binary(min_size=32, max_size=32)
NAMES = st.binary(min_size=1, max_size=20).filter(
    lambda n: n not in {b".", b".."} and b"/" not in n and b"\0" not in n
)
NODES = st.builds(
    Node,
    name=NAMES,
    type=st.sampled_from(["file", "dir", "symlink", "fifo", "dev", "chardev"]),
    mode=st.integers(0, 2**32 - 1),
    mtime=st.integers(-(10**18), 10**19),
    atime=st.integers(-(10**18), 10**19),
    ctime=st.integers(0, 10**19),
    uid=st.integers(0, 2**32 - 1),
    gid=st.integers(0, 2**32 - 1),
    user=st.text(max_size=5),
    group=st.text(max_size=5),
    inode=st.integers(0, 2**64 - 1),
    device_id=st.integers(0, 2**64 - 1),
    size=st.integers(0, 2**63),
    links=st.integers(0, 10),
    linktarget=st.binary(max_size=20),
    xattrs=st.lists(st.tuples(st.text(min_size=1, max_size=8), st.binary(max_size=20)), max_size=3),
    device=st.integers(0, 2**64 - 1),
    content=st.one_of(st.none(), st.lists(BLOBS, max_size=3)),
    subtree=st.one_of(st.none(), BLOBS),
)


def test_byte_for_byte_as_restic():
    assert encode_tree([encode_node(node) for node in decode_tree(RESTIC)]) == RESTIC


@given(st.lists(NODES, max_size=4, unique_by=lambda node: node.name))
def test_any_node_survives(nodes):
    assert decode_tree(encode_tree([encode_node(node) for node in nodes])) == nodes


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "/etc", "..\\x2fetc", "a\\x00b", "\\x2e\\x2e"])
def test_names_that_lead_elsewhere_are_refused(name):
    document = json.dumps({"nodes": [{"name": name, "type": "file", "content": []}]}).encode()
    with pytest.raises(RepositoryError):
        decode_tree(document)


def test_a_name_twice_is_refused():
    node = encode_node(Node(b"a", "symlink", linktarget=b"/etc"))
    with pytest.raises(RepositoryError, match="twice"):
        decode_tree(encode_tree([node, encode_node(Node(b"a", "dir", subtree=bytes(32)))]))


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b"{}",
        b'{"nodes":5}',
        b'{"nodes":[5]}',
        b'{"nodes":[{}]}',
        b'{"nodes":[{"name":"a","type":"file","content":["xy"]}]}',
        b'{"nodes":[{"name":"a","type":"file","mtime":"never"}]}',
        b'{"nodes":[{"name":"a","type":"dir","subtree":"abcd"}]}',
        b'{"nodes":[{"name":"a","type":"file","extended_attributes":[{"name":"x","value":"%"}]}]}',
        b'{"nodes":[{"name":7,"type":"file"}]}',
    ],
)
def test_what_is_no_tree_is_refused(document):
    with pytest.raises(RepositoryError):
        decode_tree(document)


def test_empty_trees_of_both_spellings():
    assert decode_tree(b'{"nodes":null}') == decode_tree(b'{"nodes":[]}') == []


@given(st.integers(0, 0o7777))
def test_modes_survive(mode):
    assert Node(b"x", "file", mode=go_mode(mode, "file")).unix_mode() == mode
