"""A snapshot's tree -> what has to be made: folders, files by pack, links. Reads trees, touches no disk.

Names were checked when the trees were decoded (no "..", no slash, no name twice in a folder), so every planned path
lies below the target by construction.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sentinel.backup.repo.pack import BlobType
from sentinel.backup.repo.tree import Node, decode_tree
from sentinel.errors import RepositoryError, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sentinel.backup.exclude import PathFilter
    from sentinel.backup.repo.repository import Repository
    from sentinel.backup.repo.snapshots import Snapshot


@dataclass(slots=True, eq=False)
class FilePlan:
    """`remaining` counts blobs not yet written; `failed` says why the file will not be there."""

    path: bytes
    node: Node
    remaining: int = 0
    size: int = 0
    created: bool = False
    failed: str = ""
    done: bool = False


@dataclass(slots=True)
class Plan:
    """Paths are below the snapshot's root and begin with a slash. Folders come before what they hold."""

    folders: list[tuple[bytes, Node]] = field(default_factory=list)
    files: list[FilePlan] = field(default_factory=list)
    specials: list[tuple[bytes, Node]] = field(default_factory=list)
    links: list[tuple[bytes, FilePlan]] = field(default_factory=list)
    problems: list[tuple[bytes, str]] = field(default_factory=list)

    @property
    def bytes(self) -> int:
        return sum(plan.node.size for plan in self.files)


def walk_snapshot(
    repository: Repository,
    tree: bytes,
    failed: Callable[[bytes, str], None],
    enter: Callable[[bytes, Node], bool] | None = None,
) -> Iterator[tuple[bytes, Node]]:
    """All nodes, a folder before what is in it; a tree that cannot be read is handed to `failed`, the walk goes on."""
    stack: list[tuple[bytes, bytes]] = [(b"", tree)]
    while stack:
        path, tree_id = stack.pop()
        try:
            nodes = decode_tree(repository.load_blob(BlobType.TREE, tree_id))
        except (RepositoryError, StoreError) as error:
            failed(path or b"/", str(error))
            continue
        inner = []
        for node in nodes:
            here = path + b"/" + node.name
            yield here, node
            if node.type == "dir" and node.subtree is not None and (enter is None or enter(here, node)):
                inner.append((here, node.subtree))
        stack.extend(reversed(inner))


def make_plan(repository: Repository, snapshot: Snapshot, include: PathFilter, excludes: PathFilter) -> Plan:
    plan = Plan()
    chosen: set[bytes] = set()  # folders below which everything is wanted
    waiting: dict[bytes, Node] = {}  # folders that are made only when something in them is wanted
    first_links: dict[tuple[int, int], FilePlan] = {}
    nodes = walk_snapshot(
        repository,
        snapshot.tree,
        lambda path, message: plan.problems.append((path, message)),
        lambda path, _: not (excludes and excludes.matches(path)),
    )
    for path, node in nodes:
        if excludes and excludes.matches(path):
            continue
        if include:
            above = path.rpartition(b"/")[0]
            if above not in chosen and not include.matches(path):
                if node.type == "dir":
                    waiting[path] = node
                continue
            if node.type == "dir":
                chosen.add(path)
            _add_folders_above(plan, path, waiting)
        _add_node(plan, path, node, first_links)
    return plan


def _add_folders_above(plan: Plan, path: bytes, waiting: dict[bytes, Node]) -> None:
    parts = path.split(b"/")
    for depth in range(2, len(parts)):
        above = b"/".join(parts[:depth])
        node = waiting.pop(above, None)
        if node is not None:
            plan.folders.append((above, node))


def _add_node(plan: Plan, path: bytes, node: Node, first_links: dict[tuple[int, int], FilePlan]) -> None:
    if node.type == "dir":
        plan.folders.append((path, node))
    elif node.type == "file":
        key = (node.device_id, node.inode)
        first = first_links.get(key) if node.links > 1 else None
        if first is not None and first.node.content == node.content:
            plan.links.append((path, first))
            return
        content = node.content or []
        file = FilePlan(path, node, len(content))
        plan.files.append(file)
        if node.links > 1:
            first_links[key] = file
    elif node.type != "socket":
        plan.specials.append((path, node))
