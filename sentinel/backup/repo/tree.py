"""Trees: the nodes of one folder as restic's JSON. restic doc/design.rst, "Trees and Data"; internal/restic/node.go.

`mode` is Go's os.FileMode (type bits at the top, setuid and sticky elsewhere than in Unix). Field order and escapes
are Go's, so that equal folders give equal tree ids, whoever wrote them. Names and link targets are bytes.
A name that could lead out of a folder is refused on reading: no tree, however hostile, names anything but a child.
"""

from __future__ import annotations

import base64
import binascii
import json
import stat
from dataclasses import dataclass, field
from typing import Any

from sentinel.backup.repo.gojson import name_string, parse_time, string, time_string, unquote
from sentinel.errors import RepositoryError

GO_TYPE_BITS = {
    "dir": 1 << 31,
    "symlink": 1 << 27,
    "dev": 1 << 26,
    "fifo": 1 << 25,
    "socket": 1 << 24,
    "chardev": 1 << 26 | 1 << 21,
    "file": 0,
}
UNIX_TYPES = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "dir",
    stat.S_IFLNK: "symlink",
    stat.S_IFBLK: "dev",
    stat.S_IFCHR: "chardev",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
}
_SPECIAL_BITS = ((stat.S_ISUID, 1 << 23), (stat.S_ISGID, 1 << 22), (stat.S_ISVTX, 1 << 20))


@dataclass(slots=True)
class Node:
    """One entry of a folder. Not frozen: a hundred thousand of them are made, and a frozen one costs three times."""

    name: bytes
    type: str
    mode: int = 0
    mtime: int = 0
    atime: int = 0
    ctime: int = 0
    uid: int = 0
    gid: int = 0
    user: str = ""
    group: str = ""
    inode: int = 0
    device_id: int = 0
    size: int = 0
    links: int = 0
    linktarget: bytes = b""
    xattrs: list[tuple[str, bytes]] = field(default_factory=list)
    device: int = 0
    content: list[bytes] | None = None
    subtree: bytes | None = None

    def unix_mode(self) -> int:
        """Permission bits as chmod takes them."""
        mode = self.mode & 0o777
        for unix, go in _SPECIAL_BITS:
            if self.mode & go:
                mode |= unix
        return mode


def go_mode(unix_mode: int, kind: str) -> int:
    mode = unix_mode & 0o777 | GO_TYPE_BITS[kind]
    if unix_mode & 0o7000:
        for unix, go in _SPECIAL_BITS:
            if unix_mode & unix:
                mode |= go
    return mode


def encode_node(node: Node) -> str:
    mtime = time_string(node.mtime)
    out = [
        f'{{"name":{name_string(node.name)},"type":"{node.type}"',
        f',"mode":{node.mode}' if node.mode else "",
        f',"mtime":"{mtime}","atime":"{mtime if node.atime == node.mtime else time_string(node.atime)}"',
        f',"ctime":"{time_string(node.ctime)}","uid":{node.uid},"gid":{node.gid}',
        f',"user":{string(node.user)}' if node.user else "",
        f',"group":{string(node.group)}' if node.group else "",
        f',"inode":{node.inode}' if node.inode else "",
        f',"device_id":{node.device_id}' if node.device_id else "",
        f',"size":{node.size}' if node.size else "",
        f',"links":{node.links}' if node.links else "",
        _encode_target(node.linktarget) if node.linktarget else "",
        _encode_xattrs(node.xattrs) if node.xattrs else "",
        f',"device":{node.device}' if node.device else "",
        f',"content":{_encode_content(node.content)}',
        f',"subtree":"{node.subtree.hex()}"' if node.subtree else "",
        "}",
    ]
    return "".join(out)


def encode_tree(nodes: list[str]) -> bytes:
    """Encoded nodes, sorted by the bytes of their names, to the blob's plaintext."""
    return f'{{"nodes":[{",".join(nodes)}]}}\n'.encode()


def _encode_content(content: list[bytes] | None) -> str:
    if content is None:
        return "null"
    return '["' + '","'.join([blob.hex() for blob in content]) + '"]' if content else "[]"


