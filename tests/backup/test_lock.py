"""Locks: who may be in a repository with whom; both ways with restic."""

import os
import socket
import subprocess
import time

import pytest

from sentinel.backup import lock as lock_module
from sentinel.backup.lock import HeldLock, list_locks, locked, unlock
from sentinel.backup.repo.gojson import time_string
from sentinel.backup.store.store import Kind
from sentinel.errors import LockedError

MINUTE = 60 * 10**9


def foreign(repository, *, exclusive=True, age_minutes=1, pid=1, host="elsewhere"):
    document = (
        f'{{"time":"{time_string(time.time_ns() - age_minutes * MINUTE)}","exclusive":{str(exclusive).lower()},'
        f'"hostname":"{host}","username":"root","pid":{pid}}}'
    )
    return repository.save_file(Kind.LOCK, document.encode())


def test_shared_locks_live_together(memory_repository):
    with locked(memory_repository), locked(memory_repository):
        assert [lock.exclusive for lock in list_locks(memory_repository)] == [False, False]
        with pytest.raises(LockedError, match="locked by process"), locked(memory_repository, exclusive=True):
            pass
    assert list_locks(memory_repository) == []


def test_an_exclusive_lock_is_alone(memory_repository):
    with locked(memory_repository, exclusive=True):
        for exclusive in (False, True):
            with (
                pytest.raises(LockedError, match="exclusively"),
                locked(memory_repository, exclusive=exclusive),
            ):
                pass
    assert list_locks(memory_repository) == []


def test_the_lock_goes_with_an_exception(memory_repository):
    with pytest.raises(ZeroDivisionError), locked(memory_repository):
        _ = 1 / 0
    assert list_locks(memory_repository) == []


def test_a_lock_of_another_host_counts_until_it_is_old(memory_repository):
    foreign(memory_repository, age_minutes=29)
    with pytest.raises(LockedError, match="elsewhere"), locked(memory_repository):
        pass
    memory_repository.store.files.clear()
    foreign(memory_repository, age_minutes=31)
    with locked(memory_repository):
        assert len(list_locks(memory_repository)) == 1


def test_a_lock_of_a_dead_process_here_is_stale(memory_repository):
    child = subprocess.Popen(["true"])
    child.wait()
    foreign(memory_repository, pid=child.pid, host=socket.gethostname())
    with locked(memory_repository, exclusive=True):
        pass


def test_a_live_process_here_keeps_its_lock(memory_repository):
    foreign(memory_repository, pid=os.getpid(), host=socket.gethostname())
    with pytest.raises(LockedError), locked(memory_repository):
        pass


def test_unlock(memory_repository):
    foreign(memory_repository, age_minutes=40)
    foreign(memory_repository, age_minutes=2)
    assert unlock(memory_repository) == 1
    assert unlock(memory_repository, all_locks=True) == 1
    assert list_locks(memory_repository) == []


def test_refreshing_replaces_the_lock(memory_repository):
    with locked(memory_repository) as held:
        before = held.id
        held.refresh()
        assert [lock.id for lock in list_locks(memory_repository)] == [held.id]
        assert held.id != before


def test_a_lock_that_could_not_be_refreshed_stops_the_work(memory_repository, monkeypatch):
    held = HeldLock(memory_repository, exclusive=True)
    held.check()
    monkeypatch.setattr(lock_module, "STALE_AFTER_SECONDS", 0)
    with pytest.raises(LockedError, match="refreshed"):
        held.check()
    held.release()


def test_restic_honours_ours_and_we_its(local_repository, restic):
    place = local_repository.store.location
    with locked(local_repository, exclusive=True):
        done = restic("snapshots", repository=place, check=(1, 11))
        assert b"already locked exclusively" in done.stderr
    restic("snapshots", repository=place)
    foreign(local_repository)
    assert b"already locked" in restic("snapshots", repository=place, check=(1, 11)).stderr


def test_waiting_for_a_lock(memory_repository, monkeypatch):
    monkeypatch.setattr(lock_module, "RETRY_SECONDS", 0.05)
    name = foreign(memory_repository)
    real = time.sleep

    def sleep(seconds):
        if seconds == 0.05:
            memory_repository.store.files.pop((Kind.LOCK, name), None)
        real(0)

    monkeypatch.setattr(lock_module.time, "sleep", sleep)
    with locked(memory_repository, retry_seconds=60):
        pass
