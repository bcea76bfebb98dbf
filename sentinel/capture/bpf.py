"""Kernel packet filters: filter text or ready bytecode -> classic BPF, attached to a socket.

In: a filter as tcpdump takes it ("tcp port 80 and not host 192.0.2.7"), compiled by the installed tcpdump; or bytecode
in the format of `tcpdump -ddd` with commas ("4,48 0 0 0,21 0 1 6,6 0 0 65535,6 0 0 0"), for hosts without tcpdump.
Out: `struct sock_filter` records. A filter saves the work on what it drops: packets it refuses never reach the ring.
"""

from __future__ import annotations

import ctypes
import re
import struct
from typing import TYPE_CHECKING

from sentinel import process
from sentinel.errors import CapabilityError, InvalidInputError, Problem, ProgramError

if TYPE_CHECKING:
    import socket

SO_ATTACH_FILTER = 26
INSTRUCTION = struct.Struct("=HBBI")
MAXIMUM_INSTRUCTIONS = 4096  # the kernel's BPF_MAXINSNS
NOTHING = INSTRUCTION.pack(0x06, 0, 0, 0)  # return 0 bytes of every packet
EVERYTHING = INSTRUCTION.pack(0x06, 0, 0, 0xFFFFFFFF)
BYTECODE = re.compile(r"\s*\d+\s*,[\d\s,]+")


def compile_filter(text: str) -> bytes:
    """Raises InvalidInputError with tcpdump's own words when the filter is wrong."""
    if BYTECODE.fullmatch(text):
        return assemble(text.replace(",", "\n"))
    if process.find("tcpdump") is None:
        raise CapabilityError("network.bpf: tcpdump compiles filters and is not installed; or give bytecode")
    try:
        compiled = process.run(["tcpdump", "-y", "EN10MB", "-ddd", "--", text], timeout_seconds=20)
    except ProgramError as error:
        raise InvalidInputError([Problem("network.bpf", 0, str(error.stderr or error))]) from None
    return assemble(compiled.stdout.decode())


def assemble(listing: str) -> bytes:
    """`tcpdump -ddd` prints the number of instructions, then code, jt, jf and k of each."""
    try:
        count, *lines = [line for line in listing.splitlines() if line.strip()]
        program = b"".join(INSTRUCTION.pack(*map(int, line.split())) for line in lines)
        if int(count) != len(lines) or not 0 < len(lines) <= MAXIMUM_INSTRUCTIONS:
            raise ValueError
    except (ValueError, struct.error):
        raise InvalidInputError([Problem("network.bpf", 0, "not a BPF program")]) from None
    return program


def attach(sock: socket.socket, program: bytes) -> None:
    buffer = ctypes.create_string_buffer(program, len(program))
    # struct sock_fprog: a length, padding to the pointer's alignment, the pointer.
    request = struct.pack("@HP", len(program) // INSTRUCTION.size, ctypes.addressof(buffer))
    sock.setsockopt(1, SO_ATTACH_FILTER, request)
