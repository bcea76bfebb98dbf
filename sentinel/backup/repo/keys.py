"""Passwords of an open repository: list, add, remove, change. The master key never changes.

A password that leaked is replaced with `change_password`; whoever copied the store before can still read that copy
with it (restic design.rst, "Threat Model").
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentinel.backup.repo.keyfile import KeyInfo, ScryptCost, list_key_files, store_key
from sentinel.backup.store.store import Kind
from sentinel.errors import RepositoryError

if TYPE_CHECKING:
    from sentinel.backup.repo.repository import Repository


def list_keys(repository: Repository) -> list[KeyInfo]:
    return list_key_files(repository.store, repository.key_id)


def add_key(repository: Repository, password: str, cost: ScryptCost | None = None) -> str:
    return store_key(repository.store, repository.key, password, cost or ScryptCost())


def remove_key(repository: Repository, prefix: str) -> str:
    """By id or unique prefix; the key in use cannot be removed, so a repository always keeps one."""
    matches = [key for key in list_keys(repository) if key.id.startswith(prefix)] if prefix else []
    if len(matches) != 1:
        raise RepositoryError(f"{len(matches)} keys have an id that starts with {prefix!r}")
    if matches[0].current:
        raise RepositoryError("the key in use cannot be removed; open the repository with another password")
    repository.store.remove(Kind.KEY, matches[0].id)
    return matches[0].id


def change_password(repository: Repository, password: str, cost: ScryptCost | None = None) -> str:
    """Add the new key, then remove the one in use: at no moment is there none."""
    old = repository.key_id
    repository.key_id = add_key(repository, password, cost)
    repository.store.remove(Kind.KEY, old)
    return repository.key_id
