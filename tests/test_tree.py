"""Rules about the tree itself."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = sorted(
    p for p in (ROOT / "sentinel").rglob("*.py") if p.name != "__init__.py" or p.stat().st_size > 2000
)
BANNED = {"utils", "helpers", "common", "base", "manager", "handler"}


def ident(path):
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", MODULES, ids=ident)
def test_small_documented_modules(path):
    text = path.read_text()
    assert len(text.splitlines()) <= 500, "split it"
    assert ast.get_docstring(ast.parse(text)), "a module says what comes in, what goes out and why"
    assert path.stem not in BANNED


@pytest.mark.parametrize("path", MODULES, ids=ident)
def test_short_functions(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno - node.lineno < 80, f"{node.name} is too long"
