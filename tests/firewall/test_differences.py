"""Elements that a set has against those it should have."""

import pytest

from sentinel.firewall import differences, kernel
from sentinel.firewall.nft import BanElement, Listed
from sentinel.firewall.ruleset import Kind, Set

NOW = 1_000 * 10**9
HOUR = NOW + 3_600 * 10**9


def policy_set(*elements):
    return Set("g_office_4", Kind.ADDRESSES, 4, elements)


def test_nothing_to_do():
    one = policy_set((1, 1, None), (5, 9, HOUR))
    assert differences.of_policy_set(one, [Listed(1, 1), Listed(5, 9, 9_999, 3_598)], NOW) == ((), "")


def test_only_what_differs_is_touched():
    one = policy_set((1, 1, None), (5, 9, None))
    lines, script = differences.of_policy_set(one, [Listed(1, 1), Listed(20, 20)], NOW)
    assert lines == ("+ 0.0.0.20", "- 0.0.0.5-0.0.0.9")
    assert script.startswith("delete element inet sentinel g_office_4 { 0.0.0.20 }\nadd element")
    assert "0.0.0.1," not in script


def test_overlaps_and_times_fill_the_set_anew():
    one = policy_set((0, 255, None))
    lines, script = differences.of_policy_set(one, [Listed(0, 127)], NOW)
    assert lines == ("+ 0.0.0.0/25", "- 0.0.0.0/24")
    assert script.startswith("flush set inet sentinel g_office_4\n")
    lines, script = differences.of_policy_set(policy_set((1, 1, HOUR)), [Listed(1, 1, 90_000, 80_000)], NOW)
    assert lines == ("~ 0.0.0.1: other time",)
    assert script.startswith("flush set")


def test_what_is_about_to_end_may_be_there_or_not():
    one = policy_set((1, 1, NOW + 10**9))
    assert differences.of_policy_set(one, [], NOW) == ((), "")
    assert differences.of_policy_set(one, [Listed(1, 1, 2, 1)], NOW) == ((), "")


def test_a_slow_reading_is_no_other_time():
    took = 30 * 10**9
    one = policy_set((1, 1, HOUR), (2, 2, NOW + 10 * 10**9))
    assert differences.of_policy_set(one, [Listed(1, 1, 3_600, 3_575)], NOW, took) == ((), "")
    assert differences.of_policy_set(one, [Listed(1, 1, 3_600, 3_500)], NOW, took)[0] == (
        "~ 0.0.0.1: other time",
    )
    wanted = [BanElement(4, 32, 1, 3_600 * 10**9, 1_800 * 10**9)]
    assert differences.of_ban_set("ban_4_32", wanted, [Listed(1, 1, 3_600, 1_775)], took) == ([], [])
    assert differences.of_ban_set("ban_4_32", wanted, [Listed(1, 1, 3_600, 1_775)])[0] == wanted


def test_bans_by_address_and_time():
    wanted = [BanElement(4, 32, number, 3_600 * 10**9, 1_800 * 10**9) for number in (1, 2, 3)]
    listed = [Listed(1, 1, 3_600, 1_800), Listed(2, 2, 3_600, 60), Listed(9, 9, 60, 60)]
    missing, extra = differences.of_ban_set("ban_4_32", wanted, listed)
    assert [one.network for one in missing] == [2, 3]
    assert [str(one) for one in extra] == ["0.0.0.9"]


@pytest.mark.netns
def test_the_kernel_takes_the_commands(namespace):
    kernel.run_script(
        "add table inet sentinel\nadd set inet sentinel g_office_4 { type ipv4_addr; flags interval; }\n"
        "add element inet sentinel g_office_4 { 1.1.1.1, 10.0.0.0/25 }\n"
    )
    wanted = policy_set((0x0A000000, 0x0A0000FF, None), (0xC0000201, 0xC0000209, None))
    for _ in range(2):
        _, script = differences.of_policy_set(wanted, kernel.elements("g_office_4"), NOW)
        if script:
            kernel.run_script(script)
    assert differences.of_policy_set(wanted, kernel.elements("g_office_4"), NOW) == ((), "")
