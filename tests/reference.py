"""The README's reference tables, made from the code. `python tests/reference.py` writes them between their markers."""

import re
import sys
import typing
from enum import Enum
from pathlib import Path

import pydantic

from sentinel import metrics
from sentinel.config import Config

README = Path(__file__).parent.parent / "README.md"


def models_in(annotation):
    """Settings models named anywhere inside a type."""
    if isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel):
        return [annotation]
    return [model for inner in typing.get_args(annotation) for model in models_in(inner)]


def rows(model, prefix=""):
    for name, field in model.model_fields.items():
        inner = models_in(field.annotation)
        many = "NAME." if typing.get_origin(field.annotation) is dict and inner else ""
        if not inner:
            yield f"{prefix}{name}", default(field)
        for one in dict.fromkeys(inner):
            yield from rows(one, f"{prefix}{name}.{many}")


def default(field):
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=False)
    if isinstance(value, Enum):
        return value.value
    if value is None or value == "" or "Undefined" in repr(value):
        return "host name" if "Undefined" in repr(value) else "–"
    return str(value).lower() if isinstance(value, bool) else str(value)


def settings_table():
    return [f"| `{name}` | {value} |" for name, value in dict.fromkeys(rows(Config))]


def metrics_table():
    declared = [m for m in vars(metrics).values() if isinstance(m, metrics.Metric)]
    return [f"| `{m.name}` | {', '.join(m.labels) or '–'} | {m.help} |" for m in declared]


TABLES = {"settings": settings_table, "metrics": metrics_table}


def with_tables(text):
    for name, table in TABLES.items():
        block = "\n".join(table())
        pattern = rf"(<!-- {name} -->\n(?:\|[^\n]*\n){{2}}).*?(<!-- /{name} -->)"
        text = re.sub(pattern, lambda m, block=block: f"{m[1]}{block}\n{m[2]}", text, flags=re.DOTALL)
    return text


if __name__ == "__main__":
    README.write_text(with_tables(README.read_text()))
    sys.exit(0)
