import inspect
import re

from sentinel import errors
from sentinel.errors import InvalidInputError, Problem, SentinelError


def classes():
    return [c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, SentinelError)]


def test_the_drawn_tree_is_the_tree():
    drawn = dict(re.findall(r"(\w+Error)\s+(\d+)", errors.__doc__))
    assert drawn == {c.__name__: str(c.exit_code) for c in classes()}


def test_few_classes():
    assert len(classes()) <= 15


def test_problems_are_sorted_and_located():
    error = InvalidInputError(
        [Problem("b.yml", 3, "late"), Problem("a.yml", 10, "x"), Problem("a.yml", 2, "y")]
    )
    assert str(error) == "a.yml:2: y\na.yml:10: x\nb.yml:3: late"
