"""Filters: tcpdump's compiler, bytecode, and mistakes that are told before anything is captured."""

import struct

import pytest

from sentinel import process
from sentinel.capture import bpf
from sentinel.errors import CapabilityError, InvalidInputError

ALL = struct.pack("=HBBI", 6, 0, 0, 65535)


def test_bytecode_needs_no_compiler(monkeypatch):
    monkeypatch.setattr(process, "find", lambda _: None)
    assert bpf.compile_filter("1,6 0 0 65535") == ALL


def test_text_is_compiled_by_tcpdump():
    program = bpf.compile_filter("tcp port 80")
    assert len(program) % 8 == 0
    assert len(program) > 80


def test_a_wrong_filter_is_a_problem_of_the_configuration():
    with pytest.raises(InvalidInputError, match=r"network\.bpf: .*syntax error"):
        bpf.compile_filter("port and and")


def test_without_a_compiler_we_say_so(monkeypatch):
    monkeypatch.setattr(process, "find", lambda _: None)
    with pytest.raises(CapabilityError, match="tcpdump"):
        bpf.compile_filter("udp")


@pytest.mark.parametrize("listing", ["", "2\n6 0 0 1", "1\n6 0 0", "1\n6 0 0 x", "1\n6 0 0 99999999999"])
def test_what_is_no_program_is_refused(listing):
    with pytest.raises(InvalidInputError, match="not a BPF program"):
        bpf.assemble(listing)
