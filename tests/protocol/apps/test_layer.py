"""Recognition, the two directions of a flow, and protocol changes."""

from sentinel.protocol.apps.recognise import possible

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def test_every_sample_is_recognised(talk, samples):
    for name, (proto, port, messages) in samples.CONVERSATIONS.items():
        flow = talk(port, proto, {"app-layer.protocols.pgsql.enabled": "yes"}).play(messages).flow
        assert flow.app_proto == name.partition("-")[0], name
        assert flow.transactions, name


def test_dns_only_on_its_port(talk, samples):
    query = samples.dns_message(1, 0x0100, b"a.example")
    assert talk(5353, 17).client(query).flow.app_proto == "failed"
    assert talk(53, 17).client(query).flow.app_proto == "dns"


def test_switched_off_as_in_suricata(talk, samples):
    proto, port, messages = samples.CONVERSATIONS["pgsql"]
    assert talk(port, proto).play(messages).transactions == []


def test_detection_only_recognises_but_does_not_parse(talk, samples):
    only = talk(161, 17, {"app-layer.protocols.snmp.enabled": "detection-only"}).client(
        samples.snmp(b"public")
    )
    assert only.flow.app_proto == "snmp"
    assert only.transactions == []


def test_unknown_bytes_fail_in_both_directions(talk):
    said = talk(4000).client(b"x" * 100).server(b"y" * 100)
    assert said.flow.app_proto == "failed"
    assert said.client(GET).transactions == []


def test_one_side_carries_the_other(talk):
    said = talk().client(GET).server(b"<html>no status line at all</html>\n")
    assert said.events == ["applayer.applayer_detect_protocol_only_one_direction"]
    assert said.value("http.response_body", 1) == b"<html>no status line at all</html>\n"


def test_sides_that_disagree(talk):
    said = talk().client(GET).server(b"SSH-2.0-x\r\n")
    assert "applayer.applayer_mismatch_protocol_both_directions" in said.events
    assert said.flow.app_proto == "http"


def test_tls_needs_the_client_first(talk, samples):
    said = talk(443).server(samples.tls_record(22, samples.server_hello()))
    assert said.events == ["applayer.applayer_wrong_direction_first_data"]
    assert said.flow.app_proto == "failed"


def test_http_does_not(talk):
    said = talk().server(OK).client(GET)
    assert said.value("http.stat_code", 1) == b"200"
    assert said.flags == {"unable_to_match_response_to_request"}


def test_bytes_behind_an_early_gap_are_parsed_once_the_other_side_told(talk):
    said = talk().server(b"junk", gap=10).client(GET)
    assert said.flow.app_proto == "http"


def test_gap_in_a_counted_body(talk):
    said = talk().client(GET).server(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nab")
    said.server(b"ij", gap=6)
    assert said.value("http.response_body", 1) == b"abij"
    assert said.transactions[0].done == [True, True]


def test_starttls(talk, samples):
    said = talk(25).server(b"220 mail\r\n").client(b"EHLO a\r\n").server(b"250 OK\r\n")
    said.client(b"STARTTLS\r\n").server(b"220 go\r\n")
    said.client(samples.tls_record(22, samples.client_hello(), 0x0301))
    assert said.flow.app_proto == "tls"
    assert said.transactions[-1].buffers[0]["tls.sni"] == b"shop.example"


def test_no_tls_after_starttls(talk):
    said = talk(25).server(b"220 mail\r\n").client(b"EHLO a\r\n").server(b"250 OK\r\n")
    said.client(b"STARTTLS\r\n").server(b"220 go\r\n")
    said.client(b"nothing like it, really nothing").server(b"nothing like it, really nothing")
    assert "applayer.applayer_no_tls_after_starttls" in said.events


def test_tls_through_a_proxy(talk, samples):
    said = talk().client(b"CONNECT shop.example:443 HTTP/1.1\r\nHost: shop.example\r\n\r\n")
    said.server(b"HTTP/1.1 200 Connection established\r\n\r\n")
    said.client(samples.tls_record(22, samples.client_hello(), 0x0301))
    assert said.flow.app_proto == "tls"
    assert said.value("http.host") == b"shop.example"


def test_upgrade_to_http2(talk, samples):
    frames = samples.http2_frame(4, 0, 0) + samples.http2_frame(1, 5, 1, b"\x88")
    said = talk().client(b"GET /up HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\n\r\n")
    said.server(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n" + frames)
    assert said.flow.app_proto == "http2"
    assert [t.protocol for t in said.transactions][:2] == ["http", "http2"]
    assert said.transactions[1].buffers[0]["http.uri"] == b"/up"


def test_a_flow_seen_from_the_wrong_end(talk):
    class Midstream:
        midstream = True
        midstream_syn_ack = False

        def trigger_raw(self, to_server):
            pass

    said = talk()
    said.flow.stream_state = Midstream()
    said.client(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
    assert said.layer.take_reversed(said.flow)
    assert not said.layer.take_reversed(said.flow)
    assert said.value("http.stat_code", 1) == b"200"


def test_transactions_of_a_flow_are_bounded(talk):
    said = talk()
    for _ in range(40):
        said.client(GET * 50)
    assert len(said.flow.transactions) == 512


def test_prune_keeps_what_was_not_inspected(talk):
    said = talk().client(GET * 2).server(OK * 2)
    said.flow.transactions[0].inspected[:] = [True, True]
    said.layer.prune(said.flow)
    assert [t.index for t in said.flow.transactions] == [1]


def test_only_a_settings_frame_makes_port_80_a_candidate_for_http2():
    settings = b"\0\0\0\4\0\0\0\0\0"
    assert "http2" in possible(6, (40_000, 80), 1, settings)
    assert "http2" in possible(6, (40_000, 80), 1, settings[:5])
    assert "http2" not in possible(6, (40_000, 80), 1, b"HTTP/1.1 200 OK\r\n")
    assert "http2" not in possible(6, (40_000, 80), 0, b"GET")
    assert "http2" not in possible(6, (40_000, 80), 0, b"GET / HTTP/1.1\r\nHost: x\r\n")
    assert "http2" in possible(6, (40_000, 80), 0, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
