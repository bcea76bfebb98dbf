"""A repository's address -> an open store: which implementation, and the wrappers around it.

    /srv/backup, file:///srv/backup          directory
    s3://bucket/prefix (with `endpoint`)     S3
    s3:https://host:port/bucket/prefix       S3, restic's spelling
    memory:name                              tests

From the inside out: the place itself, metering (each request counts), the bandwidth limit, retries.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sentinel import metrics
from sentinel.backup.store.limit import Bucket, LimitStore
from sentinel.backup.store.local import LocalStore
from sentinel.backup.store.memory import MemoryStore
from sentinel.backup.store.meter import MeterStore
from sentinel.backup.store.retry import RetryStore
from sentinel.errors import UsageError

if TYPE_CHECKING:
    from sentinel.backup.store.store import Store

_S3_SHORT = re.compile(r"s3://([^/]+)(?:/(.*))?")
_S3_RESTIC = re.compile(r"s3:(?:(https?)://)?([^/]+)/([^/]+)(?:/(.*))?")


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """What an address cannot say. Secrets come from files or the environment, never from argv.

    With an empty `access_key` boto3's own chain applies (AWS_ACCESS_KEY_ID, profiles, instance roles).
    """

    endpoint: str = ""
    region: str = "us-east-1"
    access_key: str = ""
    secret_key: str = ""
    path_style: bool = True
    storage_class: str = ""
    object_lock_days: int = 0
    object_lock_mode: str = "COMPLIANCE"
    retries: int = 5
    first_wait_seconds: float = 0.5
    upload_bytes_per_second: int = 0
    download_bytes_per_second: int = 0
    ca_file: str = ""


def open_store(address: str, options: StoreOptions | None = None) -> Store:
    options = options or StoreOptions()
    store: Store = MeterStore(_open_place(address, options))
    if options.upload_bytes_per_second or options.download_bytes_per_second:
        store = LimitStore(
            store, Bucket(options.upload_bytes_per_second), Bucket(options.download_bytes_per_second)
        )
    return RetryStore(
        store,
        retries=options.retries,
        first_wait_seconds=options.first_wait_seconds,
        on_retry=_count_retry,
    )


def _count_retry(operation: str) -> None:
    metrics.backup_store_retries.inc(operation=operation)


def _open_place(address: str, options: StoreOptions) -> Store:
    if address.startswith("s3:"):
        return _open_s3(address, options)
    if address.startswith("memory:"):
        return MemoryStore(address.removeprefix("memory:"))
    path = address.removeprefix("file://")
    if not path or re.match(r"[a-z][a-z0-9+]*:", path):
        raise UsageError(f"{address!r} is no address of a repository: a path, file://..., s3://bucket/prefix")
    return LocalStore(Path(path))


def _open_s3(address: str, options: StoreOptions) -> Store:
    from sentinel.backup.store.s3 import S3Options, S3Store  # boto3 takes a third of a second to import

    chosen = S3Options(
        region=options.region,
        access_key=options.access_key,
        secret_key=options.secret_key,
        path_style=options.path_style,
        storage_class=options.storage_class,
        object_lock_days=options.object_lock_days,
        object_lock_mode=options.object_lock_mode,
        ca_file=options.ca_file,
    )
    return S3Store(*_s3_place(address, options), chosen)


def _s3_place(address: str, options: StoreOptions) -> tuple[str, str, str]:
    """Endpoint, bucket, prefix."""
    short = _S3_SHORT.fullmatch(address)
    if short is not None:
        return options.endpoint, short[1], (short[2] or "").strip("/")
    restic = _S3_RESTIC.fullmatch(address)
    if restic is None:
        raise UsageError(f"{address!r}: write s3://bucket/prefix or s3:https://host/bucket/prefix")
    return f"{restic[1] or 'https'}://{restic[2]}", restic[3], (restic[4] or "").strip("/")
