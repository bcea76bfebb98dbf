import logging

from sentinel.logline import LineFormatter


def record(message, *args, **extra):
    made = logging.LogRecord("sentinel.firewall", logging.WARNING, "f.py", 1, message, args, None)
    vars(made).update(extra)
    return made


def test_journald_line_has_its_priority_and_fields():
    line = LineFormatter(journald=True).format(record("drift %s", "repaired", chain="input", seconds=0.1))
    assert line == "<4>sentinel.firewall: drift repaired chain=input seconds=0.1"


def test_terminal_line_has_time_and_level():
    made = record("up")
    made.created = 0
    assert LineFormatter(journald=False).format(made) == "1970-01-01T00:00:00Z warning sentinel.firewall: up"


def test_hostile_values_stay_on_one_line():
    line = LineFormatter(journald=True).format(record("a\nb", agent='x" y\n<0>forged'))
    assert line == '<4>sentinel.firewall: a | b agent="x\\" y\\n<0>forged"'
