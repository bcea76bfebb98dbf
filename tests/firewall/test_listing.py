"""The kernel's listing in blocks."""

from sentinel.firewall import listing

TEXT = """table inet sentinel {
	set office {
		type ipv4_addr
		flags interval
	}

	chain bans {
		ip saddr @office return
	}

	chain inbound {
		type filter hook input priority filter - 10; policy drop;
		jump bans
		counter packets 0 bytes 0 drop
	}
}
"""
CHAINS = TEXT.split("\n\n")


def test_blocks_hooks_and_names():
    found = listing.read(TEXT)
    assert found.names(listing.SET) == ["office"]
    assert found.names(listing.CHAIN) == ["bans", "inbound"]
    assert found.hook("inbound") == "type filter hook input priority filter - 10;"
    assert found.hook("bans") == found.hook("nothing") == ""
    assert found.of(listing.SET) == {"office": ("type ipv4_addr", "flags interval")}


def test_order_of_blocks_does_not_matter_but_that_of_rules_does():
    head, bans, inbound = CHAINS
    swapped = "\n\n".join([head, inbound.removesuffix("}\n") + "\n" + bans]) + "\n}\n"
    assert listing.read(swapped) == listing.read(TEXT)
    rules = "\t\tjump bans\n", "\t\tcounter packets 0 bytes 0 drop\n"
    assert listing.read(TEXT.replace("".join(rules), "".join(reversed(rules)))) != listing.read(TEXT)


def test_flags_and_other_objects_are_seen():
    dormant = TEXT.replace("{\n", "{\n\tflags dormant\n\n", 1)
    assert listing.read(dormant).loose == ("flags dormant",)
    assert listing.read(dormant) != listing.read(TEXT)
    counted = TEXT.replace("{\n", "{\n\tcounter mine {\n\t\tpackets 0 bytes 0\n\t}\n\n", 1)
    assert listing.read(counted).names("counter") == ["mine"]


def test_nothing_is_nothing():
    assert not listing.read("")
    assert listing.read(TEXT)


def test_agrees_by_number_of_rules():
    found = listing.read(TEXT)
    assert found.agrees({"bans": 1, "inbound": 2}, ["office"])
    assert not found.agrees({"bans": 1, "inbound": 3}, ["office"])
    assert not found.agrees({"bans": 1, "inbound": 2}, ["office", "other"])
