"""Give up capabilities once the capture socket is open.

In: names of capabilities to keep. Out: the calling thread has no others, and can gain none by running programs.
Capabilities belong to threads, so this is called before others are started. capabilities(7), prctl(2).
"""

from __future__ import annotations

import ctypes
import errno
import logging
import os

NUMBERS = {
    "CAP_DAC_READ_SEARCH": 2,
    "CAP_NET_ADMIN": 12,
    "CAP_NET_RAW": 13,
    "CAP_SYS_PTRACE": 19,
}
VERSION_3 = 0x20080522
PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 24, 38, 47, 4
LAST_CAPABILITY = 63

# What telling the process behind a connection needs: other users' /proc/PID/fd.
FOR_PROCESS_NAMES = frozenset({"CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH"})


log = logging.getLogger("sentinel.capture")


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Set(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def effective() -> frozenset[str]:
    """Names (of those we know) that the calling thread holds."""
    _, sets = _read()
    return frozenset(name for name, bit in NUMBERS.items() if sets[bit // 32].effective >> bit % 32 & 1)


def drop(keep: frozenset[str] = FOR_PROCESS_NAMES) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    header, sets = _read()
    wanted = [0, 0]
    for name in keep:
        wanted[NUMBERS[name] // 32] |= 1 << NUMBERS[name] % 32
    libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    for number in range(LAST_CAPABILITY + 1):
        if not wanted[number // 32] >> number % 32 & 1:
            libc.prctl(
                PR_CAPBSET_DROP, number, 0, 0, 0
            )  # refused without CAP_SETPCAP: then it is empty anyway
    for index in (0, 1):
        sets[index].permitted &= wanted[index]
        sets[index].effective = sets[index].permitted
        sets[index].inheritable = 0
    if libc.capset(ctypes.byref(header), ctypes.byref(sets)):
        if ctypes.get_errno() != errno.EPERM:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        log.warning(
            "capabilities are kept: the unit's filter refuses capset (sentinel-network.service allows it)"
        )
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def _read() -> tuple[_Header, ctypes.Array[_Set]]:
    libc = ctypes.CDLL(None, use_errno=True)
    header, sets = _Header(VERSION_3, 0), (_Set * 2)()
    if libc.capget(ctypes.byref(header), ctypes.byref(sets)):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return header, sets
