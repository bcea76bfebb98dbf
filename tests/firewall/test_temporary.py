"""Rules and entries that end by themselves."""

from sentinel.firewall import temporary

TEXT = """
groups: {guests: [192.0.2.1, {address: 192.0.2.9, until: 2031-01-01T00:00:00Z, reason: CHG-2}]}
inbound:
  - {allow: tcp/80}
  - {allow: tcp/22, from: guests, until: 2030-01-01T00:00:00Z, reason: CHG-1}
"""


def test_sorted_by_their_end_with_reasons():
    found = temporary.entries(TEXT, "p.yml")
    assert [(one.what, one.reason) for one in found] == [
        ("inbound 2", "CHG-1"),
        ("group guests: 192.0.2.9", "CHG-2"),
    ]
    assert found[0].seconds_left(found[0].until - 10**9) == 1
    assert found[0].seconds_left(found[0].until + 10**9) == 0
