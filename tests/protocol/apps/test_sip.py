"""SIP messages."""

REGISTER = b"REGISTER sip:a.example SIP/2.0\r\nContent-Length: 4\r\n\r\nbody"
OK = b"SIP/2.0 200 All right\r\nl: 0\r\n\r\n"


def test_request_and_answer(talk):
    said = talk(5060, 17).client(REGISTER).server(OK)
    assert said.value("sip.method") == b"REGISTER"
    assert said.value("sip.uri") == b"sip:a.example"
    assert said.value("sip.request_line") == b"REGISTER sip:a.example SIP/2.0"
    assert said.value("sip.stat_code", 1, 1) == b"200"
    assert said.value("sip.stat_msg", 1, 1) == b"All right"
    assert said.value("sip.response_line", 1, 1) == b"SIP/2.0 200 All right"
    assert said.eve(1)["sip"]["code"] == "200"


def test_not_sip_on_other_ports_and_not_over_tcp(talk):
    """As Suricata 7 knows it."""
    assert talk(5070, 17).client(REGISTER).transactions == []
    assert talk(5060, 6).client(REGISTER).transactions == []


def test_not_sip_after_all(talk):
    assert "invalid_data" in talk(5060, 17).client(REGISTER).client(b"INVITE x\r\n").flags


def test_a_message_cut_short_is_said_of_the_one_before(talk):
    said = talk(5060, 17).client(REGISTER).client(REGISTER[:40])
    assert said.flags == {"incomplete_data"}
    assert len(said.transactions) == 1


def test_the_line_ends_at_what_no_reason_has(talk):
    said = talk(5060, 17).client(b"INVITE sip:a;b=c~d SIP/2.0\r\nVia: x\r\n y\r\n\r\n")
    assert said.value("sip.request_line") == b"INVITE sip:a;b=c~d SIP/2.0"
