"""The engine end to end: counts, order, verdicts, limits."""

import pytest
from scapy.utils import wrpcap

from sentinel.pipeline import profile_network


def test_transactions_alert_once_each(conversation, fired):
    request = b"GET /evil HTTP/1.1\r\nHost: a\r\n\r\n"
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    talk = conversation()
    for _ in range(3):
        talk.request(request).response(answer)
    rules = (
        'alert http any any -> any any (http.uri; content:"/evil"; sid:1;)\n'
        'alert http any any -> any any (http.method; content:"GET"; http.uri; content:"evil"; sid:2;)\n'
        'alert http any any -> any any (http.stat_code; content:"200"; file.data; content:"ok"; sid:3;)\n'
        'alert http any any -> any any (http.uri; content:"/good"; sid:4;)\n'
    )
    found = fired(rules, talk.close())
    assert {sid: found.count(sid) for sid in set(found)} == {1: 3, 2: 3, 3: 3}


@pytest.mark.parametrize(
    ("buffer", "content"),
    [
        ("http.uri", "/a/b?c=d"),
        ("http.uri.raw", "/a/./b?c=d"),
        ("http.method", "POST"),
        ("http.user_agent", "Test/1.0"),
        ("http.host", "shop.example"),
        ("http.cookie", "sid=1"),
        ("http.header", "X-Own|3a 20|yes"),
        ("http.header_names", "|0d 0a|X-Own|0d 0a|"),
        ("http.content_type", "text/plain"),
        ("http.request_body", "body-bytes"),
        ("http.request_line", "POST /a/./b?c=d HTTP/1.1"),
        ("http.protocol", "HTTP/1.1"),
        ("http.stat_code", "404"),
        ("http.stat_msg", "Not Found"),
        ("http.server", "nginx"),
        ("http.response_line", "HTTP/1.1 404 Not Found"),
        ("file.data", "answer-bytes"),
        ("http.response_body", "answer-bytes"),
    ],
)
def test_http_buffers(exchange, fired, buffer, content):
    packets = exchange(
        "/a/./b?c=d", method="POST", body=b"the body-bytes", status="404 Not Found", answer=b"the answer-bytes",
        headers="Cookie: sid=1\r\nX-Own: yes\r\nContent-Type: text/plain\r\n",
    )  # fmt: skip
    rules = f'alert http any any -> any any ({buffer}; content:"{content}"; sid:1;)\n'
    rules += f'alert http any any -> any any ({buffer}; content:"{content}-not"; sid:2;)\n'
    assert set(fired(rules, packets)) == {1}


def test_ip_only_rules_speak_once_a_direction(conversation, fired):
    talk = conversation(dport=4444).request(b"one").response(b"two").request(b"three").close()
    rules = (
        "alert ip 10.1.1.2 any -> any any (sid:1;)\n"
        "alert ip any any -> 10.1.1.2 any (sid:2;)\n"
        "alert tcp 10.9.9.9 any -> any any (sid:3;)\n"
    )
    assert sorted(fired(rules, talk)) == [1, 2]


def test_pass_settles_a_flow(exchange, fired):
    rules = (
        'alert http any any -> any any (http.uri; content:"/x"; sid:1;)\n'
        'pass http any any -> any any (http.user_agent; content:"Test"; sid:2;)\n'
        'alert http any any -> any any (http.stat_code; content:"200"; sid:3;)\n'
    )
    assert fired(rules, exchange("/x")) == []


def test_alerts_of_one_packet_are_bounded(exchange, fired):
    rules = "".join(
        f'alert http any any -> any any (http.uri; content:"/x"; sid:{n};)\n' for n in range(1, 31)
    )
    assert len(fired(rules, exchange("/x"))) == 15
    assert len(fired(rules, exchange("/x"), packet_alert_max="4")) == 4


def test_content_across_segments_and_in_packets(conversation, fired):
    talk = conversation(dport=4444).request(b"split-").request(b"content").response(b"ok").close()
    rules = (
        'alert tcp any any -> any any (content:"split-content"; sid:1;)\n'
        'alert tcp-pkt any any -> any any (content:"split-content"; sid:2;)\n'
        'alert tcp-pkt any any -> any any (content:"content"; sid:3;)\n'
        'alert tcp-stream any any -> any any (content:"split-content"; sid:4;)\n'
    )
    assert sorted(fired(rules, talk)) == [1, 3, 4]


def test_rate_and_suppression_files(exchange, fired, tmp_path):
    (tmp_path / "threshold.config").write_text("suppress gen_id 1, sig_id 2, track by_src, ip 10.1.1.2\n")
    rules = (
        'alert http any any -> any any (http.uri; content:"/x"; threshold:type limit, track by_src, count 2, seconds 60; sid:1;)\n'
        'alert http any any -> any any (http.uri; content:"/x"; sid:2;)\n'
    )
    packets = [packet for _ in range(4) for packet in exchange("/x")]
    assert fired(rules, packets, threshold_file=str(tmp_path / "threshold.config")) == [1, 1]


