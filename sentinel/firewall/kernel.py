"""The one place that runs `nft`; its complaints become one line that says what is missing or wrong."""

from __future__ import annotations

import re

from sentinel import process
from sentinel.errors import CapabilityError, FirewallError, ProgramError
from sentinel.firewall import nft
from sentinel.firewall.ruleset import FAMILY, TABLE

TIMEOUT_SECONDS = 300.0  # a million elements on a slow machine; nothing waits for it but the caller

_FEATURE = "the kernel lacks a feature this ruleset needs (nf_tables module not loaded?)"
_COMPLAINTS: tuple[tuple[str, type[FirewallError | CapabilityError], str], ...] = (
    (
        r"Operation not permitted",
        CapabilityError,
        "changing the firewall needs CAP_NET_ADMIN: run as root, or grant it to the unit (AmbientCapabilities=)",
    ),
    (r"not installed", CapabilityError, "nft is not installed: apt-get install nftables"),
    (r"(Operation|Protocol|Address family|cache initialization).*not supported", CapabilityError, _FEATURE),
    (r"Unable to initialize Netlink|Protocol not available", CapabilityError, _FEATURE),
)


def run_script(script: str, *, check_only: bool = False) -> None:
    """One transaction: all of it or nothing."""
    argv = ["nft", *(["--check"] if check_only else []), "-f", "-"]
    _nft(argv, script.encode())


def listing() -> str:
    """The table as the kernel lists it, without counters and set elements; "" when there is none.

    `list ruleset -t` skips the elements; `list table -t` (nft 1.0.6) would read them all first.
    """
    text = _nft(["nft", "-s", "-t", "list", "ruleset", FAMILY]).decode()
    found = re.search(rf"^table {FAMILY} {TABLE} \{{.*?^\}}\n", text, re.DOTALL | re.MULTILINE)
    return found[0] if found else ""


def full_listing() -> str:
    """With counters and elements: what a rollback restores when no version of ours is known."""
    if not listing():
        return ""
    return _nft(["nft", "list", "table", FAMILY, TABLE]).decode()


def elements(set_name: str) -> list[nft.Listed]:
    return nft.parse_sets(_nft(["nft", "-j", "list", "set", FAMILY, TABLE, set_name])).get(set_name, [])


def all_elements() -> dict[str, list[nft.Listed]]:
    """Of every set in the table, in one reading."""
    return nft.parse_sets(_nft(["nft", "-j", "list", "table", FAMILY, TABLE]))


def foreign_rules() -> str:
    """All rules of all tables, to look at; they are never changed."""
    return _nft(["nft", "-s", "-t", "list", "ruleset"]).decode("utf-8", "replace")


def _nft(argv: list[str], stdin: bytes | None = None) -> bytes:
    try:
        done = process.run(argv, stdin=stdin, timeout_seconds=TIMEOUT_SECONDS)
    except ProgramError as error:
        raise _translated(error) from None
    return done.stdout


def _translated(error: ProgramError) -> FirewallError | CapabilityError:
    text = error.stderr or str(error)
    for pattern, kind, message in _COMPLAINTS:
        if re.search(pattern, text):
            return kind(message)
    first = next((line for line in text.splitlines() if "Error" in line), str(error))
    return FirewallError(f"nft refused the ruleset: {first.strip()}")
