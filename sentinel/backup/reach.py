"""Which blobs the snapshots need: all trees, each read once, level by level, pack by pack.

Trees in restic's own encoding are not decoded (rawtree.py); what is amiss in the others is named. Grouping by pack turns ten thousand small reads into a few large ones, which is what a distant store needs.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sentinel.backup.packread import PackReader
from sentinel.backup.repo.pack import BlobType
from sentinel.backup.repo.rawtree import references_of
from sentinel.backup.repo.tree import decode_content, decode_subtree, node_name, parse_tree
from sentinel.errors import RepositoryError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sentinel.backup.repo.repository import Repository


@dataclass(slots=True)
class Reachable:
    """`problems` name trees that are missing or damaged and blobs that are not in the index."""

    trees: set[bytes] = field(default_factory=set)
    data: set[bytes] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)

    def of(self, kind: BlobType) -> set[bytes]:
        return self.trees if kind is BlobType.TREE else self.data


def find_reachable(repository: Repository, roots: Iterable[bytes]) -> Reachable:
    reached = Reachable()
    reader = PackReader(repository, BlobType.TREE)
    frontier = set(roots)
    with ThreadPoolExecutor(repository.store.connections, thread_name_prefix="trees") as pool:
        while frontier:
            reached.trees |= frontier
            groups = _group(repository, frontier, reached)
            frontier = set()
            tasks = [pool.submit(_visit, repository, reader, pack, trees, reached) for pack, trees in groups]
            for task in tasks:
                frontier |= task.result() - reached.trees
    return reached


def _group(
    repository: Repository, trees: Iterable[bytes], reached: Reachable
) -> list[tuple[bytes, list[bytes]]]:
    packs: dict[bytes, list[bytes]] = {}
    for tree in trees:
        location = repository.index.find(BlobType.TREE, tree)
        if location is None:
            reached.problems.append(f"tree {tree.hex()[:12]} is not in the index")
        else:
            packs.setdefault(location.pack, []).append(tree)
    return list(packs.items())


def _visit(
    repository: Repository, reader: PackReader, pack: bytes, trees: list[bytes], reached: Reachable
) -> set[bytes]:
    """Subtrees of these trees; data blobs go into `reached` (adding to a set is atomic)."""
    subtrees: set[bytes] = set()
    for tree, document in reader.read(pack, trees):
        if isinstance(document, Exception):
            reached.problems.append(f"tree {tree.hex()[:12]}: {document}")
            continue
        references = references_of(document)
        if references is not None and not repository.index.missing(references.data):
            subtrees.update(references.trees)
            reached.data.update(references.data)
            continue
        try:
            nodes = parse_tree(document)
            _check_names(nodes)
            for node in nodes:
                _visit_node(repository, tree, node, subtrees, reached)
        except (RepositoryError, ValueError, TypeError, KeyError, AttributeError) as error:
            reached.problems.append(f"tree {tree.hex()[:12]}: {error}")
    return subtrees


def _visit_node(
    repository: Repository, tree: bytes, node: dict[str, Any], subtrees: set[bytes], reached: Reachable
) -> None:
    kind = node.get("type")
    if kind == "dir":
        subtree = decode_subtree(node)
        if subtree is None:
            raise RepositoryError(f"folder {node['name']!r} has no tree")
        subtrees.add(subtree)
    elif kind == "file":
        for blob in decode_content(node) or ():
            if not repository.index.has(BlobType.DATA, blob):
                reached.problems.append(
                    f"tree {tree.hex()[:12]}: file {node['name']!r}: blob {blob.hex()[:12]} is not in the index"
                )
            reached.data.add(blob)


def _check_names(nodes: list[dict[str, Any]]) -> None:
    names = [node_name(node) for node in nodes]
    if len(set(names)) != len(names):
        raise RepositoryError("a name appears twice")
