"""Every sticky buffer: which application protocols fill it, in which direction, and its legacy spellings.

Out: `BUFFERS` (name -> Buffer), `ALIASES` (spelling -> name) and `MODIFIERS` (content modifier -> name). A keyword of
one direction alone makes its rule one of that direction, as in Suricata's rule validation.
"""

from __future__ import annotations

from typing import NamedTuple


class Buffer(NamedTuple):
    name: str
    protocols: frozenset[str]  # empty = any protocol
    to_server: bool
    to_client: bool
    packet: bool = False  # part of a packet, not of a transaction
    growing: bool = False  # its value may change until the transaction ends
    multiple: bool = False  # each use in a rule is an instance of its own


def _table(protocols: str, direction: str, names: str, *, growing: bool = False) -> list[Buffer]:
    return [
        Buffer(
            name, frozenset(protocols.split()), direction != "client", direction != "server", growing=growing
        )
        for name in names.split()
    ]


_HTTP = "http http2"
_ROWS = [
    *_table(
        _HTTP,
        "server",
        "http.uri http.uri.raw http.method http.user_agent http.host http.host.raw http.request_line http.accept "
        "http.accept_lang http.accept_enc http.referer http.request_header",
    ),
    *_table(
        _HTTP,
        "client",
        "http.stat_code http.stat_msg http.response_line http.server http.response_header http.location",
    ),
    *_table(
        _HTTP,
        "both",
        "http.header http.header.raw http.cookie http.header_names http.start http.protocol http.connection "
        "http.content_len http.content_type http2.header_name",
    ),
    *_table(_HTTP, "server", "http.request_body", growing=True),
    *_table(_HTTP, "client", "http.response_body", growing=True),
    *_table("http http2 smtp ftp-data smb nfs dcerpc", "both", "file.data", growing=True),
    *_table("http http2 smtp ftp-data ftp smb nfs dcerpc", "both", "file.name file.magic", growing=True),
    *_table("dns", "server", "dns.query"),
    *_table("tls", "server", "tls.sni"),
    *_table("tls quic", "server", "ja3.hash ja3.string"),
    *_table("tls quic", "server", "ja4.hash"),
    *_table("tls", "both", "tls.cert_issuer tls.cert_subject tls.cert_serial tls.cert_fingerprint"),
    *_table("tls quic", "client", "ja3s.hash ja3s.string"),
    *_table("tls", "both", "tls.certs"),
    *_table("tls", "both", "tls.random tls.random_time tls.random_bytes"),
    *_table("ssh", "both", "ssh.proto ssh.software"),
    *_table("ssh", "server", "ssh.hassh ssh.hassh.string"),
    *_table("ssh", "client", "ssh.hassh.server ssh.hassh.server.string"),
    *_table("sip", "server", "sip.method sip.uri sip.request_line"),
    *_table("sip", "client", "sip.stat_code sip.stat_msg sip.response_line"),
    *_table("sip", "both", "sip.protocol"),
    *_table("smb", "server", "smb.named_pipe smb.share smb.ntlmssp_user smb.ntlmssp_domain"),
    *_table("dcerpc smb", "both", "dcerpc.stub_data", growing=True),
    *_table("krb5", "client", "krb5.cname krb5.sname"),
    *_table("rfb", "client", "rfb.name"),
    *_table("snmp", "both", "snmp.community snmp.usm"),
    *_table(
        "mqtt",
        "server",
        "mqtt.connect.clientid mqtt.connect.username mqtt.connect.password mqtt.connect.willtopic "
        "mqtt.connect.willmessage mqtt.unsubscribe.topic mqtt.publish.message",
    ),
    *_table("mqtt", "both", "mqtt.publish.topic mqtt.subscribe.topic"),
    *_table("quic", "both", "quic.version"),
    *_table("quic", "server", "quic.sni quic.ua quic.cyu.hash quic.cyu.string"),
    *_table("ike", "server", "ike.init_spi ike.vendor"),
    *_table("ike", "client", "ike.resp_spi"),
    *_table("ike", "both", "ike.nonce_payload ike.key_exchange_payload"),
    *_table("dnp3", "both", "dnp3.data"),
]
_PACKET = ["ipv4.hdr", "ipv6.hdr", "tcp.hdr", "udp.hdr", "icmpv4.hdr", "icmpv6.hdr", "ip.src", "ip.dst"]
_MULTIPLE = {
    "dns.query", "tls.certs", "http.request_header", "http.response_header", "http2.header_name", "file.name",
    "file.magic", "ike.vendor", "mqtt.subscribe.topic", "mqtt.unsubscribe.topic", "quic.cyu.hash", "quic.cyu.string",
    "krb5.cname", "krb5.sname", "file.data",
}  # fmt: skip

