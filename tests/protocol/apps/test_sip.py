"""SIP messages over both transports."""

import pytest

REGISTER = b"REGISTER sip:a.example SIP/2.0\r\nContent-Length: 4\r\n\r\nbody"
OK = b"SIP/2.0 200 All right\r\nl: 0\r\n\r\n"


@pytest.mark.parametrize("proto", [6, 17])
def test_request_and_answer(talk, proto):
    said = talk(5060, proto).client(REGISTER).server(OK)
    assert said.value("sip.method") == b"REGISTER"
    assert said.value("sip.uri") == b"sip:a.example"
    assert said.value("sip.request_line") == b"REGISTER sip:a.example SIP/2.0"
    assert said.value("sip.stat_code", 1, 1) == b"200"
    assert said.value("sip.stat_msg", 1, 1) == b"All right"
    assert said.value("sip.response_line", 1, 1) == b"SIP/2.0 200 All right"
    assert said.eve(1)["sip"]["code"] == "200"


@pytest.mark.parametrize("size", [1, 7])
def test_stream_of_messages(talk, size):
    said, data = talk(5060), REGISTER * 3
    for start in range(0, len(data), size):
        said.client(data[start : start + size])
    assert len(said.transactions) == 3


def test_not_sip_after_all(talk):
    assert "invalid_data" in talk(5060, 17).client(REGISTER).client(b"INVITE x\r\n").flags
