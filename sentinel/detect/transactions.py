"""Rules about application buffers: each is judged once per transaction, over as many packets as that takes.

In: a packet and its flow's transactions. Out: (rule number, transaction) pairs that matched now. What has matched of
a rule is kept with the transaction; header and packet conditions are judged when a rule first comes up, as in
Suricata's DetectRunTxInspectRule.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sentinel.detect.buffers import BUFFERS
from sentinel.detect.groups import ANY_APPLICATION
from sentinel.detect.rule import Check
from sentinel.detect.values import file_satisfied, satisfied
from sentinel.detect.verify import holds
from sentinel.detect.view import View

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sentinel.detect.costs import Costs
    from sentinel.detect.groups import Groups
    from sentinel.detect.readers import Reader, TxState
    from sentinel.detect.rule import Part, Rule
    from sentinel.detect.view import Scope
    from sentinel.model import Packet, Transaction

DONE = -1
STREAM_BIT = 1 << 62

# The step at which Suricata searches a buffer. Once a transaction is past it, Suricata keeps no state of a match,
# because the prefilter will not bring the rule up again. But a rule of negated contents always comes up, and HTTP/1
# header blocks are searched once more when the trailer of a chunked message was read.
_LINE, _HEADERS, _BODY, _TRAILER = 1, 2, 3, 4
_WITH_TRAILER = {"http.header", "http.header.raw"}
_LINES = "uri uri.raw method request_line protocol stat_code stat_msg response_line"
_FIELDS = (
    "header header.raw header_names start request_header response_header cookie user_agent host host.raw referer accept "
    "accept_enc accept_lang connection content_type content_len server location"
)
_HTTP = {
    **{f"http.{name}": _LINE for name in _LINES.split()},
    **{f"http.{name}": _HEADERS for name in _FIELDS.split()},
    **dict.fromkeys(("http.request_body", "http.response_body", "file.data"), _BODY),
}
_HELLO = (
    "tls.sni",
    "ja3.hash",
    "ja3.string",
    "ja3s.hash",
    "ja3s.string",
    "tls.random",
    "tls.random_time",
    "tls.random_bytes",
)
# The progress from which a part can be looked at, where the parser shows a value before that.
_READY: dict[str, dict[str, int]] = {
    "tls": dict.fromkeys(
        [
            "tls.certs",
            "tls.cert_subject",
            "tls.cert_issuer",
            "tls.cert_serial",
            "tls.cert_fingerprint",
            "tls.cert_chain_len",
            "tls_cert_notbefore",
            "tls_cert_notafter",
            "tls_cert_expired",
            "tls_cert_valid",
        ],
        1,
    ),
}
# Suricata's prefilter waits for the end of these protocols' messages, though a rule without a content need not.
_PREFILTERED_FROM = {"mqtt": 1}
_STEPS: dict[str, dict[str, int]] = {"http": _HTTP, "tls": dict.fromkeys(_HELLO, 0)}

# Applications whose parser tells of every change. As long as such a transaction is neither changed nor over, Suricata does
# not look at it either; a client that sends requests and waits for no answer would have all of them looked at with every packet.
_TOLD = frozenset({"http"})


class TransactionInspector:
    def __init__(
        self,
        groups: Groups,
        reader: Reader,
        fits: Callable[[int, Packet], bool],
        admits: Callable[[int, Packet, Scope], bool],
        scope: Callable[[Packet], Scope],
    ) -> None:
        self._groups = groups
        self._reader = reader
        self._fits = fits
        self._admits = admits
        self._scope = scope
        self.costs: Costs | None = None

    def inspect(self, packet: Packet) -> Iterator[tuple[int, Transaction]]:
        flow = packet.flow
        assert flow is not None
        direction = packet.direction
        stream: dict[int, bool] = {}
        standing: dict[str, set[int]] = {}
        for tx in tuple(flow.transactions):
            state = self._reader.state(tx)
            if len(tx.files) > state.files:
                self._rearm(tx, state)
            elif tx.inspected[direction]:
                continue
            changed = self._changed(tx, direction, state)
            if not (changed or packet.pseudo or tx.done[direction]) and tx.protocol in _TOLD:
                continue
            if tx.protocol not in standing:
                standing[tx.protocol] = self._standing(tx.protocol, packet)
            found = self._candidates(tx, direction, state, standing[tx.protocol], changed=changed)
            for number in sorted(found):
                started = time.perf_counter()
                matched = self._judge(number, packet, tx, state, stream)
                if self.costs is not None:
                    self.costs.add(number, time.perf_counter() - started, matched=matched)
                if matched:
                    yield number, tx
            if tx.done[direction]:
                tx.inspected[direction] = True

    def _rearm(self, tx: Transaction, state: TxState) -> None:
        """A new file: what rules say about files is judged again, as with Suricata's DETECT_ENGINE_STATE_FLAG_FILE_NEW."""
        if state.files:
            for direction, flags in enumerate(state.flags):
                for number, bits in flags.items():
                    about_files = self._groups.file_bits(number, direction)
                    if about_files:
                        every = (1 << len(self._groups.rules[number].parts[direction])) - 1 | STREAM_BIT
                        flags[number] = (every if bits == DONE else bits) & ~about_files
        state.files = len(tx.files)

    def _standing(self, protocol: str, packet: Packet) -> set[int]:
        """Rules that no pattern brings up, as far as their headers fit: the same for all transactions of the packet."""
        always, direction = self._groups.always, packet.direction
        return {
            number
            for name in (protocol, ANY_APPLICATION)
            if name in always
            for number in always[name][direction]
            if self._fits(number, packet)
        }

    def _candidates(
        self, tx: Transaction, direction: int, state: TxState, standing: set[int], *, changed: bool
    ) -> set[int]:
        groups = self._groups
        known = state.flags[direction]
        found = standing.union(number for number, flags in known.items() if flags != DONE)
        scanning = changed or tx.protocol != "http" or bool(tx.files)
        scanning = scanning and tx.progress[direction] >= _PREFILTERED_FROM.get(tx.protocol, 0)
        for protocol in (tx.protocol, ANY_APPLICATION):
            for key, matcher in groups.patterns.get(protocol, ((), ()))[direction] if scanning else ():
                if tx.progress[direction] < _READY.get(tx.protocol, {}).get(key[0], 0):
                    continue
                views = self._reader.views(tx, direction, key)
                if views and state.scanned.get((direction, key)) is not views:
                    state.scanned[direction, key] = views
                    for view in views:
                        found |= matcher.scan(view)
        if not changed:
            found -= groups.recurrent
        elif state.again[direction] and tx.buffers[direction].get("http.trailer"):
            for number in state.again[direction]:
                known.pop(number, None)
            found |= state.again[direction]
            state.again[direction].clear()
        return {number for number in found if known.get(number) != DONE}

    def _changed(self, tx: Transaction, direction: int, state: TxState) -> bool:
        """Whether a transaction has more to show in this direction than last time."""
        now = (tx.changes[direction], tx.done[direction])
        if state.progress[direction] == now:
            return False
        state.progress[direction] = now
        return True

    def _judge(
        self, number: int, packet: Packet, tx: Transaction, state: TxState, stream: dict[int, bool]
    ) -> bool:
        rule = self._groups.rules[number]
        direction = packet.direction
        parts = rule.parts[direction]
        if not parts or (rule.applications and tx.protocol not in rule.applications):
            return False
        known = state.flags[direction]
        flags = known.get(number)
        scope = self._scope(packet)
        if flags is None:
            if not self._admits(number, packet, scope):
                return False
            flags = 0
        for i, part in enumerate(parts):
            bit = 1 << i
            if flags & bit:
                continue
            if not self._part(part, tx, direction, scope):
                known[number] = flags
                return False
            flags |= bit
        if rule.payload and not flags & STREAM_BIT:
            if number not in stream:
                stream[number] = self._in_stream(rule, packet, scope)
            if not stream[number]:
                known[number] = flags
                return False
        known[number] = DONE
        if tx.protocol in _STEPS:
            self._stay_open(number, tx, state, direction)
        return True

    def _stay_open(self, number: int, tx: Transaction, state: TxState, direction: int) -> None:
        """Suricata keeps no state of a match once the transaction is past the step at which it searches the buffer."""
        buffer, negated = self._groups.rules[number].searched
        progress = tx.progress[direction]
        if progress <= _STEPS[tx.protocol].get(buffer, progress):
            return
        if negated:
            del state.flags[direction][number]
        elif buffer in _WITH_TRAILER and progress < _TRAILER:
            state.again[direction].add(number)

    def _part(self, part: Part, tx: Transaction, direction: int, scope: Scope) -> bool:
        ready = _READY.get(tx.protocol)
        if ready is not None and tx.progress[direction] < ready.get(part.buffer, 0):
            return False
        if part.buffer in BUFFERS:
            views = self._reader.views(tx, direction, (part.buffer, part.transforms))
            return any(holds(part.matches, view, scope) for view in views)
        check = part.matches[0]
        assert isinstance(check, Check)
        if part.buffer == "file":
            return file_satisfied(tx, direction, tuple(m.args for m in part.matches if isinstance(m, Check)))
        if part.buffer == "app-layer-event":
            return check.args[1] in tx.events
        if part.buffer == "ftpbounce":
            return bool(self._reader.value(tx, direction, "ftpbounce"))
        value = self._reader.value(tx, direction, part.buffer)
        return value is not None and satisfied(value, check.args[0], check.args[1:])

    def _in_stream(self, rule: Rule, packet: Packet, scope: Scope) -> bool:
        data = packet.stream_data if packet.proto == 6 else packet.payload
        return bool(data) and holds(rule.payload, View(data or b""), scope)
