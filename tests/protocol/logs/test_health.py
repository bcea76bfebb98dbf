from sentinel.protocol.logs.health import WINDOW, FormatHealth
from sentinel.protocol.logs.parser import LogParser

GOOD = b'192.0.2.7 - - [02/Mar/2026:08:00:00 +0000] "GET / HTTP/1.1" 200 5 "-" "-"\n'


def feed(health, batch, good, bad):
    return health.observe(LogParser("nginx-access").parse(batch(GOOD * good + b"?\n" * bad)))


def test_says_once_that_a_format_stopped_fitting_and_once_that_it_fits_again(batch):
    health = FormatHealth()

    said = [
        feed(health, batch, *lines)
        for lines in [(WINDOW, 0), (0, WINDOW), (0, WINDOW), (WINDOW, 0), (WINDOW, 0)]
    ]

    assert said == [None, True, None, False, None]


def test_a_few_foreign_lines_are_no_change(batch):
    assert feed(FormatHealth(), batch, WINDOW, WINDOW // 3) is None


def test_small_batches_are_judged_together(batch):
    health = FormatHealth()

    said = [feed(health, batch, 0, 10) for _ in range(WINDOW // 10)]

    assert said == [None] * (WINDOW // 10 - 1) + [True]
