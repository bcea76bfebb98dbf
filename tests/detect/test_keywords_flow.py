import pytest


@pytest.mark.parametrize(
    "text",
    [
        "flow:established,stateless;",
        "flow:to_server,to_client;",
        "flow:sideways;",
        "flow:established; flow:to_server;",
        "flowbits:set;",
        "flowbits:frob,x;",
        "flowbits:set,a|b;",
        "hostbits:set,a,both;",
        "xbits:set,a;",
        "flowint:a;",
        "flowint:a,~,1;",
        "threshold:type limit, track by_src, count 1;",
        "threshold:type often, track by_src, count 1, seconds 1;",
        "threshold:type limit, track by_moon, count 1, seconds 1;",
        "threshold:type limit, track by_src, count 0, seconds 1;",
        "detection_filter:track by_src, count 1, seconds 1; detection_filter:track by_src, count 1, seconds 1;",
        "stream_size:server,5;",
        "stream_size:all,<,5;",
    ],
)
def test_bad_values(rule, text):
    with pytest.raises(ValueError):
        rule(text)


def test_tests_and_effects_are_apart(rule):
    found = rule(
        "flowbits:isset,a; flowbits:set,b; flowint:n,+,1; flowint:n,>,3; xbits:set,x,track ip_src,expire 9;"
    )
    assert [check.name for check in found.checks] == ["flowbits", "flowint"]
    assert [check.args[0] for check in found.post] == ["set", "n", "set"]
    assert found.post[2].args == ("set", ("x",), "ip_src", 9)


def test_alert_and_noalert(rule):
    assert rule("noalert;").noalert
    assert not rule("noalert; alert;").noalert
    assert rule("flowbits:noalert;").noalert