BUFFERS: dict[str, Buffer] = {row.name: row._replace(multiple=row.name in _MULTIPLE) for row in _ROWS} | {
    name: Buffer(name, frozenset(), True, True, packet=True) for name in _PACKET
}

# Older spellings of sticky buffers.
ALIASES: dict[str, str] = {
    "file_data": "file.data",
    "dns_query": "dns.query",
    "tls_sni": "tls.sni",
    "tls_cert_issuer": "tls.cert_issuer",
    "tls_cert_subject": "tls.cert_subject",
    "tls_cert_serial": "tls.cert_serial",
    "tls_cert_fingerprint": "tls.cert_fingerprint",
    "ja3_hash": "ja3.hash",
    "ja3_string": "ja3.string",
    "ja3s_hash": "ja3s.hash",
    "ja3s_string": "ja3s.string",
    "ssh_proto": "ssh.proto",
    "ssh_software": "ssh.software",
    "http_header_names": "http.header_names",
    "http_accept": "http.accept",
    "http_accept_lang": "http.accept_lang",
    "http_accept_enc": "http.accept_enc",
    "http_connection": "http.connection",
    "http_content_len": "http.content_len",
    "http_content_type": "http.content_type",
    "http_referer": "http.referer",
    "http_protocol": "http.protocol",
    "http_start": "http.start",
    "http_request_line": "http.request_line",
    "http_response_line": "http.response_line",
    "http_server": "http.server",
    "http_location": "http.location",
    "http_request_header": "http.request_header",
    "http_response_header": "http.response_header",
    "smb_named_pipe": "smb.named_pipe",
    "smb_share": "smb.share",
    "dce_stub_data": "dcerpc.stub_data",
    "krb5_cname": "krb5.cname",
    "krb5_sname": "krb5.sname",
    "snmp_community": "snmp.community",
    "dnp3_data": "dnp3.data",
}

# Content modifiers of Suricata 1-4: they move the content before them into a buffer.
MODIFIERS: dict[str, str] = {
    "http_uri": "http.uri",
    "http_raw_uri": "http.uri.raw",
    "http_method": "http.method",
    "http_client_body": "http.request_body",
    "http_server_body": "file.data",
    "http_header": "http.header",
    "http_raw_header": "http.header.raw",
    "http_cookie": "http.cookie",
    "http_stat_msg": "http.stat_msg",
    "http_stat_code": "http.stat_code",
    "http_user_agent": "http.user_agent",
    "http_host": "http.host",
    "http_raw_host": "http.host.raw",
}

# Letters after a regular expression that move it into a buffer.
PCRE_BUFFERS: dict[str, str] = {
    "U": "http.uri",
    "I": "http.uri.raw",
    "M": "http.method",
    "P": "http.request_body",
    "Q": "file.data",
    "H": "http.header",
    "D": "http.header.raw",
    "C": "http.cookie",
    "S": "http.stat_code",
    "Y": "http.stat_msg",
    "V": "http.user_agent",
    "W": "http.host",
    "Z": "http.host.raw",
}
