"""The kernel's own tables: what is delivered here is ours, nothing else."""

import ipaddress

from sentinel import addresses


def test_loopback_is_ours_and_a_documentation_address_is_not():
    own = addresses.OwnAddresses()
    assert ipaddress.ip_address("127.0.0.1") in own
    assert ipaddress.ip_address("203.0.113.9") not in own
    assert ipaddress.ip_address("2001:db8::9") not in own


def test_tables(tmp_path):
    (tmp_path / "v4").write_text(
        "Local:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 192.0.2.0\n        /24 link UNICAST\n"
        "     |-- 192.0.2.7\n        /32 host LOCAL\n     |-- 192.0.2.255\n        /32 link BROADCAST\n"
    )
    (tmp_path / "v6").write_text("20010db8000000000000000000000007 02 40 00 80 eth0\n")
    found = addresses.read(tmp_path / "v4", tmp_path / "v6")
    assert {str(address) for address in found} == {"192.0.2.7", "2001:db8::7"}


def test_without_tables_nothing_is_ours(tmp_path):
    assert addresses.read(tmp_path / "none", tmp_path / "none") == frozenset()
