"""Loads of `make bench-hostile`, small: nothing raises, and every table stays within its bound."""

import importlib.util
import sys
from pathlib import Path

import pytest

from sentinel.protocol.apps.session import MAX_LIVE
from sentinel.protocol.fastpath import FastParser
from sentinel.protocol.settings import ProtocolSettings

BENCH = Path(__file__).parents[1] / "bench" / "bench_hostile.py"
SCALES = {
    "headers": 0.05,
    "smtp-mime": 0.1,
    "pipeline": 0.2,
    "gzip-bomb": 0.05,
    "deflate-in-chunks": 0.02,
    "many-pipelines": 0.2,
    "segments": 0.3,
}


@pytest.fixture(scope="module")
def bench():
    spec = importlib.util.spec_from_file_location("bench_hostile", BENCH)
    module = sys.modules["bench_hostile"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Everything:
    """A screen that wants every packet: all of the load goes through the reference path."""

    usable = True
    decoder_events = True
    large = 1 << 62

    def rows(self, headers):
        return headers.tcp_flags >= 0

    def lone(self, headers):
        return headers.tcp_flags < 0

    sized = lone

    def stream(self, ends, to_server, data, *, packets, whole, apps, notes):
        return -1


@pytest.mark.parametrize(
    "name",
    [
        *("syn-flood", "fragment-flood", "tiny-fragments", "pipeline", "many-pipelines", "gzip-bomb"),
        *("deflate-in-chunks", "segments", "overlaps", "headers", "dns-labels", "smtp-mime"),
    ],
)
def test_tables_stay_within_their_bounds(bench, name):
    settings = ProtocolSettings(flows=1000, fragments=100, stream_memory_megabytes=8)
    parser = FastParser(settings, {}, Everything())
    seen = 0
    for batch in bench.Blocks(bench.LOADS[name](SCALES.get(name, 0.01))):
        for packet in parser.feed(batch):
            seen += 1
            if packet.flow is not None:
                assert len(packet.flow.transactions) <= MAX_LIVE
        assert len(parser.parser.flows.flows) <= 1000
        assert len(parser.slow) <= 1000
        assert len(parser.deferred) <= 1000
        assert parser.held_bytes <= 8 << 20
        assert len(parser.parser.defrag.datagrams) <= 100
        assert parser.parser.streams.held_bytes <= parser.parser.streams.options.memory_bytes
    seen += len(list(parser.finish()))
    assert seen or name == "fragment-flood", "whose datagrams are never whole"


def test_the_flood_is_counted(bench):
    parser = FastParser(ProtocolSettings(flows=1000), {}, Everything())
    for batch in bench.Blocks(bench.LOADS["syn-flood"](0.003)):
        list(parser.feed(batch))
    assert parser.parser.flows.evicted == 2000
