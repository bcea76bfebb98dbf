"""Snapshot files: a moment, a tree, and where it came from. restic doc/design.rst, "Snapshots"."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sentinel.backup.repo.gojson import parse_time, string, time_string, utc_offset
from sentinel.backup.store.store import Kind
from sentinel.errors import RepositoryError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sentinel.backup.repo.repository import Repository

SHORT_ID = 8


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`id` is empty until it is saved. Ids are hexadecimal, as users see them; `tree` is bytes.

    `utc_offset_seconds` is the zone restic wrote the time in; its days and hours count for retention. Ours is UTC.
    """

    time_ns: int
    tree: bytes
    paths: tuple[str, ...]
    hostname: str = ""
    username: str = ""
    uid: int = 0
    gid: int = 0
    excludes: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    parent: str = ""
    original: str = ""
    id: str = ""
    utc_offset_seconds: int = 0

    @property
    def short_id(self) -> str:
        return self.id[:SHORT_ID]

    def to_json(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(encode(self))
        return {**document, "id": self.id, "short_id": self.short_id}


def encode(snapshot: Snapshot) -> bytes:
    parts = [
        f'{{"time":"{time_string(snapshot.time_ns)}"',
        f',"parent":"{snapshot.parent}"' if snapshot.parent else "",
        f',"tree":"{snapshot.tree.hex()}","paths":{_strings(snapshot.paths)}',
        f',"hostname":{string(snapshot.hostname)}' if snapshot.hostname else "",
        f',"username":{string(snapshot.username)}' if snapshot.username else "",
        f',"uid":{snapshot.uid}' if snapshot.uid else "",
        f',"gid":{snapshot.gid}' if snapshot.gid else "",
        f',"excludes":{_strings(snapshot.excludes)}' if snapshot.excludes else "",
        f',"tags":{_strings(snapshot.tags)}' if snapshot.tags else "",
        f',"original":"{snapshot.original}"' if snapshot.original else "",
        "}",
    ]
    return "".join(parts).encode("utf-8", "replace")


def decode(document: bytes, snapshot_id: str) -> Snapshot:
    try:
        content = json.loads(document)
        return Snapshot(
            time_ns=parse_time(content["time"]),
            tree=bytes.fromhex(content["tree"]),
            paths=tuple(content.get("paths") or ()),
            hostname=content.get("hostname", ""),
            username=content.get("username", ""),
            uid=content.get("uid", 0),
            gid=content.get("gid", 0),
            excludes=tuple(content.get("excludes") or ()),
            tags=tuple(content.get("tags") or ()),
            parent=content.get("parent", ""),
            original=content.get("original", ""),
            id=snapshot_id,
            utc_offset_seconds=utc_offset(content["time"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise RepositoryError(f"snapshot {snapshot_id[:SHORT_ID]} is invalid: {error}") from error


def save_snapshot(repository: Repository, snapshot: Snapshot) -> Snapshot:
    return replace(snapshot, id=repository.save_file(Kind.SNAPSHOT, encode(snapshot)))


def load_snapshot(repository: Repository, snapshot_id: str) -> Snapshot:
    return decode(repository.load_file(Kind.SNAPSHOT, snapshot_id), snapshot_id)


def list_snapshots(
    repository: Repository, *, tags: Iterable[str] = (), hostname: str = "", paths: Iterable[str] = ()
) -> list[Snapshot]:
    """Oldest first; those with all the tags and paths, and of the host."""
    found = []
    for name, _ in repository.store.list(Kind.SNAPSHOT):
        try:
            snapshot = load_snapshot(repository, name)
        except FileNotFoundError:  # forgotten since we listed
            continue
        found.append(snapshot)
    wanted_tags, wanted_paths = set(tags), set(paths)
    matching = [
        snapshot
        for snapshot in found
        if wanted_tags <= set(snapshot.tags)
        and wanted_paths <= set(snapshot.paths)
        and hostname in {"", snapshot.hostname}
    ]
    return sorted(matching, key=lambda snapshot: (snapshot.time_ns, snapshot.id))


def find_snapshot(
    repository: Repository,
    wanted: str,
    *,
    tags: Iterable[str] = (),
    hostname: str = "",
    paths: Iterable[str] = (),
) -> Snapshot:
    """By id, unique prefix of an id, or "latest" among those that match."""
    if wanted == "latest":
        matching = list_snapshots(repository, tags=tags, hostname=hostname, paths=paths)
        if not matching:
            raise RepositoryError(f"{repository.store.location}: there is no such snapshot: latest")
        return matching[-1]
    names = [name for name, _ in repository.store.list(Kind.SNAPSHOT) if name.startswith(wanted)]
    if len(names) != 1 or not wanted:
        problem = "there is no such snapshot" if not names else f"{len(names)} snapshots begin with this id"
        raise RepositoryError(f"{repository.store.location}: {problem}: {wanted}")
    return load_snapshot(repository, names[0])


def _strings(values: Sequence[str]) -> str:
    return f"[{','.join(string(value) for value in values)}]"
