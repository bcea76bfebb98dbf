"""Coverage-guided fuzzing of the application parsers: `fuzz_apps.py PARSER SECONDS` (or `all`), run by `make fuzz`.

Invariant: no bytes raise, and what a flow holds stays bounded. Seeds are the sample conversations, in the framing of
`decode`: direction (1 byte), length (2 bytes), data. Needs atheris; without it the same loop runs on plain mutation, so
the script is of use on any machine. What guidance found stays in work/PARSER (not in the repository) and is where the
next run goes on. A crash is written to crash-PARSER beside the seeds.
"""

import importlib.util
import random
import sys
import time
from pathlib import Path

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


def mutate(rng, blob):
    data = bytearray(blob)
    for _ in range(rng.randint(1, 8)):
        place = rng.randrange(len(data) + 1)
        choice = rng.randrange(4)
        if choice == 0:
            data[place:place] = rng.randbytes(rng.randint(1, 8))
        elif choice == 1:
            del data[place : place + rng.randint(1, 8)]
        elif choice == 2 and place < len(data):
            data[place] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        else:
            data += data[place : place + rng.randint(1, 64)]
    return bytes(data)


def seeds(name):
    found = [encode(m) for key, (_, _, m) in conversations().items() if key.partition("-")[0] == name]
    return found or [encode([(0, bytes(64)), (1, bytes(64))])]


def attempt(name, blob):
    try:
        run(name, blob)
    except BaseException:
        (HERE / f"crash-{name}").write_bytes(blob)
        raise


def plain(name, seconds):
    rng, pool, count = random.Random(name), seeds(name), 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        blob = mutate(rng, rng.choice(pool))
        attempt(name, blob)
        count += 1
        if rng.random() < 0.01 and len(pool) < 1000:
            pool.append(blob)
    print(f"{name}: {count} runs in {seconds:.0f} s, no crash (plain mutation)")


def guided(name, seconds):
    import atheris

    corpus = HERE / "work" / name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds(name)):
        (corpus / f"seed-{number}").write_bytes(seed)
    with atheris.instrument_imports(include=["sentinel"]):
        run(name, b"")
    atheris.Setup(
        [sys.argv[0], str(corpus), f"-max_total_time={seconds:.0f}"], lambda blob: attempt(name, blob)
    )
    atheris.Fuzz()


def parser_names():
    from sentinel.protocol.apps.parsers import PARSERS

    return sorted(PARSERS)


def main():
    wanted, seconds = sys.argv[1], float(sys.argv[2])
    names = parser_names() if wanted == "all" else [wanted]
    have_atheris = importlib.util.find_spec("atheris") is not None
    for name in names:
        # atheris ends the process when its time is up, so it serves one parser a call.
        (guided if have_atheris and wanted != "all" else plain)(name, seconds)


if __name__ == "__main__":
    main()
