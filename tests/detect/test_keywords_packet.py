import pytest


@pytest.mark.parametrize(
    "text",
    [
        "flags:Q;",
        "flags:+S+;",
        "fragbits:X;",
        "ipopts:frob;",
        "ip_proto:nothing;",
        "ttl:x;",
        "tcpv4-csum:maybe;",
        "l3_proto:ipx;",
        "geoip:src;",
        "iprep:any,x;",
        "iprep:any,x,~,3;",
        "tos:300;",
        "dsize:9<>3;",
        "sameip:1;",
    ],
)
def test_bad_values(rule, text):
    with pytest.raises(ValueError):
        rule(text)


def test_values_are_read_once(rule):
    found = rule(
        "alert ip any any -> any any (flags:S,12; ttl:>5; icode:1<>4; tos:x10; ip_proto:>50; geoip:dst,de,FR; "
        "stream-event:3whs_syn_flood; sid:1;)"
    )
    assert [check.args for check in found.checks] == [
        ("", 2, 0xFF & ~0xC0),
        ((">", 5, 0),),
        (("range", 1, 4),),
        (("=", 16, 0),),
        ((">", 50, 0),),
        ("dst", False, ("DE", "FR")),
        ("stream.3whs_syn_flood",),
    ]
    assert found.bound
