"""Application protocols: in-order bytes of a flow in, transactions with Suricata's sticky buffers out.

`layer.AppLayer` is the one entry. It recognises the protocol (`recognise`), keeps one parser per flow and gives it the
bytes of both directions; each protocol is one module (or a family with one prefix). Parsers are sans-I/O, never raise
on traffic and hold a constant amount of state.
"""

from sentinel.protocol.apps.layer import AppLayer

__all__ = ["AppLayer"]
