"""What a program says in a log message -> ECS fields: who, from where, whether it failed.

In: the program's name as logged and its message. Out: a Record, empty when the message says nothing of the kind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sentinel.protocol.logs.lines import Record


def interpret(program: bytes, text: bytes) -> Record:
    return {}
