"""Coverage-guided fuzzing of the application parsers: `fuzz_apps.py PARSER SECONDS` (or `all`), run by `make fuzz`.

Invariant: no bytes raise, and what a flow holds stays bounded. Seeds are the sample conversations, in the framing of
`decode`: direction (1 byte), length (2 bytes), data. The loop is in fuzzing.py.
"""

import importlib.util
from functools import partial
from pathlib import Path

import fuzzing

HERE = Path(__file__).parent
DATAGRAMS = {"dns", "sip", "snmp", "krb5", "dhcp", "tftp", "ntp", "ike", "quic"}


def conversations():
    spec = importlib.util.spec_from_file_location("conversations", HERE / "conversations.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.CONVERSATIONS


def encode(messages):
    return b"".join(bytes((side,)) + len(data).to_bytes(2, "big") + data for side, data in messages)


def decode(blob):
    pos = 0
    while pos + 3 <= len(blob):
        size = int.from_bytes(blob[pos + 1 : pos + 3], "big") % 2048
        yield blob[pos] & 1, 7 if blob[pos] & 0x80 else 0, blob[pos + 3 : pos + 3 + size]
        pos += 3 + size


def run(name, blob):
    from sentinel.model import Flow
    from sentinel.protocol.apps import AppLayer
    from sentinel.protocol.apps.session import MAX_FILE_BYTES, MAX_LIVE

    layer = AppLayer({"app-layer.protocols.pgsql.enabled": "yes"})
    datagrams = name in DATAGRAMS
    flow = Flow(1, 17 if datagrams else 6, b"\x0a\0\0\1", b"\x0a\0\0\2", 40000, 40001, 0, 0)
    session = layer._session(flow, 0)
    layer._found(session, 0, name)
    session.detected = [name, name]
    for side, gap, data in decode(blob):
        if datagrams:
            layer.datagram(flow, side == 0, data)
        else:
            layer.feed(flow, side == 0, data, gap=gap)
    if not datagrams:
        for side in (True, False):
            layer.feed(flow, side, b"", eof=True)
    assert len(flow.transactions) <= MAX_LIVE
    for transaction in flow.transactions:
        assert all(len(file.data) <= MAX_FILE_BYTES for file in transaction.files)
        for word in ("eve", "http.header", "http.response_body", "http.start", "http.header_names"):
            for side in (0, 1):
                if transaction.derive:
                    transaction.derive(transaction, side, word)


def seeds(name):
    found = [encode(m) for key, (_, _, m) in conversations().items() if key.partition("-")[0] == name]
    return found or [encode([(0, bytes(64)), (1, bytes(64))])]


def targets():
    from sentinel.protocol.apps.parsers import PARSERS

    return {name: (partial(run, name), partial(seeds, name)) for name in sorted(PARSERS)}


if __name__ == "__main__":
    fuzzing.main(targets)
