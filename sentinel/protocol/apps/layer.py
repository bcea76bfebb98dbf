"""The application layer of a flow: recognise the protocol, hand bytes to its parser, follow protocol changes.

In: `feed` (in-order TCP bytes of one direction) and `datagram` (UDP). Out: touched transactions; Flow.app_proto,
Flow.transactions and Flow.app_state are kept up to date. Semantics are those of Suricata 7 (app-layer.c): each
direction is recognised on its own, one may carry the other, and disagreement is an event of the packet.
Invariants: never raises on traffic; undecided bytes are bounded by MAX_UNDECIDED a direction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentinel import metrics
from sentinel.protocol.apps import probes
from sentinel.protocol.apps.ftp import MAX_EXPECTED, FtpData, Transfer
from sentinel.protocol.apps.http1 import Http1
from sentinel.protocol.apps.options import AppOptions
from sentinel.protocol.apps.parsers import PARSERS
from sentinel.protocol.apps.recognise import CLIENT_FIRST, TCP, UDP, recognise
from sentinel.protocol.apps.session import Session

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sentinel.model import Flow, Transaction
    from sentinel.protocol.apps.session import Parser

# Suricata gives up after this much data of one side, whatever the probes still hope for.
MAX_UNDECIDED = 4096
_FAILED = "failed"


class AppLayer:
    """One for all flows; all state is in the flows, except what one flow expects of another (FTP data)."""

    def __init__(self, options: Mapping[str, str] | None = None) -> None:
        self.options = AppOptions.read(options or {})
        self.expected: dict[tuple[bytes, bytes, int], Transfer] = {}

    # --- input --------------------------------------------------------------------------------------------------
    def feed(
        self, flow: Flow, to_server: bool, data: bytes, *, eof: bool = False, gap: int = 0, time: int = 0
    ) -> list[Transaction]:
        session = self._session(flow, time)
        direction = 0 if to_server else 1
        if session.stopped:
            return []
        if session.blind[direction]:
            self._parse(session, direction, data, gap)
        elif session.detected[direction] is None and gap:
            # What follows a gap is not looked at for a protocol; it is parsed when the other side told it. The
            # parser hears of the gap if there is one already, and most parsers end there.
            session.blind[direction] = True
            session.pending[direction] = b""
            self._parse(session, direction, data, gap)
        elif session.detected[direction] is None:
            if data:
                self._recognise(session, direction, data)
        elif data or gap:
            self._parse(session, direction, data, gap)
        if eof and session.parser is not None and not session.stopped:
            self._parse(session, direction, b"", 0, eof=True)
        return session.take()

    def datagram(self, flow: Flow, to_server: bool, payload: bytes, time: int = 0) -> list[Transaction]:
        session = self._session(flow, time)
        direction = 0 if to_server else 1
        if session.stopped or not payload:
            return []
        if session.detected[direction] is None:
            direction = self._recognise_datagram(session, direction, payload)
        if session.parser is not None:
            self._parse(session, direction, payload, 0)
        return session.take()

    def _recognise_datagram(self, session: Session, direction: int, payload: bytes) -> int:
        """Each direction is recognised by its first datagram; a direction that cannot be speaks what the other does.

        Returns the direction, which may turn out to be the other one.
        """
        flow = session.flow
        ports = (flow.sport, flow.dport)
        other = session.detected[1 - direction]
        found = recognise(UDP, ports, direction, payload, self.options.recognises_udp, other or "")
        if not found and flow.packets[1 - direction] == 0:
            found = recognise(UDP, ports, 1 - direction, payload, self.options.recognises_udp)
            if found:
                direction = 1 - direction
                session.reversed = True
        if found == "dns" and probes.dns_answer(payload) and direction == 0 and not flow.packets[1]:
            direction, session.reversed = 1, True  # the answer came first
        found = found or other or ""
        if other and found != other:
            session.packet_events.append("applayer.applayer_mismatch_protocol_both_directions")
        session.detected[direction] = found
        flow.app_protos[direction] = found or _FAILED
        flow.recognised[:] = [True, True]
        if found and session.parser is None:
            self._start(session, found)
        elif not found:
            flow.app_proto = _FAILED
            session.stopped = other == ""
        return direction

    def take_events(self, flow: Flow) -> list[str]:
        """Packet-level events since the last call ("applayer.NAME")."""
        session: Session | None = flow.app_state
        if session is None or not session.packet_events:
            return []
        events, session.packet_events = session.packet_events, []
        return events

    def take_reversed(self, flow: Flow) -> bool:
        """True once when the flow turned out to run the other way; the caller turns packet and flow around."""
        session: Session | None = flow.app_state
        if session is None or not session.reversed:
            return False
        session.reversed = False
        return True

    def prune(self, flow: Flow) -> None:
        """Forget transactions that are complete and inspected in both directions."""
        if flow.transactions:
            flow.transactions[:] = [t for t in flow.transactions if not (all(t.done) and all(t.inspected))]

    # --- recognition --------------------------------------------------------------------------------------------
    def _session(self, flow: Flow, time: int) -> Session:
        session: Session | None = flow.app_state
        if session is None:
            session = flow.app_state = Session(flow, self.options)
        session.time = time
        return session

    def _recognise(self, session: Session, direction: int, data: bytes) -> None:
        flow = session.flow
        if session.first < 0:
            session.first = direction
        pending = session.pending[direction] + data
        session.pending[direction] = pending
        if session.parser is None and (transfer := self.take_expected(flow)) is not None:
            self._start_data(session, transfer)
            return
        known = session.detected[1 - direction] or ""
        ports = (flow.sport, flow.dport)
        found = recognise(TCP, ports, direction, pending, self.options.recognises_tcp, known)
        if session.wanted == "http2" and not found:
            settings = probes.http2_settings(pending) if direction else False
            found = None if settings is None else "http2" if settings else found
        if found is None and len(pending) > MAX_UNDECIDED:
            found = ""
        if not found and (reverse := self._reverse(session, direction, pending)):
            session.pending.reverse()
            session.first = 1 - direction
            session.reversed = True
            direction, found = 1 - direction, reverse
            if found in CLIENT_FIRST and direction == 1:
                session.first = 2  # a midstream pick-up may begin with the answer
        if found is None:
            return
        if found == "":
            self._give_up(session, direction, pending)
            return
        self._found(session, direction, found)

    def _reverse(self, session: Session, direction: int, pending: bytes) -> str | None:
        """A session picked up midstream may have been seen from the wrong end."""
        stream = session.flow.stream_state
        if not getattr(stream, "midstream", False) or getattr(stream, "midstream_syn_ack", False):
            return None
        if session.parser is not None or session.detected[1 - direction] is not None:
            return None
        flow = session.flow
        return recognise(TCP, (flow.sport, flow.dport), 1 - direction, pending, self.options.recognises_tcp)

    def _found(self, session: Session, direction: int, found: str) -> None:
        flow = session.flow
        known = session.detected[1 - direction]
        if known and known != found:
            session.packet_events.append("applayer.applayer_mismatch_protocol_both_directions")
            found = known
        session.detected[direction] = found
        flow.app_protos[direction] = found
        flow.recognised[direction] = True
        if session.parser is None:
            if session.wanted and session.wanted != found:
                session.packet_events.append("applayer.applayer_unexpected_protocol")
            if found in CLIENT_FIRST and session.first == 1:
                self._wrong_direction(session)
                return
            self._start(session, found)
            if session.first != direction and session.detected[1 - direction] is None:
                self._other_side(session, 1 - direction)
        self._flush(session, direction)

    def _other_side(self, session: Session, direction: int) -> None:
        """The direction that spoke first stayed unknown: it speaks the protocol of the other one now."""
        flow = session.flow
        pending = session.pending[direction]
        ports = (flow.sport, flow.dport)
        known = session.detected[1 - direction] or ""
        if pending and recognise(TCP, ports, direction, pending, self.options.recognises_tcp, known) == "":
            self._one_direction(session, direction)

    def _give_up(self, session: Session, direction: int, pending: bytes) -> None:
        if session.detected[1 - direction]:
            protocol = session.detected[1 - direction]
            if protocol in CLIENT_FIRST and session.first == 1:
                self._wrong_direction(session)
                return
            self._one_direction(session, direction)
            return
        session.detected[direction] = ""
        if session.detected[1 - direction] == "" or len(pending) > MAX_UNDECIDED:
            self._fail(session)
        else:
            session.detected[direction] = None
            session.exhausted[direction] = True
            if all(session.exhausted):
                self._fail(session)

    def _one_direction(self, session: Session, direction: int) -> None:
        session.packet_events.append("applayer.applayer_detect_protocol_only_one_direction")
        session.detected[direction] = session.detected[1 - direction]
        session.flow.app_protos[direction] = (
            _FAILED  # its own was not found; it is parsed as the other side's
        )
        session.flow.recognised[direction] = True
        self._flush(session, direction)

    def _wrong_direction(self, session: Session) -> None:
        session.packet_events.append("applayer.applayer_wrong_direction_first_data")
        self._fail(session)

    def _fail(self, session: Session) -> None:
        session.stopped = True
        session.pending = [b"", b""]
        if session.wanted == "tls":
            session.packet_events.append("applayer.applayer_no_tls_after_starttls")
        flow = session.flow
        for direction in (0, 1):
            if flow.app_protos[direction] != _FAILED:
                flow.recognised[direction] = True
            flow.app_protos[direction] = flow.app_protos[direction] or _FAILED
        flow.app_proto = flow.app_proto or _FAILED

    def expect(self, key: tuple[bytes, bytes, int], transfer: Transfer) -> None:
        """A data flow from key[0] to port key[2] of key[1] will carry `transfer`."""
        if len(self.expected) >= MAX_EXPECTED:
            del self.expected[next(iter(self.expected))]
        self.expected[key] = transfer

    def take_expected(self, flow: Flow) -> Transfer | None:
        return self.expected.pop((flow.src, flow.dst, flow.dport), None) if self.expected else None

    # --- parsing ------------------------------------------------------------------------------------------------
    def _start(self, session: Session, protocol: str) -> None:
        session.flow.app_proto = protocol
        make = PARSERS.get(protocol)
        if make is None or not self.options.parses(protocol):
            session.stopped = True  # recognised only
            return
        session.parser = make(session, self)

    def _start_data(self, session: Session, transfer: Transfer) -> None:
        session.flow.app_proto = "ftp-data"
        session.flow.app_protos[:] = ["ftp-data", "ftp-data"]
        session.detected = ["ftp-data", "ftp-data"]
        session.parser = FtpData(session, transfer)
        for direction in (0, 1):
            self._flush(session, direction)

    def _flush(self, session: Session, direction: int) -> None:
        pending, session.pending[direction] = session.pending[direction], b""
        if pending and not session.stopped:
            self._parse(session, direction, pending, 0)

    def _parse(self, session: Session, direction: int, data: bytes, gap: int, *, eof: bool = False) -> None:
        parser: Parser | None = session.parser
        if parser is None:
            return
        if not parser.feed(direction, data, gap=gap, eof=eof):
            self._broken(session)
        elif session.change is not None:
            self._change(session)

    def _broken(self, session: Session) -> None:
        """The traffic is not what it seemed: rules see what there is, the rest of the flow is not parsed."""
        metrics.app_errors.inc(protocol=session.flow.app_proto)
        if session.flow.proto == UDP:
            return  # the next datagram stands for itself
        session.stopped = True
        for transaction in session.flow.transactions:
            transaction.done[:] = [True, True]

    def _change(self, session: Session) -> None:
        """STARTTLS, CONNECT, Upgrade: recognise again from the next byte on."""
        session.wanted, session.change = session.change or "", None
        leftover = [b"", b""]
        if isinstance(session.parser, Http1):
            leftover = [session.parser.leftover(direction) for direction in (0, 1)]
        session.parser = None
        session.detected = [None, None]
        session.exhausted = [False, False]
        session.pending = [b"", b""]
        session.first = 2  # who spoke first no longer matters
        session.changed_from = session.flow.app_proto
        for direction in (1, 0):
            if leftover[direction] and not session.stopped:
                self._recognise(session, direction, leftover[direction])
