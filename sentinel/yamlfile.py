"""YAML files an operator writes -> pydantic models; every mistake is reported as path:line, all at once.

Unknown keys, wrong types, duplicate keys, bad YAML, a file that cannot be read: InvalidInputError with one Problem
each. Lines come from PyYAML's node marks: pydantic names the place (`loc`), the node tree knows its line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import pydantic
import yaml

from sentinel.errors import InvalidInputError, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

Model = TypeVar("Model", bound=pydantic.BaseModel)
LARGEST_FILE_BYTES = 16 * 1024 * 1024  # a configuration beyond this is a mistake, not a configuration

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Settings(pydantic.BaseModel):
    """Base of all configuration models: unknown keys are errors, values do not change after loading."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


def load(path: Path, model: type[Model]) -> Model:
    text = read(path)
    return parse(text, model, str(path))


def read(path: Path) -> str:
    try:
        if path.stat().st_size > LARGEST_FILE_BYTES:
            raise InvalidInputError([Problem(str(path), 0, f"larger than {LARGEST_FILE_BYTES} bytes")])
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InvalidInputError([Problem(str(path), 0, error.strerror or str(error))]) from None
    except UnicodeDecodeError as error:
        raise InvalidInputError([Problem(str(path), 0, f"not UTF-8 (byte {error.start})")]) from None


def parse(text: str, model: type[Model], path: str) -> Model:
    root = compose(text, path)
    problems = list(_duplicates(root, path)) if root is not None else []
    data = construct(root, path) if root is not None else {}
    try:
        value = model.model_validate({} if data is None else data)
    except pydantic.ValidationError as error:
        problems += [_problem(detail, root, path) for detail in error.errors(include_url=False)]
        raise InvalidInputError(problems) from None
    if problems:
        raise InvalidInputError(problems)
    return value


def data(path: Path) -> Any:
    """What a file holds, unchecked."""
    root = compose(read(path), str(path))
    return None if root is None else construct(root, str(path))


def right_sections(content: Any, model: type[Model]) -> Model:
    """Of a file with mistakes, the sections that are valid by themselves."""
    kept = {}
    for name, section in content.items() if isinstance(content, dict) else ():
        try:
            model.model_validate({name: section})
        except pydantic.ValidationError:
            continue
        kept[name] = section
    return model.model_validate(kept)


def compose(text: str, path: str) -> yaml.Node | None:
    """The node tree of one document; nodes carry their line (`start_mark.line`, 0-based)."""
    try:
        return yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise _invalid(path, error) from None


def construct(node: yaml.Node, path: str) -> Any:
    """Plain Python data (dict, list, str, int ...) of a node; tags that would build objects are refused."""
    loader = yaml.SafeLoader("")
    try:
        return loader.construct_document(node)
    except yaml.YAMLError as error:
        raise _invalid(path, error) from None
    finally:
        loader.dispose()


def load_all(text: str, path: str) -> list[tuple[Any, int]]:
    """All documents of a file with their first line (1-based): for Sigma's multi-document files."""
    try:
        return [
            (construct(node, path), node.start_mark.line + 1)
            for node in yaml.compose_all(text, Loader=_Loader)
            if node is not None
        ]
    except yaml.YAMLError as error:
        raise _invalid(path, error) from None


def dump(data: Any) -> str:
    return str(yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=110))


def line_of(root: yaml.Node | None, location: Iterable[int | str]) -> int:
    """1-based line of a place such as ("inbound", 2, "from"); the nearest parent's where it does not exist."""
    node, line = root, 1
    for key in location:
        if isinstance(node, yaml.MappingNode):
            found = next(((k, v) for k, v in node.value if k.value == str(key)), None)
            if found is None:
                continue  # pydantic adds names of union branches to a location
            line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
            node = node.value[key]
            line = node.start_mark.line + 1
    return line


def _problem(detail: Any, root: yaml.Node | None, path: str) -> Problem:
    location = detail["loc"]
    name = ".".join(str(part) for part in location)
    if detail["type"] == "extra_forbidden":
        text = f"unknown key {name!r}"
    elif detail["type"] == "missing":
        text = f"missing key {name!r}"
    else:
        text = f"{name}: {detail['msg'].removeprefix('Value error, ')}" if name else detail["msg"]
    return Problem(path, line_of(root, location), text)


def _invalid(path: str, error: yaml.YAMLError) -> InvalidInputError:
    mark = getattr(error, "problem_mark", None)
    what = getattr(error, "problem", None) or str(error)
    return InvalidInputError([Problem(path, mark.line + 1 if mark else 0, f"not valid YAML: {what}")])


def _duplicates(root: yaml.Node, path: str) -> Iterable[Problem]:
    """Each node once: aliases make a graph of what looks like a tree, and a hostile one an endless walk."""
    pending, seen = [root], {id(root)}
    while pending:
        node = pending.pop()
        children: list[yaml.Node] = []
        if isinstance(node, yaml.MappingNode):
            yield from _repeated_keys(node, path)
            children = [value for _, value in node.value]
        elif isinstance(node, yaml.SequenceNode):
            children = node.value
        fresh = [child for child in children if id(child) not in seen]
        seen.update(map(id, fresh))
        pending += fresh


def _repeated_keys(node: yaml.MappingNode, path: str) -> Iterable[Problem]:
    names: set[str] = set()
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode):
            if key.value in names:
                yield Problem(path, key.start_mark.line + 1, f"key {key.value!r} appears twice")
            names.add(key.value)
