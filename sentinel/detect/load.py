"""Rule files -> rules in force, with every refusal named; a parsed set is kept in a cache under a hash of its input.

In: files or folders of *.rules, variables. Out: `Loaded`. One bad rule never stops the others. The cache holds
pickled named tuples; it is only read from a folder that belongs to this user, and any doubt means parsing anew.
"""

from __future__ import annotations

import gc
import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sentinel.detect import ordering
from sentinel.detect.classes import CLASSES, read_classes
from sentinel.detect.stored import keep, recall
from sentinel.detect.suricata import Context, parse_rule
from sentinel.errors import InvalidInputError, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from sentinel.detect.rule import Rule

_SID = re.compile(r"\bsid\s*:\s*(\d+)")


@dataclass(slots=True)
class Failure:
    path: str
    line: int
    rule: str  # its sid, as far as it could be read
    reason: str

    def problem(self) -> Problem:
        return Problem(self.path, self.line, f"rule {self.rule}: {self.reason}")


@dataclass(slots=True)
class Loaded:
    rules: list[Rule] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)
    skipped: int = 0  # rules that say themselves that they are for another engine (requires)
    digest: str = ""


def rule_files(paths: Iterable[str | Path]) -> list[Path]:
    found: list[Path] = []
    problems = []
    for given in paths:
        path = Path(given)
        if path.is_dir():
            found += sorted(path.rglob("*.rules"))
        elif path.is_file():
            found.append(path)
        else:
            problems.append(Problem(str(path), 0, "no such file or folder"))
    if problems:
        raise InvalidInputError(problems)
    return found


def load(paths: Iterable[str | Path], variables: Mapping[str, str], cache: Path | None = None) -> Loaded:
    files = [(path, path.read_bytes()) for path in rule_files(paths)]
    classes = dict(CLASSES)
    for folder in {path.parent for path, _ in files}:
        beside = folder / "classification.config"
        if beside.is_file():
            classes |= read_classes(beside.read_text("utf-8", "replace"))
    digest = _digest(files, variables, classes)
    stored = cache / f"{digest}.rules.pickle" if cache is not None else None
    found = recall(stored) if stored is not None else None
    if isinstance(found, Loaded):
        return found
    loaded = _parse_all(files, variables, classes)
    loaded.digest = digest
    if stored is not None:
        keep(stored, loaded)
    return loaded


def _parse_all(
    files: list[tuple[Path, bytes]], variables: Mapping[str, str], classes: Mapping[str, tuple[str, int]]
) -> Loaded:
    loaded = Loaded()
    known: dict[tuple[int, int], int] = {}
    collecting = gc.isenabled()
    gc.disable()  # nothing here is garbage; the collector would walk ever more tuples
    try:
        for path, content in files:
            context = Context(variables, classes, str(path.parent))
            for number, text in rule_lines(content):
                try:
                    rule = parse_rule(text, context, str(path), number)
                except ValueError as error:
                    _refuse(loaded, str(path), number, text, str(error))
                else:
                    _keep_newest(loaded, known, rule)
    finally:
        if collecting:
            gc.enable()
    loaded.rules = ordering.ordered(loaded.rules)
    return loaded


def _refuse(loaded: Loaded, path: str, number: int, text: str, reason: str) -> None:
    if reason.startswith("requires: needs"):
        loaded.skipped += 1
        return
    sid = _SID.search(text)
    loaded.failed.append(Failure(path, number, sid[1] if sid else "?", reason))


def _keep_newest(loaded: Loaded, known: dict[tuple[int, int], int], rule: Rule) -> None:
    """Of rules with the same sid the one with the highest rev is meant."""
    before = known.setdefault((rule.gid, rule.sid), len(loaded.rules))
    if before == len(loaded.rules):
        loaded.rules.append(rule)
    elif loaded.rules[before].rev < rule.rev:
        loaded.rules[before] = rule
    else:
        older = loaded.rules[before]
        reason = f"same sid as {older.path}:{older.line}, and no newer rev"
        loaded.failed.append(Failure(rule.path, rule.line, str(rule.sid), reason))


def rule_lines(content: bytes) -> Iterator[tuple[int, str]]:
    """(number of its first line, text) of each rule; a backslash at the end of a line continues it."""
    pending, start = "", 0
    for number, raw in enumerate(content.decode("latin-1").split("\n"), 1):
        line = raw.rstrip()
        if not pending:
            start = number
            if not line.strip() or line.lstrip().startswith("#"):
                continue
        if line.endswith("\\"):
            pending += line[:-1]
            continue
        yield start, (pending + line).strip()
        pending = ""
    if pending.strip():
        yield start, pending.strip()


# --- cache -----------------------------------------------------------------------------------------------------------
def _code_digest() -> bytes:
    """Rules parsed by other code than this are not these rules."""
    folder = Path(__file__).parent
    digest = hashlib.blake2b()
    for path in sorted(folder.glob("*.py")):
        stat = path.stat()
        digest.update(f"{path.name} {stat.st_size} {stat.st_mtime_ns}".encode())
    return digest.digest()


def _digest(
    files: list[tuple[Path, bytes]], variables: Mapping[str, str], classes: Mapping[str, tuple[str, int]]
) -> str:
    digest = hashlib.blake2b(_code_digest(), digest_size=16)
    for path, content in files:
        digest.update(f"\0{path}\0{len(content)}\0".encode() + content)
    digest.update(repr((sorted(variables.items()), sorted(classes.items()))).encode())
    return digest.hexdigest()