def _encode_target(target: bytes) -> str:
    try:
        return f',"linktarget":{string(target.decode())}'
    except (
        UnicodeDecodeError
    ):  # restic >= 0.16 reads the raw field; older ones see the replacement characters
        raw = base64.b64encode(target).decode()
        return f',"linktarget":{string(target.decode(errors="replace"))},"linktarget_raw":"{raw}"'


def _encode_xattrs(xattrs: list[tuple[str, bytes]]) -> str:
    parts = [
        f'{{"name":{string(name)},"value":' + (f'"{base64.b64encode(value).decode()}"}}')
        for name, value in xattrs
    ]
    return f',"extended_attributes":[{",".join(parts)}]'


def parse_tree(document: bytes) -> list[dict[str, Any]]:
    """The nodes as JSON objects: enough for check and for comparing with a parent, at a third of the cost."""
    try:
        nodes = json.loads(document)["nodes"]
    except (ValueError, KeyError, TypeError) as error:
        raise RepositoryError(f"tree is invalid: {error}") from error
    if nodes is None:  # Go's encoding of an empty list
        return []
    if not isinstance(nodes, list) or not all(isinstance(node, dict) for node in nodes):
        raise RepositoryError("tree is invalid: nodes are no list of objects")
    return nodes


def decode_tree(document: bytes) -> list[Node]:
    nodes = [decode_node(node) for node in parse_tree(document)]
    if len({node.name for node in nodes}) != len(nodes):
        raise RepositoryError("tree is invalid: a name appears twice")
    return nodes


def decode_node(raw: dict[str, Any]) -> Node:
    try:
        mtime = _time(raw, "mtime")
        node = Node(
            name=node_name(raw),
            type=raw["type"],
            mode=raw.get("mode", 0),
            mtime=mtime,
            atime=mtime if raw.get("atime") == raw.get("mtime") else _time(raw, "atime"),
            ctime=mtime if raw.get("ctime") == raw.get("mtime") else _time(raw, "ctime"),
            uid=raw.get("uid", 0),
            gid=raw.get("gid", 0),
            user=raw.get("user", ""),
            group=raw.get("group", ""),
            inode=raw.get("inode", 0),
            device_id=raw.get("device_id", 0),
            size=raw.get("size", 0),
            links=raw.get("links", 0),
            linktarget=_decode_target(raw) if "linktarget" in raw else b"",
            xattrs=_decode_xattrs(raw) if "extended_attributes" in raw else [],
            device=raw.get("device", 0),
            content=decode_content(raw),
            subtree=decode_subtree(raw),
        )
    except (KeyError, ValueError, TypeError, AttributeError, binascii.Error) as error:
        raise RepositoryError(f"tree is invalid: {error!r}") from error
    return node


def node_name(raw: dict[str, Any]) -> bytes:
    name = unquote(raw["name"])
    if b"/" in name or b"\0" in name or name in {b"", b".", b".."}:
        raise RepositoryError(f"tree is invalid: {name!r} is no name of a file")
    return name


def decode_content(raw: dict[str, Any]) -> list[bytes] | None:
    content = raw.get("content")
    return None if content is None else [_blob_id(blob) for blob in content]


def decode_subtree(raw: dict[str, Any]) -> bytes | None:
    subtree = raw.get("subtree")
    return _blob_id(subtree) if subtree else None


def _blob_id(text: str) -> bytes:
    blob = bytes.fromhex(text)
    if len(blob) != 32:
        raise RepositoryError("tree is invalid: a blob id has the wrong length")
    return blob


def _time(raw: dict[str, Any], name: str) -> int:
    text = raw.get(name)
    return parse_time(text) if text else 0


def _decode_target(raw: dict[str, Any]) -> bytes:
    exact = raw.get("linktarget_raw")
    if exact:
        return base64.b64decode(exact, validate=True)
    return str(raw.get("linktarget", "")).encode("utf-8", "surrogatepass")


def _decode_xattrs(raw: dict[str, Any]) -> list[tuple[str, bytes]]:
    attributes = raw.get("extended_attributes")
    if not attributes:
        return []
    return [(each["name"], base64.b64decode(each.get("value") or "", validate=True)) for each in attributes]
