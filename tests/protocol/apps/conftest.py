"""A conversation with the application layer, as the stream engine has it."""

import importlib.util
from pathlib import Path

import pytest

from sentinel.model import Flow
from sentinel.protocol.apps import AppLayer

HERE = Path(__file__)


class Talk:
    """One flow; `client` and `server` speak, `transactions` are all that ever were, oldest first."""

    def __init__(self, port=80, proto=6, options=None, layer=None, source_port=40000):
        self.layer = layer or AppLayer(options or {})
        self.flow = Flow(1, proto, b"\x0a\0\0\1", b"\x0a\0\0\2", source_port, port, 0, 0)
        self.transactions = []
        self.events = []

    def say(self, direction, data, **how):
        if self.flow.proto == 17:
            touched = self.layer.datagram(self.flow, direction == 0, data)
        else:
            touched = self.layer.feed(self.flow, direction == 0, data, **how)
        for transaction in touched:
            if not any(transaction is known for known in self.transactions):
                self.transactions.append(transaction)
        self.events += self.layer.take_events(self.flow)
        return self

    def client(self, data=b"", **how):
        return self.say(0, data, **how)

    def server(self, data=b"", **how):
        return self.say(1, data, **how)

    def close(self):
        return self.client(eof=True).server(eof=True)

    def play(self, messages):
        for direction, data in messages:
            self.say(direction, data)
        return self

    def value(self, name, direction=0, index=0):
        """A buffer as the engine asks for it."""
        transaction = self.transactions[index]
        if name in transaction.buffers[direction]:
            return transaction.buffers[direction][name]
        return transaction.derive(transaction, direction, name) if transaction.derive else None

    def eve(self, index=0):
        return self.value("eve", 0, index)

    @property
    def flags(self):
        return {event for transaction in self.transactions for event in transaction.events}


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def samples():
    return load(HERE.parents[2] / "fuzz" / "conversations.py")


@pytest.fixture
def talk():
    return Talk
