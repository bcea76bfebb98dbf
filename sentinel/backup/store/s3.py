"""An S3 bucket as a store: any endpoint, path style, checksums on the way up, lengths checked on the way down.

boto3's own retries are off; retry.py around us does them for every store alike. With Object Lock every file but the
locks is written with a retention date. Names are never rewritten, so then the *first* version of a name is the truth:
we read and list first versions only, and what somebody with our keys deletes (a marker) or overwrites (a later
version) changes nothing for us. Removing asks for the version itself, which the server refuses until it expires.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import boto3
import botocore.config
import botocore.exceptions
import urllib3.exceptions

from sentinel.backup.store.store import Buffer, Kind, relative_path
from sentinel.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

CONNECTIONS = 5  # restic's default for S3
MULTIPART_BYTES = 64 * 1024 * 1024
PART_BYTES = 16 * 1024 * 1024
CONNECT_SECONDS = 10
READ_SECONDS = 60
MISSING = frozenset({"404", "NoSuchKey", "NotFound", "NoSuchVersion"})
TRANSIENT = frozenset(
    {
        "BadDigest",
        "IncompleteBody",
        "InternalError",
        "OperationAborted",
        "RequestTimeout",
        "RequestTimeTooSkewed",
        "ServiceUnavailable",
        "SlowDown",
        "Throttling",
        "XAmzContentChecksumMismatch",
        "XAmzContentSHA256Mismatch",
    }
)
NOT_EXISTING = "PreconditionFailed"
BROKEN = (
    botocore.exceptions.HTTPClientError,
    botocore.exceptions.ConnectionError,
    botocore.exceptions.ResponseStreamingError,
    botocore.exceptions.IncompleteReadError,
    botocore.exceptions.FlexibleChecksumError,
    urllib3.exceptions.HTTPError,
    OSError,
)


@dataclass(frozen=True, slots=True)
class S3Options:
    region: str = "us-east-1"
    access_key: str = ""
    secret_key: str = ""
    path_style: bool = True
    storage_class: str = ""
    object_lock_days: int = 0
    object_lock_mode: str = "COMPLIANCE"
    ca_file: str = ""


class S3Store:
    def __init__(self, endpoint: str, bucket: str, prefix: str, options: S3Options) -> None:
        self._endpoint = endpoint
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._options = options
        self._lock = threading.Lock()
        self._made: Any = None
        self._first: dict[str, str] = {}  # key -> id of its first version, with Object Lock

    @property
    def location(self) -> str:
        return f"s3:{self._endpoint or 'https://s3.amazonaws.com'}/{self._bucket}/{self._prefix}".rstrip("/")

    @property
    def connections(self) -> int:
        return CONNECTIONS

    @property
    def _retained(self) -> bool:
        return self._options.object_lock_days > 0

    @property
    def _client(self) -> Any:
        """Made at first use; boto3's clients are safe to share between threads, making them is not."""
        with self._lock:
            if self._made is None:
                self._made = _connect(self._endpoint, self._options)
            return self._made

    def create(self) -> None:
        try:
            self._client.head_bucket(Bucket=self._bucket)
        except botocore.exceptions.ClientError as error:
            if _code(error) not in MISSING | {"NoSuchBucket"}:
                raise self._translate(error, "bucket") from error
            with self._translated("bucket"):
                self._client.create_bucket(Bucket=self._bucket, **self._creation())
        except BROKEN as error:
            raise self._translate(error, "bucket") from error

    def save(self, kind: Kind, name: str, data: Buffer) -> None:
        key = self._key(kind, name)
        extra = self._extra(kind)
        with self._translated(key):
            try:
                if len(data) > MULTIPART_BYTES:
                    self._save_parts(key, memoryview(data), extra)
                else:
                    checksum = base64.b64encode(hashlib.sha256(data).digest()).decode()
                    self._client.put_object(
                        Bucket=self._bucket, Key=key, Body=bytes(data), ChecksumSHA256=checksum, **extra
                    )
            except botocore.exceptions.ClientError as error:
                if _code(error) != NOT_EXISTING:
                    raise
                # There is one of this name: an earlier try of ours got through, unless the content is another.
                if self.load(kind, name) != bytes(data):
                    raise

    def load(self, kind: Kind, name: str, offset: int = 0, length: int | None = None) -> bytes:
        if length == 0:
            return b""
        key = self._key(kind, name)
        wanted: dict[str, Any] = {}
        if offset or length is not None:
            end = "" if length is None else offset + length - 1
            wanted["Range"] = f"bytes={offset}-{end}"
        with self._translated(key):
            answer = self._client.get_object(Bucket=self._bucket, Key=key, **self._version(key), **wanted)
            with contextlib.closing(answer["Body"]) as body:
                data: bytes = body.read()
        total = int(answer.get("ContentRange", "/0").rpartition("/")[2])
        if length is not None and total < offset + length:
            raise EOFError(f"{self._name(key)}: has {total} bytes, {length} at {offset} were asked for")
        if len(data) != answer["ContentLength"] or length not in {None, len(data)}:
            raise StoreError(f"{self._name(key)}: {len(data)} bytes came, {length or 'all'} were asked for")
        return data

    def size(self, kind: Kind, name: str) -> int:
        key = self._key(kind, name)
        with self._translated(key):
            return int(self._head(key)["ContentLength"])

    def list(self, kind: Kind) -> Iterator[tuple[str, int]]:
        prefix = f"{self._prefix}{kind.value}"
        if kind is not Kind.CONFIG:
            prefix += "/"
        with self._translated(prefix):
            try:
                for key, size, version in self._objects(prefix):
                    if version:
                        self._first[key] = version
                    if kind is not Kind.CONFIG or key == prefix:
                        yield key.rpartition("/")[2], size
            except botocore.exceptions.ClientError as error:
                if _code(error) not in {"NoSuchBucket", "404"}:  # no bucket: no files, so no repository
                    raise

    def remove(self, kind: Kind, name: str) -> None:
        key = self._key(kind, name)
        with self._translated(key):
            version = self._head(key).get("VersionId")
            extra = {"VersionId": version} if version and version != "null" else {}
            self._client.delete_object(Bucket=self._bucket, Key=key, **extra)
        self._first.pop(key, None)

    def is_retained(self, kind: Kind, name: str) -> bool:
        if not self._retained or kind is Kind.LOCK:
            return False
        key = self._key(kind, name)
        with self._translated(key):
            return _rest(self._head(key)) > timedelta()

    def sweep(self) -> int:
        """Uploads in parts that nobody finished cost money until they are aborted."""
        aborted = 0
        with self._translated(self._prefix):
            answer = self._client.list_multipart_uploads(Bucket=self._bucket, Prefix=self._prefix)
            for upload in answer.get("Uploads", ()):
                self._client.abort_multipart_upload(
                    Bucket=self._bucket, Key=upload["Key"], UploadId=upload["UploadId"]
                )
                aborted += 1
        return aborted

    def close(self) -> None:
        with self._lock:
            if self._made is not None:
                self._made.close()
                self._made = None

    def renew(self, kind: Kind, name: str, days: int) -> bool:
        if not self._retained or kind is Kind.LOCK:
            return False
        key = self._key(kind, name)
        with self._translated(key):
            if _rest(self._head(key)) > timedelta(days=days / 2):
                return False
            until = datetime.now(UTC) + timedelta(days=days)
            self._client.put_object_retention(
                Bucket=self._bucket,
                Key=key,
                **self._version(key),
                Retention={"Mode": self._options.object_lock_mode, "RetainUntilDate": until},
            )
        return True

    # --- inside ---------------------------------------------------------------------------------------------

    def _key(self, kind: Kind, name: str) -> str:
        return self._prefix + relative_path(kind, name)

    def _name(self, key: str) -> str:
        return f"s3://{self._bucket}/{key}"

    def _creation(self) -> dict[str, Any]:
        extra: dict[str, Any] = {"ObjectLockEnabledForBucket": True} if self._retained else {}
        if self._options.region != "us-east-1":
            extra["CreateBucketConfiguration"] = {"LocationConstraint": self._options.region}
        return extra

    def _extra(self, kind: Kind) -> dict[str, Any]:
        """Locks are never retained (they must go); cold storage is for packs, which alone are large."""
        extra: dict[str, Any] = {}
        if self._options.storage_class and kind is Kind.DATA:
            extra["StorageClass"] = self._options.storage_class
        if self._retained and kind is not Kind.LOCK:
            extra["ObjectLockMode"] = self._options.object_lock_mode
            extra["ObjectLockRetainUntilDate"] = datetime.now(UTC) + timedelta(
                days=self._options.object_lock_days
            )
            extra["IfNoneMatch"] = "*"
        return extra

    def _save_parts(self, key: str, data: memoryview, extra: dict[str, Any]) -> None:
        condition = {name: extra[name] for name in ("IfNoneMatch",) if name in extra}
        rest = {name: value for name, value in extra.items() if name not in condition}
        place = {"Bucket": self._bucket, "Key": key}
        upload = self._client.create_multipart_upload(**place, ChecksumAlgorithm="SHA256", **rest)["UploadId"]
        try:
            parts = []
            for number, start in enumerate(range(0, len(data), PART_BYTES), 1):
                body = bytes(data[start : start + PART_BYTES])
                checksum = base64.b64encode(hashlib.sha256(body).digest()).decode()
                part = self._client.upload_part(
                    **place, UploadId=upload, PartNumber=number, Body=body, ChecksumSHA256=checksum
                )
                parts.append({"PartNumber": number, "ETag": part["ETag"], "ChecksumSHA256": checksum})
            self._client.complete_multipart_upload(
                **place, UploadId=upload, MultipartUpload={"Parts": parts}, **condition
            )
        except BaseException:
            with contextlib.suppress(botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError):
                self._client.abort_multipart_upload(**place, UploadId=upload)
            raise

    def _head(self, key: str) -> dict[str, Any]:
        answer: dict[str, Any] = self._client.head_object(Bucket=self._bucket, Key=key, **self._version(key))
        return answer

    def _version(self, key: str) -> dict[str, str]:
        """With Object Lock the first version, also where a delete marker or a later version hides it."""
        if not self._retained or "/locks/" in f"/{key}":
            return {}
        if key not in self._first:
            for found, _, version in self._objects(key):
                if found == key:
                    self._first[key] = version
        return {"VersionId": self._first[key]} if self._first.get(key) else {}

    def _objects(self, prefix: str) -> Iterator[tuple[str, int, str]]:
        """Key, size and (with Object Lock) version id of each object below a prefix."""
        if not self._retained or prefix.endswith("locks/"):
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
            for page in pages:
                for item in page.get("Contents", ()):
                    yield item["Key"], item["Size"], ""
            return
        first: dict[str, Any] = {}
        pages = self._client.get_paginator("list_object_versions").paginate(
            Bucket=self._bucket, Prefix=prefix
        )
        for page in pages:
            for item in page.get("Versions", ()):  # newest first
                known = first.get(item["Key"])
                if known is None or item["LastModified"] <= known["LastModified"]:
                    first[item["Key"]] = item
        for key, item in first.items():
            yield key, item["Size"], item.get("VersionId", "")

    @contextlib.contextmanager
    def _translated(self, key: str) -> Iterator[None]:
        try:
            yield
        except (FileNotFoundError, PermissionError, EOFError):
            raise
        except (botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError, *BROKEN) as error:
            raise self._translate(error, key) from error

    def _translate(self, error: Exception, key: str) -> Exception:
        what = f"{self._name(key)}: {error}"
        if not isinstance(error, botocore.exceptions.ClientError):
            if isinstance(error, BROKEN):
                return StoreError(what)
            return PermissionError(what)  # no credentials, a wrong parameter: waiting does not help
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if _code(error) in MISSING:
            return FileNotFoundError(what)
        if _code(error) == "InvalidRange":
            return EOFError(what)
        if _code(error) in TRANSIENT or status >= 500 or status == 429:
            return StoreError(what)
        return PermissionError(what)


def _connect(endpoint: str, options: S3Options) -> Any:
    config = botocore.config.Config(
        region_name=options.region,
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        max_pool_connections=2 * CONNECTIONS,
        retries={"total_max_attempts": 1},
        s3={"addressing_style": "path" if options.path_style else "virtual"},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    session = boto3.session.Session(  # without keys of ours boto3 looks where AWS tools do
        aws_access_key_id=options.access_key or None,
        aws_secret_access_key=options.secret_key if options.access_key else None,
    )
    return session.client("s3", endpoint_url=endpoint or None, verify=options.ca_file or None, config=config)


def _rest(head: dict[str, Any]) -> timedelta:
    """How long Object Lock still keeps what this answer describes."""
    ends = head.get("ObjectLockRetainUntilDate")
    rest: timedelta = ends - datetime.now(UTC) if ends is not None else timedelta()
    return rest


def _code(error: botocore.exceptions.ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
