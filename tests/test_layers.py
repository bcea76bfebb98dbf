"""The import rule of the design, enforced by import-linter, and one importer for each third-party library."""

import ast
import sys
from pathlib import Path

from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

ROOT = Path(__file__).parent.parent

# typer is every command file's; pydantic every settings model's; numpy and rich are vocabulary, not seams
SHARED = {"typer", "pydantic", "numpy", "rich"}


def test_folders_do_not_import_each_other(monkeypatch):
    monkeypatch.chdir(ROOT)
    assert (
        lint_imports(config_filename="pyproject.toml", cache_dir=None, no_cache=True) == EXIT_STATUS_SUCCESS
    )


def third_party(path):
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module or ""]
        for name in names:
            top = name.partition(".")[0]
            if top not in sys.stdlib_module_names and top not in {"sentinel", "_typeshed", *SHARED}:
                yield top


def test_each_library_is_imported_by_one_file():
    importers = {}
    for path in sorted((ROOT / "sentinel").rglob("*.py")):
        for library in third_party(path):
            importers.setdefault(library, set()).add(str(path.relative_to(ROOT)))
    shared = {library: files for library, files in importers.items() if len(files) > 1}
    assert shared == {}
