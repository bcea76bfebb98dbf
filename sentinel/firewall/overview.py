"""The firewall at one look: what `sentinel firewall status` shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sentinel.firewall import bans, docker, kernel, names, temporary, versions

if TYPE_CHECKING:
    from sentinel.firewall.temporary import Temporary
    from sentinel.firewall.versions import Version
    from sentinel.state import State


@dataclass(frozen=True, slots=True)
class Overview:
    """`names` maps DNS names of the policy to the age of their answer; `published` are ports that bypass it."""

    in_kernel: bool
    in_sync: bool
    bans: int
    names: dict[str, float | None]
    temporary: list[Temporary]
    published: list[str]
    versions: list[Version]


def overview(state: State, now: int) -> Overview:
    version = versions.expected(state)
    asked: list[str] = []
    ending: list[Temporary] = []
    published: list[str] = []
    if version is not None:
        compiled = versions.ruleset(state, version.number)
        asked = sorted({name for one in compiled.sets for name in one.names})
        ending = temporary.entries(versions.policy_text(state, version.number), f"version {version.number}")
        published = [str(one) for one in docker.bypassing(compiled)]
    return Overview(
        bool(kernel.listing()),
        versions.in_sync(state),
        bans.count(state),
        names.ages(state, asked, now),
        ending,
        published,
        versions.history(state),
    )
