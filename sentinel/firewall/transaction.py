"""Scripts that change our table in one transaction, without a moment in which it is open or refuses what it allows.

The base chains stay hooked and get new rules. A base chain that is deleted does not do: the kernel switches to the
new generation first and unhooks the old chain later, so for an instant packets meet an empty chain with a policy
of drop. Rules that change hands within a chain switch with the generation, and so do the elements of sets.
Where the live table cannot be kept (somebody else's objects, another hook, flags), all of it is replaced, and the
old chains let everything through meanwhile: the new ones, already hooked, decide.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentinel.firewall import nft
from sentinel.firewall.listing import CHAIN, SET
from sentinel.firewall.ruleset import FAMILY, TABLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sentinel.firewall.listing import Listing
    from sentinel.firewall.ruleset import Chain, Ruleset

PLACE = f"{FAMILY} {TABLE}"


def replacement(live: Listing, ruleset: Ruleset, body: str) -> str:
    """From whatever is in the kernel to `body`, which is `nft.table` of the ruleset."""
    if not _can_stay(live, ruleset.chains):
        return removal(live) + body
    kept = {chain.name for chain in ruleset.chains if chain.hook}
    commands = [
        f"flush table {PLACE}",
        *(f"delete chain {PLACE} {name}" for name in live.names(CHAIN) if name not in kept),
        *(f"delete set {PLACE} {name}" for name in live.names(SET)),
    ]
    return "\n".join(commands) + "\n" + body


def removal(live: Listing) -> str:
    """Delete the table, also when there is none."""
    accepting = [
        f"chain {PLACE} {name} {{ {live.hook(name)} policy accept; }}"
        for name in live.names(CHAIN)
        if live.hook(name) and not live.loose
    ]
    return "\n".join([f"table {PLACE}", *accepting, f"delete table {PLACE}"]) + "\n"


def rules_only(wanted: Listing, live: Listing, ruleset: Ruleset) -> str:
    """Mend chains alone, at a cost that does not grow with the sets; "" where that is not enough."""
    sets, known = live.of(SET), wanted.of(SET)
    if not _can_stay(live, ruleset.chains) or any(sets.get(name) != lines for name, lines in known.items()):
        return ""
    differing = [
        name for name in {**wanted.of(CHAIN), **live.of(CHAIN)} if wanted.chain(name) != live.chain(name)
    ]
    there = [name for name in differing if (CHAIN, name) in live.blocks]
    strange = [name for name in there if (CHAIN, name) not in wanted.blocks]
    commands = [
        *(f"flush chain {PLACE} {name}" for name in there),
        *(f"delete chain {PLACE} {name}" for name in strange),
        *(f"delete set {PLACE} {name}" for name in sets.keys() - known.keys()),
    ]
    chains = [chain for chain in ruleset.chains if chain.name in differing]
    return "\n".join(commands) + f"\ntable {PLACE} {{\n{''.join(_texts(chains))}}}\n"


def _texts(chains: Iterable[Chain]) -> Iterator[str]:
    for chain in chains:
        yield from nft.chain_text(chain)


def _can_stay(live: Listing, chains: tuple[Chain, ...]) -> bool:
    """Only chains and sets are there, and each chain of ours that exists hangs where it should."""
    kinds = {kind for kind, _ in live.blocks}
    return (
        bool(live)
        and not live.loose
        and kinds <= {CHAIN, SET}
        and all(
            live.hook(chain.name) == nft.hook_text(chain)
            for chain in chains
            if (CHAIN, chain.name) in live.blocks
        )
    )
