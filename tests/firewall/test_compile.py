"""Golden folders: policy.yml -> ruleset.nft. `SENTINEL_GOLDEN=write` writes what is there now; read the diff."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.firewall import compile as compiler
from sentinel.firewall import nft, policy
from sentinel.firewall.ruleset import Ruleset

GOLDEN = sorted((Path(__file__).parent.parent / "golden/firewall").iterdir())
NOW = 1_795_000_000_000_000_000
ANSWERS = {"api.pay.example": ["203.0.113.5", "2001:db8:1::5"]}


@pytest.mark.parametrize("folder", GOLDEN, ids=lambda folder: folder.name)
def test_golden(folder):
    ruleset = compiler.compile_policy(policy.load(folder / "policy.yml")).answered(ANSWERS)
    text = nft.render(ruleset, NOW)
    expected = folder / "ruleset.nft"
    if os.environ.get("SENTINEL_GOLDEN") == "write":
        expected.write_text(text)
    assert text == expected.read_text()


@pytest.mark.netns
@pytest.mark.parametrize("folder", GOLDEN, ids=lambda folder: folder.name)
def test_kernel_takes_it_and_lists_it_the_same_after_its_own_listing(namespace, folder):
    from sentinel.firewall import kernel

    ruleset = compiler.compile_policy(policy.load(folder / "policy.yml")).answered(ANSWERS)
    kernel.run_script(nft.render(ruleset, NOW))
    once, whole = kernel.listing(), kernel.full_listing()
    kernel.run_script(nft.REMOVE + whole)  # how the state before the first version comes back
    assert kernel.listing() == once
    listed = kernel.all_elements()
    for one in ruleset.sets:
        assert [(e.first, e.last) for e in sorted(listed[one.name], key=lambda e: e.first)] == [
            (first, last) for first, last, until in one.elements if until is None or until > NOW
        ]


@given(st.sampled_from(GOLDEN))
def test_is_deterministic_and_survives_json(folder):
    parsed = policy.load(folder / "policy.yml")
    ruleset = compiler.compile_policy(parsed)
    assert compiler.compile_policy(policy.load(folder / "policy.yml")) == ruleset
    assert Ruleset.from_json(ruleset.to_json()) == ruleset
