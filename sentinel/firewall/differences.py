"""What a set holds against what it should hold. Only what differs is mended, so that the rest stays found meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentinel.firewall import nft
from sentinel.firewall.networks import Network
from sentinel.firewall.ruleset import BAN_LENGTHS, FAMILY, TABLE, ban_set

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sentinel.firewall.intervals import Interval
    from sentinel.firewall.nft import BanElement, Listed
    from sentinel.firewall.ruleset import Set

NANOSECONDS = 1_000_000_000
ABOUT_TO_END_SECONDS = 2  # such elements may be gone or not: the kernel's clock decides
TIME_TOLERANCE_SECONDS = 5.0  # nft prints whole seconds in JSON; more than this is somebody's change
MOST_COMPARED = 100_000  # pairs; beyond that all elements anew cost less than looking
BAN_SETS = {
    ban_set(family, length): (family, length) for family in BAN_LENGTHS for length in BAN_LENGTHS[family]
}


def of_policy_set(
    one: Set, elements: Iterable[Listed], now: int, took: int = 0
) -> tuple[tuple[str, ...], str]:
    """Lines with + (too much), - (missing) or ~ (other time); the commands that mend it.

    `now` is when the reading began and `took` how long it took (nanoseconds): of 100,000 elements some seconds.
    """
    listed = {(element.first, element.last): element.expires for element in elements}
    soon = now + took + ABOUT_TO_END_SECONDS * NANOSECONDS
    wanted = {(first, last): until for first, last, until in one.elements if until is None or until > soon}
    ending = {(first, last) for first, last, until in one.elements if until is not None and until <= soon}
    missing = wanted.keys() - listed.keys()
    extra = listed.keys() - wanted.keys() - ending
    other = {
        key for key in wanted.keys() & listed.keys() if not same_time(wanted[key], listed[key], now, took)
    }
    signed = [("-", key, "") for key in missing] + [("+", key, "") for key in extra]
    signed += [("~", key, ": other time") for key in other]
    lines = sorted(f"{sign} {nft.element_text(one, *key)}{more}" for sign, key, more in signed)
    new = [(*key, wanted[key]) for key in sorted(missing | other)]
    return tuple(lines), _mended(one, sorted(extra | other), new, now)


def _mended(one: Set, out: list[tuple[int, int]], new: list[Interval], now: int) -> str:
    """Elements out and in; all of them anew where old and new overlap, which nft would mistake for a conflict."""
    place = f"element {FAMILY} {TABLE} {one.name}"
    if len(out) * len(new) > MOST_COMPARED or any(
        first <= high and low <= last for low, high in out for first, last, _ in new
    ):
        flush = f"flush set {FAMILY} {TABLE} {one.name}\n"
        return flush + nft.fill(one.name, list(nft.element_texts(one, one.elements, now)))
    gone = ", ".join(nft.element_text(one, first, last) for first, last in out)
    removal = f"delete {place} {{ {gone} }}\n" if gone else ""
    return removal + nft.fill(one.name, list(nft.element_texts(one, new, now)))


def of_ban_set(
    name: str, wanted: Iterable[BanElement], elements: Iterable[Listed], took: int = 0
) -> tuple[list[BanElement], list[Network]]:
    """Elements that are missing (or have another time), and networks that should not be there."""
    family, length = BAN_SETS[name]
    listed = {element.first: element.expires for element in elements}
    known = {element.network: element for element in wanted}
    missing = [
        element
        for element in known.values()
        if element.left > took + ABOUT_TO_END_SECONDS * NANOSECONDS
        and (element.network not in listed or not same_time(element.left, listed[element.network], 0, took))
    ]
    return missing, [Network(family, first, length) for first in listed.keys() - known.keys()]


def same_time(until: int | None, expires: float | None, now: int, took: int = 0) -> bool:
    """`expires` was read at some moment of the reading."""
    if until is None or expires is None:
        return until is None and expires is None
    late = nft.time_left(until, now) / NANOSECONDS - expires
    return -TIME_TOLERANCE_SECONDS <= late <= TIME_TOLERANCE_SECONDS + took / NANOSECONDS
