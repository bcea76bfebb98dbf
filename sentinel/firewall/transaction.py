"""Scripts that bring our table from what is in the kernel to a ruleset, each one transaction.

While a transaction commits, the kernel switches rules at one moment, but the elements of new or refilled interval
sets are found only a little later (a packet in between misses them: measured, about a millisecond with 1,000 rules).
So a table that stands is replaced in two steps: `prepare` fills the new sets beside the old ones, where no rule asks
for them, and `switch` is the one transaction that changes the policy. The base chains stay hooked, so their policy
holds all the time, and the sets of bans stay as they are, with times and hits.
Where the live table cannot stay (somebody else's objects, another hook, flags, nothing there) all of it is replaced.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentinel.firewall import nft
from sentinel.firewall.listing import CHAIN, SET
from sentinel.firewall.ruleset import FAMILY, LINK_LOCAL_SET, PLACED, SLOTS, TABLE, Kind

if TYPE_CHECKING:
    from sentinel.firewall.listing import Listing
    from sentinel.firewall.ruleset import Ruleset

PLACE = f"{FAMILY} {TABLE}"


def slot(found: Listing) -> str:
    """Where the policy's sets stand; every ruleset has this one."""
    return next((end for end in SLOTS if (SET, LINK_LOCAL_SET + end) in found.blocks), SLOTS[0])


def other_slot(found: Listing) -> str:
    return SLOTS[1 - SLOTS.index(slot(found))]


def can_stay(live: Listing, ruleset: Ruleset) -> bool:
    """Only chains and sets are there, each chain of ours hangs where it should, and bans have their sets."""
    kinds = {kind for kind, _ in live.blocks}
    there = [chain for chain in ruleset.chains if (CHAIN, chain.name) in live.blocks]
    bans = [one for one in ruleset.sets if one.kind is Kind.BANS]
    return (
        bool(live)
        and not live.loose
        and kinds <= {CHAIN, SET}
        and all(live.hook(chain.name) == nft.hook_text(chain) for chain in there)
        and all(live.blocks.get((SET, one.name)) == tuple(nft.declaration(one)) for one in bans)
    )


def prepare(live: Listing, placed: Ruleset, now: int) -> str:
    """The new policy's sets, in the slot that is free (but for what an apply that was killed has left there)."""
    new = [one for one in placed.sets if one.kind in PLACED]
    left = [f"delete set {PLACE} {one.name}\n" for one in new if (SET, one.name) in live.blocks]
    return "".join(left) + nft.block(nft.sets_text(new, now))


def switch(live: Listing, placed: Ruleset) -> str:
    """New rules in the base chains; everything that they no longer need goes."""
    kept = {chain.name for chain in placed.chains if chain.hook}
    kept_sets = {one.name for one in placed.sets if one.kind is not Kind.RATE}
    commands = [
        f"flush table {PLACE}",
        *(f"delete chain {PLACE} {name}" for name in live.names(CHAIN) if name not in kept),
        *(f"delete set {PLACE} {name}" for name in live.names(SET) if name not in kept_sets),
    ]
    rates = [one for one in placed.sets if one.kind is Kind.RATE]
    return "\n".join(commands) + "\n" + nft.block([*nft.sets_text(rates, 0), *nft.chains_text(placed.chains)])


def removal(live: Listing) -> str:
    """Delete the table, also when there is none. Its chains, still hooked for an instant, let others decide."""
    accepting = [
        f"chain {PLACE} {name} {{ {live.hook(name)} policy accept; }}"
        for name in live.names(CHAIN)
        if live.hook(name) and not live.loose
    ]
    return "\n".join([f"table {PLACE}", *accepting, f"delete table {PLACE}"]) + "\n"


def rules_only(wanted: Listing, live: Listing, placed: Ruleset) -> str:
    """Mend chains alone, at a cost that does not grow with the sets; "" where that is not enough."""
    sets, known = live.of(SET), wanted.of(SET)
    if not can_stay(live, placed) or any(sets.get(name) != lines for name, lines in known.items()):
        return ""
    right, found = wanted.of(CHAIN), live.of(CHAIN)
    differing = [name for name in {**right, **found} if right.get(name) != found.get(name)]
    commands = [
        *(f"flush chain {PLACE} {name}" for name in differing if name in found),
        *(f"delete chain {PLACE} {name}" for name in differing if name not in right),
        *(f"delete set {PLACE} {name}" for name in sets.keys() - known.keys()),
    ]
    mended = [chain for chain in placed.chains if chain.name in differing]
    return "\n".join(commands) + "\n" + nft.block(nft.chains_text(mended))
