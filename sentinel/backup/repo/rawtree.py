"""Trees as text: the nodes of a parent snapshot's folder without decoding them.

An unchanged file's node would come out byte for byte as it went in, so it is enough to know what its text must begin
with; and to check a snapshot it is enough to know what a tree refers to. `split_tree` cuts a tree where nodes meet; that works on restic's own encoding only (no JSON string can hold an
unescaped quote, so the cutting marks appear nowhere else), anything else is decoded and encoded anew.
"""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

from sentinel.backup.repo.gojson import unquote
from sentinel.backup.repo.tree import decode_tree, encode_node

_BEGIN = '{"nodes":['
_END = "]}\n"
_BETWEEN = '},{"name":"'
_FIRST = '{"name":"'
_AFTER_NAME = '","'
_NODE = re.compile(  # of plain names, without extended attributes or oddities in a link's target
    rb'(\{"name":"([^"\\/\x00-\x1f]+)","type":"([a-z]+)",[^{}\[\]\\]*"content":(null|\[[^]{}]*\])'
    rb'(?:,"subtree":"([0-9a-f]{64})")?\}(?:,|\]\}\n\Z))'
)
_TYPE = 'type":"'  # follows the name of a node; `value":"` follows the name of an extended attribute


def split_tree(document: bytes) -> dict[bytes, str]:
    """Name -> the node's text from `"type"` to its closing brace, in the order of the tree."""
    text = document.decode("utf-8", "surrogatepass")
    if text == _BEGIN + _END:
        return {}
    if not (text.startswith(_BEGIN + _FIRST) and text.endswith("}" + _END)):
        return _decode_all(document)
    nodes: dict[bytes, str] = {}
    name = ""
    parts: list[str] = []
    for piece in text[len(_BEGIN + _FIRST) : -len("}" + _END)].split(_BETWEEN):
        found, _, rest = piece.partition(_AFTER_NAME)
        if rest.startswith(_TYPE):
            if parts:
                nodes[_plain(name)] = _BETWEEN.join(parts) + "}"
            name, parts = found, ['"' + rest]
        elif parts:
            parts.append(piece)
        else:
            return _decode_all(document)
    nodes[_plain(name)] = _BETWEEN.join(parts) + "}"
    return nodes


class References(NamedTuple):
    """What a tree needs: ids of data blobs and of trees."""

    data: list[bytes]
    trees: list[bytes]


def references_of(document: bytes) -> References | None:
    """None when there is anything in the tree that a decoder had better look at, or refuse."""
    found = _NODE.findall(document)
    if not found or not document.startswith(_BEGIN.encode()):
        return None
    wholes, names, kinds, contents, subtrees = zip(*found, strict=True)
    if sum(map(len, wholes)) + len(_BEGIN) != len(document):
        return None
    if len(set(names)) != len(names) or not {b".", b".."}.isdisjoint(names):
        return None
    shapes = set(zip(kinds, [content != b"null" for content in contents], map(bool, subtrees), strict=True))
    if any(
        (has_content and kind != b"file") or has_tree != (kind == b"dir")
        for kind, has_content, has_tree in shapes
    ):
        return None
    blobs = b",".join(contents).translate(None, b'[]"').split(b",")
    data = [blob for blob in blobs if len(blob) == 64]
    if len(data) + blobs.count(b"null") + blobs.count(b"") != len(blobs):
        return None
    try:
        return References(_binary(data), _binary([subtree for subtree in subtrees if subtree]))
    except ValueError:
        return None


def _binary(hexes: list[bytes]) -> list[bytes]:
    joined = bytes.fromhex(b"".join(hexes).decode())
    return [joined[start : start + 32] for start in range(0, len(joined), 32)]


def node_text(name_json: str, rest: str) -> str:
    """The node again, with its name as a JSON string."""
    return f'{{"name":{name_json},{rest}'


def decode_rest(rest: str) -> dict[str, Any]:
    """As JSON, without the name; ValueError when it is none."""
    node: dict[str, Any] = json.loads("{" + rest)
    return node


def content_of(rest: str) -> list[bytes]:
    """Blob ids of a file's text; ValueError when they cannot be read."""
    _, found, tail = rest.rpartition('"content":[')
    if not found:
        raise ValueError("a file without content")
    ids = tail[: tail.index("]")]
    if len(ids) == 66:  # one blob, as nearly all files have
        return [bytes.fromhex(ids[1:65])]
    return [bytes.fromhex(each[1:-1]) for each in ids.split(",")] if ids else []


def subtree_of(rest: str) -> bytes | None:
    _, found, tail = rest.rpartition('"subtree":"')
    if not found:
        return None
    try:
        return bytes.fromhex(tail[:64])
    except ValueError:
        return None


def _plain(name: str) -> bytes:
    return unquote(json.loads(f'"{name}"')) if "\\" in name else name.encode("utf-8", "surrogatepass")


def _decode_all(document: bytes) -> dict[bytes, str]:
    """Somebody else's spelling of the same JSON."""
    nodes = {}
    for node in decode_tree(document):
        encoded = encode_node(node)
        nodes[node.name] = encoded[encoded.index('"type":"') :]
    return nodes
