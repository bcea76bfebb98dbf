"""One compiled network rule: what the header asks of a packet, what each buffer must hold, what a match does.

In: nothing; these are values. Out: `Rule` and its parts, as named tuples, because 14,000 of them are loaded from a
cache in well under a second and take little memory that way. Invariant: a Rule is complete and self-contained; it
never refers to its text again. Keyword semantics: Suricata 7 rule manual ("Payload Keywords" and so on).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from sentinel.detect.addresses import AddressSet, PortSet

Number = int | str  # a literal, or the name of a byte_extract/byte_math variable


class Content(NamedTuple):
    pattern: bytes  # lower case when `nocase`
    nocase: bool = False
    negated: bool = False
    offset: Number = 0
    depth: Number | None = None
    distance: Number | None = None
    within: Number | None = None
    endswith: bool = False
    chained: bool = False  # the next match is relative to this one
    fast: bool = False  # the writer asked for this content as fast pattern
    startswith: bool = False
    placed: bool = False  # has a depth or an offset, be it 0
    only: bool = False  # fast_pattern:only, which nothing may be relative to
    written: bytes = b""  # with its capitals, until the rule was checked

    @property
    def relative(self) -> bool:
        return self.distance is not None or self.within is not None


class Pcre(NamedTuple):
    pattern: bytes
    flags: str = ""
    negated: bool = False
    relative: bool = False
    chained: bool = False
    captures: tuple[tuple[str, str], ...] = ()  # (flow | pkt | alert, name) for each group


class IsDataAt(NamedTuple):
    position: Number
    relative: bool = False
    negated: bool = False


class ByteTest(NamedTuple):
    width: Number
    operator: str
    negated: bool
    value: Number
    offset: Number
    relative: bool = False
    little: bool = False
    base: int = 0  # of a number written as text; 0 = binary
    mask: int = 0
    dce: bool = False


class ByteJump(NamedTuple):
    width: Number
    offset: Number
    relative: bool = False
    little: bool = False
    base: int = 0
    multiplier: int = 1
    align: bool = False
    from_beginning: bool = False
    from_end: bool = False
    post_offset: int = 0
    mask: int = 0
    dce: bool = False


class ByteExtract(NamedTuple):
    width: int
    offset: int
    name: str
    relative: bool = False
    little: bool = False
    base: int = 0
    multiplier: int = 1
    align: int = 0
    dce: bool = False


class ByteMath(NamedTuple):
    width: Number
    offset: int
    operator: str
    value: Number
    name: str
    relative: bool = False
    little: bool = False
    base: int = 0
    mask: int = 0
    dce: bool = False


class Size(NamedTuple):
    """bsize and urilen: length of the buffer."""

    low: int
    high: int
    negated: bool = False


class Base64Decode(NamedTuple):
    """Decodes at this place; `inner` (from base64_data) must match the decoded bytes."""

    width: int = 0
    offset: int = 0
    relative: bool = False
    inner: tuple[Any, ...] = ()


class InSet(NamedTuple):
    """dataset and datarep: the whole buffer is (not) in a named set, or is put in or taken out."""

    command: str
    name: str
    kind: str
    operator: str = ""
    value: int = 0


class Check(NamedTuple):
    """A keyword that is not about bytes of a buffer; `name` finds its function in a table of `checks` or `values`."""

    name: str
    args: tuple[Any, ...] = ()


Match = (
    Content
    | Pcre
    | IsDataAt
    | ByteTest
    | ByteJump
    | ByteExtract
    | ByteMath
    | Size
    | Base64Decode
    | InSet
    | Check
)


class Part(NamedTuple):
    """All matches on one buffer, in the order of the rule."""

    buffer: str
    matches: tuple[Match, ...]
    transforms: tuple[Check, ...] = ()


class Threshold(NamedTuple):
    kind: str  # limit, threshold, both, detection_filter, rate_filter, suppress
    track: str  # by_src, by_dst, by_both, by_rule, by_flow
    limit: int
    seconds: int
    action: str = ""
    timeout: int = 0
    addresses: AddressSet | None = None


class FastPattern(NamedTuple):
    """The content that must occur before the rule is looked at."""

    buffer: str  # "payload" or a sticky buffer
    pattern: bytes
    nocase: bool
    transforms: tuple[Check, ...] = ()


class Rule(NamedTuple):
    action: str
    protocol: str  # as written
    sid: int
    rev: int
    gid: int
    msg: str
    category: str
    severity: int
    metadata: tuple[tuple[str, tuple[str, ...]], ...]
    references: tuple[str, ...]
    path: str
    line: int
    # header
    ip_protocols: frozenset[int] | None  # None = any
    version: int  # 4, 6, or 0 for both
    applications: frozenset[str]  # empty = any
    source: AddressSet
    source_ports: PortSet
    destination: AddressSet
    destination_ports: PortSet
    both_ways: bool
    directions: tuple[bool, bool]  # looks at packets to_server, to_client
    # conditions
    mode: str  # what payload matches look at: packet, stream, both; "pkthdr" for undecodable packets too
    checks: tuple[Check, ...]
    payload: tuple[Match, ...]
    packet_parts: tuple[Part, ...]
    parts: tuple[tuple[Part, ...], tuple[Part, ...]]  # application buffers for to_server and to_client
    # effects
    noalert: bool
    post: tuple[Check, ...]
    thresholds: tuple[Threshold, ...]
    ip_only: bool
    stateful: bool  # inspected once per transaction
    fast: FastPattern | None
    keywords: frozenset[str]
    about_flow: bool = False  # only about hosts and protocols, so that it speaks for the flow
    about_recognition: bool = False  # once, when it is known what a direction speaks
    about_packets: bool = False  # never for packets that stand for the end of a flow
    bound: bool = False  # has a keyword about one packet's headers
    sets: tuple[tuple[str, str, str, str], ...] = ()  # data sets it uses: name, type, file read, file written
    # The buffer that Suricata's prefilter searches for the rule, and whether for a negated content.
    searched: tuple[str, bool] = ("", False)
    absent: Content | None = None  # of a rule with negated contents only: must not be in what is inspected

    @property
    def level(self) -> str:
        """Sigma's word for Suricata's number."""
        return {1: "high", 2: "medium", 3: "low"}.get(self.severity, "informational")
