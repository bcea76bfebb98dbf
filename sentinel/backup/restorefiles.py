"""The work of a restore: folders, then files pack by pack in several threads, then links, then folder metadata.

A file becomes `done` when all its blobs were written (each matched its hash) and its metadata is set; its time is
set last, so that an interrupted restore knows which files are complete. What fails is removed again and named.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import threading
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

from sentinel.backup.packread import PackReader
from sentinel.backup.repo.crypto import OVERHEAD_BYTES
from sentinel.backup.repo.pack import BlobType
from sentinel.backup.restorewrite import REWRITE_FLAGS, TreeWriter
from sentinel.errors import Problem, RepositoryError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sentinel.backup.progress import ProgressMeter
    from sentinel.backup.repo.repository import Repository
    from sentinel.backup.restoreplan import FilePlan, Plan

WORKERS = max(2, min(os.cpu_count() or 2, 8))
Uses = dict[bytes, list[tuple["FilePlan", int]]]  # blob -> where it goes: file and offset


class RestoreRun:
    def __init__(
        self,
        repository: Repository,
        plan: Plan,
        target: bytes,
        *,
        writer: TreeWriter,
        verify: bool,
        resume: bool,
        meter: ProgressMeter,
        stop: threading.Event,
    ) -> None:
        self._repository = repository
        self._plan = plan
        self._target = target.rstrip(b"/")
        self._writer = writer
        self._verify = verify
        self._resume = resume
        self._meter = meter
        self._stop = stop
        self._lock = threading.Lock()
        self.skipped = 0
        self.problems = [Problem(os.fsdecode(path), 0, message) for path, message in plan.problems]

    def execute(self) -> None:
        fresh = not os.path.lexists(self._target or b"/")
        os.makedirs(self._target or b"/", exist_ok=True)
        self._writer.note_folder(os.stat(self._target or b"/").st_mode)
        for path, _ in self._plan.folders:
            self._attempt(path, self._writer.make_folder, self._target + path)
        wanted = self._plan.files
        if self._resume and not fresh:
            wanted = [file for file in wanted if not self._is_there(file)]
        self._write_files(wanted)
        if self._verify:
            for file in wanted:
                if file.done and not self._content_matches(file):
                    self._fail(file, "reads back differently from what was written")
        self._make_rest()

    def _make_rest(self) -> None:
        for path, first in self._plan.links:
            if first.done:
                self._attempt(path, self._writer.make_link, self._target + path, self._target + first.path)
            else:
                self._note(path, first.failed)
        for path, node in self._plan.specials:
            self._attempt(path, self._writer.make_special, self._target + path, node)
        for path, node in reversed(self._plan.folders):
            self._attempt(path, self._writer.finish, self._target + path, node)

    # --- what is there already ------------------------------------------------------------------------------

    def _is_there(self, file: FilePlan) -> bool:
        path = self._target + file.path
        try:
            info = os.lstat(path)
            if not stat.S_ISREG(info.st_mode) or info.st_size != file.node.size:
                return False
            if info.st_mtime_ns != file.node.mtime or (self._verify and not self._content_matches(file)):
                return False
            self._writer.finish(path, file.node)
        except OSError:
            return False
        file.done = True
        self.skipped += 1
        self._meter.add(1, file.node.size, file.path)
        return True

    def _content_matches(self, file: FilePlan) -> bool:
        """Read back and hash, blob by blob."""
        try:
            with open(self._target + file.path, "rb", buffering=0) as content:
                for blob_id in file.node.content or ():
                    size = self._repository.index.plain_length(blob_id)
                    if size is None or hashlib.sha256(_read(content.fileno(), size)).digest() != blob_id:
                        return False
                return not content.read(1)
        except OSError:
            return False

    # --- contents -------------------------------------------------------------------------------------------

    def _write_files(self, files: list[FilePlan]) -> None:
        reader = PackReader(self._repository)
        for file in files:
            if not file.remaining:
                self._attempt_file(file, self._write_empty, file)
        with ThreadPoolExecutor(WORKERS, thread_name_prefix="restore") as pool:
            pending: set[Future[None]] = set()
            for pack, uses in self._group_by_pack(files).items():
                if self._stop.is_set():
                    break
                while len(pending) >= 2 * WORKERS:
                    done, pending = wait(pending, return_when=FIRST_COMPLETED)
                    for future in done:
                        future.result()
                pending.add(pool.submit(self._write_pack, reader, pack, uses))
            for future in pending:
                future.result()
        if self._stop.is_set():
            raise RepositoryError("the restore was stopped; run it again to resume")

    def _group_by_pack(self, files: Iterable[FilePlan]) -> dict[bytes, Uses]:
        """In the order packs are first needed, which is the order they were written in."""
        packs: dict[bytes, Uses] = {}
        find = self._repository.index.find
        for file in files:
            offset = 0
            for blob_id in file.node.content or ():
                location = find(BlobType.DATA, blob_id)
                if location is None:
                    self._fail(file, f"blob {blob_id.hex()[:12]} is not in the index")
                    break
                uses = packs.setdefault(location.pack, {})
                uses.setdefault(blob_id, []).append((file, offset))
                offset += location.raw_length or location.length - OVERHEAD_BYTES
            file.size = offset
        return packs

    def _write_pack(self, reader: PackReader, pack: bytes, uses: Uses) -> None:
        for blob_id, plain in reader.read(pack, uses):
            for file, offset in uses[blob_id]:
                if isinstance(plain, Exception):
                    self._fail(file, str(plain))
                elif not file.failed:
                    write = self._write_small if len(file.node.content or ()) == 1 else self._write_part
                    self._attempt_file(file, write, file, plain, offset)

    def _write_empty(self, file: FilePlan) -> None:
        descriptor = self._writer.create(self._target + file.path)
        try:
            self._complete(file, descriptor)
        finally:
            os.close(descriptor)

    def _write_small(self, file: FilePlan, data: bytes, offset: int) -> None:
        """A file of one blob: nearly all of them."""
        descriptor = self._writer.create(self._target + file.path)
        try:
            self._writer.write(descriptor, data, offset, size=len(data))
            self._complete(file, descriptor, len(data))
        finally:
            os.close(descriptor)

    def _write_part(self, file: FilePlan, data: bytes, offset: int) -> None:
        path = self._target + file.path
        with self._lock:
            if not file.created:
                descriptor = self._writer.create(path)
                os.ftruncate(descriptor, file.size)
                file.created = True
            else:
                descriptor = os.open(path, REWRITE_FLAGS)
        try:
            self._writer.write(descriptor, data, offset)
            self._meter.add(0, len(data), file.path)
            with self._lock:
                file.remaining -= 1
                last = file.remaining == 0
            if last:
                self._complete(file, descriptor)
        finally:
            os.close(descriptor)

    def _complete(self, file: FilePlan, descriptor: int, written: int = 0) -> None:
        self._writer.finish(descriptor, file.node, new=True)
        file.done = True
        self._meter.add(1, written, file.path)

    # --- what goes wrong ------------------------------------------------------------------------------------

    def _attempt(self, path: bytes, action: Callable[..., None], *arguments: object) -> None:
        try:
            action(*arguments)
        except OSError as error:
            self._note(path, error.strerror or str(error))

    def _attempt_file(self, file: FilePlan, action: Callable[..., None], *arguments: object) -> None:
        try:
            action(*arguments)
        except OSError as error:
            self._fail(file, error.strerror or str(error))

    def _fail(self, file: FilePlan, message: str) -> None:
        """Half a file is worse than none: it looks like the real one."""
        with self._lock:
            if file.failed:
                return
            file.failed = message
            file.done = False
        with contextlib.suppress(OSError):  # it may not be there yet
            os.unlink(self._target + file.path)
        self._note(file.path, message)

    def _note(self, path: bytes, message: str) -> None:
        with self._lock:
            self.problems.append(Problem(os.fsdecode(path), 0, message))


def _read(descriptor: int, size: int) -> bytes:
    data = os.read(descriptor, size)
    while len(data) < size and (part := os.read(descriptor, size - len(data))):
        data += part
    return data
