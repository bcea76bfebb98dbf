"""Every mistake of a policy is reported at once, each with its line."""

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sentinel import yamlfile
from sentinel.errors import InvalidInputError
from sentinel.firewall import compile as compiler
from sentinel.firewall import kernel, lint, nft, policy
from sentinel.firewall.policy import Action, Direction

BAD = """default: {inbound: dorp}
groups:
  office: [198.51.100.1/24, nowhere]
  loop: [ring]
  ring: [loop]
  listed: ["file:missing.txt", {until: 2026-01-01}]
services: {web: tcp/https, ok: tcp/80}
inbound:
  - {allow: web, form: office}
  - {allow: nothing}
  - {from: office}
  - {allow: ok, deny: ok}
  - {allow: ok, rate: often}
  - {allow: ok, out_interface: eth0}
  - {allow: icmp/redirect}
  - {allow: ok, from: []}
  - {allow: ok, interface: "a name that is too long"}
failsafe: [{deny: ok}]
never_ban: [office, 300.1.1.1]
"""


def problems(text, path="policy.yml"):
    with pytest.raises(InvalidInputError) as caught:
        policy.parse(text, path)
    return [(problem.line, problem.message) for problem in caught.value.problems]


def test_grammar_mistakes_come_first_all_at_once():
    assert [line for line, _ in problems(BAD)] == [1, 9]


def test_all_other_mistakes_with_their_lines(tmp_path):
    text = BAD.replace("dorp", "drop").replace("form:", "from:")
    found = problems(text, str(tmp_path / "policy.yml"))
    assert [line for line, _ in found] == [3, 3, 5, 6, 6, 7, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19]
    text = "\n".join(message for _, message in found)
    for part in (
        "the network is 198.51.100.0/24", "unknown group 'nowhere'", "contains itself: loop -> ring -> loop",
        "No such file", "exactly one of 'address' and 'file'", "not a port", "unknown service 'nothing'",
        "exactly one of allow", "not a rate", "only forward rules", "errors are always let through", "matches nothing",
        "not an interface name", "failsafe rule cannot have 'deny'", "'300.1.1.1' is not an IP address",
    ):  # fmt: skip
        assert part in text


def test_files_are_read_line_by_line(tmp_path):
    (tmp_path / "list.txt").write_text("# partners\n192.0.2.1\n192.0.2.0/33\n\n203.0.113.0/24 # all\nnope\n")
    path = tmp_path / "policy.yml"
    with pytest.raises(InvalidInputError) as caught:
        policy.parse("groups: {g: 'file:list.txt'}", str(path))
    assert [(p.path, p.line) for p in caught.value.problems] == [
        (str(tmp_path / "list.txt"), 3),
        (str(tmp_path / "list.txt"), 6),
    ]


def test_reads_what_was_meant():
    found = policy.parse(
        "groups: {a: [10.0.0.0/8, b], b: [API.Pay.Example.]}\n"
        "inbound: [{allow: [tcp/80, tcp/81-90], from: a, until: 2026-12-01T00:00:00+01:00, log: web}]\n",
        "p",
    )
    rule = found.rules[Direction.INBOUND][0]
    assert rule.action is Action.ACCEPT
    assert rule.services[0].ports == ((80, 90),)
    assert rule.source.group == "a"
    assert rule.source.addresses.names == ("api.pay.example",) == found.names
    assert rule.until == 1_796_079_600_000_000_000
    assert found.default == {
        Direction.INBOUND: Action.DROP,
        Direction.OUTBOUND: Action.ACCEPT,
        Direction.FORWARD: Action.ACCEPT,
    }


WORDS = st.sampled_from(
    ["allow", "from", "groups", "inbound", "tcp/22", "office", "10.0.0.0/8", "{", "}", "[", "]", ":", ",", "\n", "  - ",
     "until", "2026-01-01", "default", "drop", "failsafe", "file:/dev/null", "a.b", "rate", "1/second", "&a", "*a", '"']
)  # fmt: skip


@given(st.lists(WORDS, max_size=30).map(" ".join) | st.text(max_size=80))
def test_any_text_is_a_policy_or_located_problems(text):
    try:
        policy.parse(text, "p.yml")
    except InvalidInputError as error:
        assert error.problems  # noqa: PT017


@pytest.mark.parametrize(
    ("rule", "complaint"),
    [
        ("reason: 'costs 5$'", "$ or a control character"),
        ('reason: "tab\\tbed"', "control character"),
        (f"reason: {'ü' * 60}", "longer than 100 bytes"),
        (f"log: {'x' * 65}", "longer than 64 bytes"),
        ("log: ''", "an empty text"),
        ("interface: '*'", "not an interface name"),
        ("interface: 'e*h'", "not an interface name"),
        ("interface: '000000000000éé'", "not an interface name"),
        ("rate: 5/day burst 2147483647", "longer than the kernel can count"),
    ],
)
def test_what_nft_would_refuse_or_misread_is_refused_with_its_line(rule, complaint):
    with pytest.raises(InvalidInputError) as caught:
        policy.parse(f"inbound:\n  - {{allow: tcp/1}}\n  - {{allow: tcp/2, {rule}}}\n", "p.yml")
    [problem] = caught.value.problems
    assert (problem.path, problem.line) == ("p.yml", 3)
    assert complaint in str(problem)


def test_the_example_in_the_readme_is_a_policy_without_findings(tmp_path):
    readme = (Path(__file__).parent.parent.parent / "README.md").read_text()
    text = re.search(r"## Firewall policy.*?```yaml\n(.*?)```", readme, re.DOTALL)[1]
    (tmp_path / "cdn.txt").write_text("192.0.2.128/25  # one of them\n")
    (tmp_path / "policy.yml").write_text(text)
    wanted = policy.load(tmp_path / "policy.yml")
    assert lint.lint(wanted, 1_795_000_000_000_000_000) == []
    assert len(wanted.rules[Direction.INBOUND]) == 5


@pytest.mark.netns
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    reason=st.text(max_size=100),
    log=st.text(min_size=1, max_size=64),
    interface=st.text("eth0.-_@:#;,'*[?]{}!é ", min_size=1, max_size=15),
    rate=st.from_regex(
        r"[1-9][0-9]{0,9}/(second|minute|hour|day) burst [1-9][0-9]{0,9}( per source)?", fullmatch=True
    ),
)
def test_whatever_is_accepted_nft_takes(namespace, reason, log, interface, rate):
    rules = [{"reason": reason}, {"log": log}, {"interface": interface}, {"rate": rate}]
    for one in rules:
        try:
            text = yamlfile.dump({"inbound": [{"allow": "tcp/1"} | one]})
            wanted = policy.parse(text, "p.yml")
        except InvalidInputError:
            continue
        kernel.run_script(nft.render(compiler.compile_policy(wanted), 0), check_only=True)