def test_alert_fields(exchange, replay):
    rules = (
        'alert http $HOME_NET any -> any 80 (msg:"Evil"; http.uri; content:"/x"; classtype:web-application-attack; '
        "metadata:team shop; sid:9; rev:2;)"
    )
    (eve,) = replay(rules, exchange("/x"))
    assert eve["alert"] | {"level": "high"} == {
        "action": "allowed", "gid": 1, "signature_id": 9, "rev": 2, "signature": "Evil",
        "category": "Web Application Attack", "severity": 1, "rule_id": "9", "source": "network", "level": "high",
        "metadata": {"team": ["shop"]},
    }  # fmt: skip
    assert (eve["src_ip"], eve["dest_ip"], eve["dest_port"], eve["proto"]) == (
        "10.1.1.2",
        "192.168.5.6",
        80,
        "TCP",
    )
    assert eve["app_proto"] == "http"
    assert eve["community_id"].startswith("1:")
    assert eve["http"]["url"] == "/x"


def test_address_variables_can_be_set(exchange, tmp_path):
    from scapy.utils import wrpcap

    from sentinel.pipeline import replay_network

    wrpcap(str(tmp_path / "x.pcap"), exchange("/x"))
    (tmp_path / "x.rules").write_text('alert http $HOME_NET any -> any any (http.uri; content:"/x"; sid:1;)')
    counts = [
        len(
            list(
                replay_network(
                    tmp_path / "x.pcap", [tmp_path / "x.rules"], {"vars.address-groups.HOME_NET": net}
                )
            )
        )
        for net in ("10.1.0.0/16", "9.9.9.9")
    ]
    assert counts == [1, 0]


def test_rules_both_ways_are_two(conversation, fired):
    packets = conversation(dport=4444).request(b"hello").close()
    rules = (
        'alert tcp 10.0.0.0/8 any <> any any (content:"hello"; sid:1;)\n'
        'alert tcp any any <> any any (content:"hello"; sid:2;)\n'
        'alert tcp [10.0.0.0/8,192.168.0.0/16] any <> any 1: (content:"hello"; sid:3;)\n'
    )
    # Both ends of the packet fit either end of the third rule; the second has the same on both sides.
    assert sorted(fired(rules, packets)) == [1, 2, 3, 3]


def test_rules_about_hosts_match_once_unless_something_is_left_out(conversation, fired):
    packets = conversation(dport=4444).request(b"hello").close()
    rules = "alert ip 10.0.0.0/8 any -> any any (sid:1;)\nalert ip [10.0.0.0/8,!10.9.0.0/16] any -> any any (sid:2;)\n"
    sids = fired(rules, packets)
    from_client = sum(packet.getlayer("IP").src.startswith("10.") for packet in packets)
    assert (sids.count(1), sids.count(2)) == (1, from_client + 1)  # and the flow's end


def test_recognition_is_told_once_for_each_direction(exchange, fired):
    rules = "alert tcp any any -> any any (app-layer-protocol:http; sid:1;)"
    assert fired(rules, exchange()) == [1, 1]


def test_a_retired_engine_is_freed_without_the_collector(tmp_path):
    """Rules are set aside from the collector: a cycle among them would be kept for ever, one set of rules a reload."""
    import gc
    import weakref

    from sentinel.detect.build import build
    from sentinel.detect.settings import STOCK_VARIABLES

    (tmp_path / "a.rules").write_text(
        'alert tcp any any -> any any (content:"abc"; sid:1;)\n'
        'alert http any any -> any any (http.uri; content:"abc"; sid:2;)\nalert udp any any -> any any (sid:3;)\n'
    )
    built = build([tmp_path / "a.rules"], STOCK_VARIABLES)
    engine, screen = weakref.ref(built.engine), weakref.ref(built.engine.screen)
    gc.disable()
    try:
        built.engine.retire()
        del built
        assert engine() is None
        assert screen() is None
    finally:
        gc.enable()


def test_beyond_the_depth_packets_stand_alone(conversation, fired):
    packets = conversation(dport=4444).request(b"0123456789" * 3).request(b"last words").close()
    rules = 'alert tcp any any -> any any (content:"words"; sid:1;)\nalert tcp any any -> any any (content:"9last"; sid:2;)'
    assert fired(rules, packets, stream__reassembly__depth="25") == [1]
    assert fired(rules, packets) == [1, 2]


def test_requests_that_wait_for_answers_are_not_looked_at_with_every_packet(conversation, tmp_path):
    """Else a client that sends thousands and reads none makes each packet cost as much as all of them."""
    count = 40
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    talk = conversation().request(b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n" * count)
    for _ in range(count):
        talk.response(answer)
    capture, rules = tmp_path / "talk.pcap", tmp_path / "own.rules"
    wrpcap(str(capture), talk.close())
    rules.write_text('alert http any any -> any any (http.stat_msg; pcre:"/^no$/"; sid:1;)\n')
    (cost,) = profile_network(capture, [rules])
    assert cost.matched == 0
    assert count <= cost.checked <= 3 * count
