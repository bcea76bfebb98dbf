"""Fixtures of the firewall's tests: scratch namespaces, a state, policies in files."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import firewall_lab

from sentinel.ledger import Ledger


@pytest.fixture
def spaces():
    found = firewall_lab.Spaces()
    try:
        yield found
    finally:
        found.close()


@pytest.fixture
def namespace(spaces):
    """The test runs in an empty network namespace of its own."""
    with spaces.inside(spaces.new()):
        yield spaces


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path / "state")


@pytest.fixture
def policy_file(tmp_path):
    """Write a policy; the path."""

    def write(text, name="policy.yml"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write
