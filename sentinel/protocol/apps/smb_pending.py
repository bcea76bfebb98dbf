"""An SMB request between being seen and being answered; what both dialects and the connection share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sentinel.model import Transaction


@dataclass(slots=True)
class Pending:
    """A request that waits for its answer."""

    transaction: Transaction | None
    command: str = ""
    name: bytes = b""
    file: bytes = b""
    offset: int = 0
