"""Cutting trees as text finds the same nodes as decoding them, whatever the names hold."""

import importlib.util
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.backup.repo.gojson import name_string
from sentinel.backup.repo.rawtree import (
    content_of,
    decode_rest,
    node_text,
    references_of,
    split_tree,
    subtree_of,
)
from sentinel.backup.repo.tree import Node, decode_tree, encode_node, encode_tree
from sentinel.errors import RepositoryError

_spec = importlib.util.spec_from_file_location("test_tree", Path(__file__).with_name("test_tree.py"))
_trees = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_trees)
HOSTILE = st.sampled_from(
    [b'},{"name":"', b'","type":"', b'"type":"', b'a","type":"file"}', b'"content":[', b'"]}\n']
)
NODES = st.builds(
    lambda node, name, target: (
        setattr(node, "name", name or node.name) or setattr(node, "linktarget", target) or node
    ),
    _trees.NODES,
    st.one_of(st.just(b""), HOSTILE),
    st.one_of(st.just(b""), HOSTILE),
)


@given(st.lists(NODES, max_size=5, unique_by=lambda node: node.name))
def test_cutting_agrees_with_decoding(nodes):
    nodes.sort(key=lambda node: node.name)
    document = encode_tree([encode_node(node) for node in nodes])
    texts = split_tree(document)
    assert list(texts) == [node.name for node in nodes]
    assert encode_tree([node_text(name_string(name), rest) for name, rest in texts.items()]) == document
    for node in nodes:
        rest = texts[node.name]
        assert decode_rest(rest)["type"] == node.type
        assert subtree_of(rest) == node.subtree or (node.subtree is None and not node.content)
        if node.content is not None and node.subtree is None:
            assert content_of(rest) == node.content


def test_another_spelling_is_read_too():
    spaced = json.dumps(json.loads(_trees.RESTIC), indent=1).encode()
    texts = split_tree(spaced)
    assert texts == split_tree(_trees.RESTIC)
    assert list(texts) == [node.name for node in decode_tree(spaced)]


@pytest.mark.parametrize("document", [b"", b'{"nodes":[5]}', b'{"nodes":[{"name":"a","size":1}]}\n', b"[]"])
def test_what_is_no_tree_is_refused(document):
    with pytest.raises(RepositoryError):
        split_tree(document)


@given(st.lists(NODES, max_size=5, unique_by=lambda node: node.name))
def test_references_are_those_of_the_nodes(nodes):
    references = references_of(encode_tree([encode_node(node) for node in nodes]))
    if references is None:
        return
    assert [blob for node in nodes for blob in node.content or ()] == references.data
    assert [node.subtree for node in nodes if node.subtree] == references.trees
    assert all((node.type == "dir") == (node.subtree is not None) for node in nodes)


def test_plain_trees_need_no_decoding():
    nodes = [
        Node(b"a", "file", content=[b"1" * 32, b"2" * 32]),
        Node(b"b", "file", content=[]),
        Node(b"c", "dir", subtree=b"3" * 32),
        Node(b"d", "symlink", linktarget=b"a"),
    ]
    document = encode_tree([encode_node(node) for node in nodes])
    assert references_of(document) == ([b"1" * 32, b"2" * 32], [b"3" * 32])
    assert references_of(_trees.RESTIC) is None  # a name with an escape


@pytest.mark.parametrize(
    "nodes",
    [
        [Node(b"a", "dir")],
        [Node(b"a", "file", subtree=b"1" * 32)],
        [Node(b"a", "fifo", content=[b"1" * 32])],
        [Node(b"a", "file", content=[b"short"])],
        [Node(b"..", "file", content=[])],
        [Node(b"a/b", "file", content=[])],
        [Node(b"a", "file", content=[]), Node(b"a", "file", content=[])],
    ],
)
def test_oddities_are_for_the_decoder(nodes):
    assert references_of(encode_tree([encode_node(node) for node in nodes])) is None


def test_torn_trees_are_for_the_decoder():
    document = encode_tree(
        [encode_node(Node(b"a", "file", content=[])), encode_node(Node(b"b", "file", content=[]))]
    )
    for torn in (document[:-1], document[1:], document.replace(b"},{", b"}{"), document + b" ", b""):
        assert references_of(torn) is None
