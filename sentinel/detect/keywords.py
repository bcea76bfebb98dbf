"""Keyword -> parser, for every rule keyword Sentinel knows. One literal table, gathered from the families."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentinel.detect.keywords_app import APPLICATION
from sentinel.detect.keywords_bytes import BYTES
from sentinel.detect.keywords_content import CONTENT
from sentinel.detect.keywords_file import FILES
from sentinel.detect.keywords_flow import FLOW
from sentinel.detect.keywords_meta import META
from sentinel.detect.keywords_packet import PACKET
from sentinel.detect.keywords_transform import TRANSFORMS

if TYPE_CHECKING:
    from collections.abc import Callable

    from sentinel.detect.draft import Draft

KEYWORDS: dict[str, Callable[[Draft, str | None], None]] = {
    **META,
    **CONTENT,
    **BYTES,
    **PACKET,
    **FLOW,
    **APPLICATION,
    **FILES,
    **TRANSFORMS,
}
