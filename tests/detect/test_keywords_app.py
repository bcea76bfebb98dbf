import pytest

from sentinel.detect.values import satisfied
from sentinel.detect.verify import holds
from sentinel.detect.view import View


@pytest.mark.parametrize(
    ("text", "name", "value", "expected"),
    [
        ("tls.version:1.2;", "tls.version", 0x0303, True),
        ("ssl_version:sslv3,tls1.0;", "ssl_version", 0x0301, True),
        ("ssl_version:!tls1.2;", "ssl_version", 0x0303, False),
        ("ssl_state:server_hello|client_hello;", "ssl_state", "client_hello", True),
        ("ssl_state:!client_hello;", "ssl_state", "client_hello", False),
        ("tls.cert_chain_len:>2;", "tls.cert_chain_len", 3, True),
        ("dns.opcode:!4;", "dns.opcode", 0, True),
        ("mqtt.type:PUBLISH;", "mqtt.type", [1, 3], True),
        ("mqtt.flags:dup,!retain;", "mqtt.flags", [frozenset({"retain"}), frozenset({"dup"})], True),
        ("mqtt.connect.flags:username,password;", "mqtt.connect.flags", frozenset({"username"}), False),
        ("http2.frametype:GOAWAY;", "http2.frametype", [7], True),
        ("http2.settings:SETTINGS_HEADER_TABLE_SIZE >1000;", "http2.settings", [(1, 4096)], True),
        ("http2.settings:SETTINGS_ENABLE_PUSH;", "http2.settings", [(1, 4096)], False),
        ("rfb.secresult:OK;", "rfb.secresult", "ok", True),
        ("krb5_msg_type:10;", "krb5_msg_type", 10, True),
        ("krb5.ticket_encryption:weak;", "krb5.ticket_encryption", 23, True),
        ("krb5.ticket_encryption:!weak;", "krb5.ticket_encryption", 23, False),
        ("krb5.ticket_encryption:rc4-hmac,18;", "krb5.ticket_encryption", 18, True),
        ("ike.chosen_sa_attribute:alg_hash=2;", "ike.chosen_sa_attribute", [("alg_hash", 2)], True),
        ("ftpdata_command:stor;", "ftpdata_command", b"STOR", True),
        ("dcerpc.opnum:4,10-12;", "dcerpc.opnum", 11, True),
        ("tls_cert_notafter:<2020-01-01;", "tls_cert_notafter", 1_500_000_000, True),
    ],
)
def test_values(rule, text, name, value, expected):
    found = rule(text)
    (part,) = next(parts for parts in found.parts if parts)
    check = part.matches[0]
    assert part.buffer == name
    assert satisfied(value, check.args[0], check.args[1:]) is expected


@pytest.mark.parametrize(
    "text",
    [
        "tls.version:9.9;",
        "ssl_state:asleep;",
        "mqtt.type:SHOUT;",
        "mqtt.flags:loud;",
        "http2.settings:SPEED;",
        "ike.chosen_sa_attribute:x;",
        "dce_iface:xyz;",
        "app-layer-event;",
    ],
)
def test_bad_values(rule, text):
    with pytest.raises(ValueError):
        rule(text)


def test_events_of_packets_and_of_transactions(rule):
    assert rule("app-layer-event:applayer_mismatch_protocol_both_directions;").checks[0].name == "event"
    assert rule("app-layer-event:http.invalid_request_line;").stateful


def test_older_tls_keywords_are_contents(rule):
    part = rule('tls.subject:!"CN=x";').parts[1][0]
    assert part.buffer == "tls.cert_subject"
    assert part.matches[0].negated


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        ("ssh.protoversion:2.0;", b"2.0", True),
        ("ssh.protoversion:2;", b"2.0", False),
        ("ssh.protoversion:2_compat;", b"1.99", True),
        ("ssh.protoversion:2_compat;", b"1.5", False),
        ("ssh.softwareversion:OpenSSH;", b"OpenSSH", True),
        ("ssh.softwareversion:OpenSSH;", b"OpenSSH_9.2p1", False),
    ],
)
def test_older_ssh_keywords_compare_the_whole_value(rule, text, value, expected):
    (part,) = next(parts for parts in rule(text).parts if parts)
    assert holds(part.matches, View(value)) is expected


def test_ranges_of_nfs_take_in_their_ends(rule):
    (part,) = next(parts for parts in rule("nfs_procedure:3<>8;").parts if parts)
    check = part.matches[0]
    assert [satisfied([n], check.args[0], check.args[1:]) for n in (2, 3, 8, 9)] == [False, True, True, False]


def test_events_of_datagrams_need_a_rule_without_tcp(rule):
    with pytest.raises(ValueError, match="no events over TCP"):
        rule("app-layer-event:ike.malformed_data;")
