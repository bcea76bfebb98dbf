"""Who still works, as told by how they look at the stop signal."""

import threading

from waiting import PATIENCE_SECONDS, until

from sentinel.heartbeat import Heartbeat


def in_thread(work):
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_it_is_an_event():
    stop = Heartbeat()
    assert not stop.is_set()
    assert not stop.wait(0.01)
    stop.set()
    assert stop.is_set()
    assert stop.wait()
    assert stop.wait(PATIENCE_SECONDS)


def test_a_wait_ends_when_it_is_set():
    stop = Heartbeat()
    waiter = in_thread(stop.wait)
    stop.set()
    waiter.join(PATIENCE_SECONDS)
    assert not waiter.is_alive()


def test_asking_is_a_sign_of_life_of_the_worker_alone():
    stop = Heartbeat()
    stop.begin()
    asked = stop._asked
    in_thread(stop.is_set).join()  # somebody else
    assert stop._asked == asked
    stop.is_set()
    assert stop._asked > asked


def test_a_long_wait_beats(monkeypatch):
    monkeypatch.setattr("sentinel.heartbeat.BEAT_SECONDS", 0.01)
    stop = Heartbeat()
    begun = threading.Event()

    def work():
        stop.begin()
        begun.set()
        stop.wait()

    worker = in_thread(work)
    assert begun.wait(PATIENCE_SECONDS)
    first = stop._asked
    until(lambda: stop._asked > first)
    stop.set()
    worker.join()


def test_silence_grows_while_the_worker_hangs(monkeypatch):
    clock = [100.0]
    monkeypatch.setattr("sentinel.heartbeat.time.monotonic", lambda: clock[0])
    stop = Heartbeat()
    stop.begin()
    clock[0] += 70
    assert stop.silent_seconds() == 70
    stop.is_set()
    assert stop.silent_seconds() == 0
