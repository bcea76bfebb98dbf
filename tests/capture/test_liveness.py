from sentinel.capture.liveness import LEARNING_SECONDS, SHORTEST_SECONDS, Liveness

HOUR = 3600.0


def fed(gap, hours):
    """A source with a line every `gap` seconds."""
    liveness, now = Liveness(), 0.0
    liveness.watch("a", now)
    while now < hours * HOUR:
        liveness.seen("a", now)
        now += gap
    return liveness, now - gap


def test_quiet_against_its_own_past_said_once_and_taken_back_once():
    liveness, last = fed(gap=200, hours=3)

    assert liveness.check(last + 599) == []
    (change,) = liveness.check(last + 700)
    assert (change.source, change.quiet, change.limit) == ("a", True, 600)
    assert liveness.check(last + 900) == []
    liveness.seen("a", last + 1000)
    (change,) = liveness.check(last + 1001)
    assert not change.quiet


def test_a_busy_log_has_the_shortest_limit():
    liveness, last = fed(gap=10, hours=2)

    assert liveness.check(last + SHORTEST_SECONDS) == []
    assert liveness.check(last + SHORTEST_SECONDS + 1)[0].quiet


def test_a_night_in_its_record_is_usual():
    liveness, last = fed(gap=60, hours=2)
    morning = last + 8 * HOUR
    liveness.seen("a", morning)

    assert liveness.check(morning + 20 * HOUR) == []
    assert liveness.check(morning + 25 * HOUR)[0].quiet


def test_nothing_is_said_while_learning_and_a_log_without_any_line_is_quiet_after_it():
    liveness = Liveness()
    liveness.watch("a", 0.0)

    assert liveness.check(LEARNING_SECONDS - 1) == []
    assert liveness.check(LEARNING_SECONDS + 1)[0].quiet


def test_a_source_that_is_no_longer_followed_is_forgotten():
    liveness, last = fed(gap=10, hours=2)
    liveness.forget({"b"})

    assert liveness.check(last + 10 * HOUR) == []


def test_a_long_silence_does_not_become_usual():
    liveness, last = fed(gap=10, hours=2)
    liveness.check(last + HOUR)
    liveness.seen("a", last + 2 * HOUR)
    liveness.check(last + 2 * HOUR)

    assert liveness.check(last + 2 * HOUR + SHORTEST_SECONDS + 1)[0].quiet
