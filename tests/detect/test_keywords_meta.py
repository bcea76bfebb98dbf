import pytest


@pytest.mark.parametrize(
    "text", ["requires:version >= 7;", "requires:version >= 6 < 8;", "requires:version < 5 | > 6;"]
)
def test_met_requirements(rule, text):
    assert rule(text).sid == 1


@pytest.mark.parametrize(
    "text", ["requires:version >= 9;", "requires:feature lua;", "requires:version x;", "requires:luck 3;"]
)
def test_unmet_requirements_refuse(rule, text):
    with pytest.raises(ValueError, match="requires"):
        rule(text)


@pytest.mark.parametrize("text", ["sid:0;", "priority:0;", "priority:300;", "rev:x;", "gid:-1;", "msg;"])
def test_bad_values(rule, text):
    with pytest.raises(ValueError):
        rule(text)


def test_what_is_only_logged_is_accepted(rule):
    found = rule(
        'msg:"Ümlaut"; tag:session,5,packets; target:dest_ip; bypass; priority:1;'.encode().decode("latin-1")
    )
    assert (found.msg, found.level) == ("Ümlaut", "high")
