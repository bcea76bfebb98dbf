"""One short, well-formed conversation for every application protocol: what properties and fuzzing start from.

Each is (transport, server port, [(direction, bytes), ...]); direction 0 is to the server.
"""

import gzip
import struct
import uuid

TCP, UDP = 6, 17


def tls_extension(kind, value):
    return struct.pack(">HH", kind, len(value)) + value


def tls_record(kind, body, version=0x0303):
    return struct.pack(">BHH", kind, version, len(body)) + body


def tls_message(kind, body):
    return bytes((kind,)) + len(body).to_bytes(3, "big") + body


def client_hello(name=b"shop.example", version=0x0303):
    sni = tls_extension(0, struct.pack(">HBH", len(name) + 3, 0, len(name)) + name)
    groups = tls_extension(10, struct.pack(">H4H", 8, 0x1A1A, 29, 23, 24))
    points = tls_extension(11, b"\1\0")
    signatures = tls_extension(13, struct.pack(">3H", 4, 0x0403, 0x0804))
    alpn = tls_extension(16, b"\0\x0c\x02h2\x08http/1.1")
    extensions = sni + groups + points + signatures + alpn
    ciphers = struct.pack(">4H", 6, 0x2A2A, 0x1301, 0xC02F)
    body = struct.pack(">H", version) + bytes(range(32)) + b"\0" + ciphers + b"\1\0"
    return tls_message(1, body + struct.pack(">H", len(extensions)) + extensions)


def server_hello(version=0x0303):
    body = struct.pack(">H", version) + bytes(range(32, 64)) + b"\0" + b"\xc0\x2f\0"
    return tls_message(2, body + b"\0\5" + tls_extension(0xFF01, b"\0"))


def dns_message(ident, flags, name, answers=b"", count=0):
    labels = b"".join(bytes((len(label),)) + label for label in name.split(b".")) + b"\0"
    return struct.pack(">6H", ident, flags, 1, count, 0, 0) + labels + b"\0\1\0\1" + answers


def dns_framed(message):
    return struct.pack(">H", len(message)) + message


A_RECORD = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\x0a\0\0\1"


def http2_frame(kind, flags, stream, payload=b""):
    return len(payload).to_bytes(3, "big") + struct.pack(">BBI", kind, flags, stream) + payload


def literal(name, value):
    """A header field without indexing or Huffman coding."""
    return b"\0" + bytes((len(name),)) + name + bytes((len(value),)) + value


def mqtt_string(text):
    return struct.pack(">H", len(text)) + text


def ssh_packet(payload):
    pad = 8 - (len(payload) + 5) % 8 + 4
    return struct.pack(">IB", len(payload) + pad + 1, pad) + payload + bytes(pad)


def ssh_kexinit(*names):
    lists = (list(names) + [b"none"] * 10)[:10]
    return ssh_packet(b"\x14" + bytes(16) + b"".join(struct.pack(">I", len(n)) + n for n in lists) + bytes(5))


def smb2(command, body, message, *, reply=False, tree=1, status=0):
    head = b"\xfeSMB" + struct.pack(
        "<HHIHHIIQIIQ16s", 64, 0, status, command, 1, int(reply), 0, message, 0, tree, 7, b""
    )
    return struct.pack(">I", len(head) + len(body)) + head + body


def smb2_tree(path):
    text = path.encode("utf-16-le")
    return struct.pack("<HHHH", 9, 0, 72, len(text)) + text


def smb2_create(name):
    text = name.encode("utf-16-le")
    return struct.pack("<H42xHH8x", 57, 120, len(text)) + text


HANDLE = bytes(range(16))


def smb2_write(data, offset=0):
    return struct.pack("<HHIQ16s16x", 49, 112, len(data), offset, HANDLE) + data


def rpc_bind(call, uuid):
    context = struct.pack("<HBB", 0, 1, 0) + uuid.bytes_le + struct.pack("<HH", 1, 0) + bytes(20)
    body = struct.pack("<HHIB3x", 4280, 4280, 0, 1) + context
    return struct.pack("<BBBB4sHHI", 5, 0, 11, 3, b"\x10\0\0\0", 16 + len(body), 0, call) + body


def rpc_bind_ack(call):
    body = struct.pack("<HHIH2sB3x", 4280, 4280, 1, 2, b"1\0", 1) + struct.pack("<HH20s", 0, 0, b"")
    return struct.pack("<BBBB4sHHI", 5, 0, 12, 3, b"\x10\0\0\0", 16 + len(body), 0, call) + body


def rpc_request(call, opnum, stub, flags=3):
    body = struct.pack("<IHH", len(stub), 0, opnum) + stub
    return struct.pack("<BBBB4sHHI", 5, 0, 0, flags, b"\x10\0\0\0", 16 + len(body), 0, call) + body


def rpc_response(call, stub, flags=3):
    body = struct.pack("<IHBB", len(stub), 0, 0, 0) + stub
    return struct.pack("<BBBB4sHHI", 5, 0, 2, flags, b"\x10\0\0\0", 16 + len(body), 0, call) + body


def der(tag, *parts):
    body = b"".join(parts)
    size = bytes((len(body),)) if len(body) < 128 else b"\x82" + struct.pack(">H", len(body))
    return bytes((tag,)) + size + body


def snmp(community):
    pdu = der(0xA1, der(2, b"\1"), der(2, b"\0"), der(2, b"\0"), der(0x30))
    return der(0x30, der(2, b"\1"), der(4, community), pdu)


def krb5_request(client, service):
    def name(*parts):
        return der(0x30, der(0xA0, der(2, b"\1")), der(0xA1, der(0x30, *(der(0x1B, part) for part in parts))))

    body = der(0x30, der(0xA0, der(3, b"\0\0\0\0\0")), der(0xA1, name(client)), der(0xA2, der(0x1B, b"SHOP")),
               der(0xA3, name(*service)), der(0xA5, der(0x18, b"20301231235959Z")), der(0xA7, der(2, b"\x07")),
               der(0xA8, der(0x30, der(2, b"\x12"))))  # fmt: skip
    return der(0x6A, der(0x30, der(0xA1, der(2, b"\5")), der(0xA2, der(2, b"\x0a")), der(0xA4, body)))


def dhcp(lease):
    head = b"\2\1\6\0" + bytes(24) + b"\xaa\xbb\xcc\xdd\xee\xff" + bytes(10) + bytes(192)
    return head + b"\x63\x82\x53\x63" + b"\x35\1\5" + b"\x33\4" + struct.pack(">I", lease) + b"\xff"


def ike(responder=bytes(8)):
    vendor = struct.pack(">BBH", 0, 0, 20) + bytes(range(16))
    nonce = struct.pack(">BBH", 13, 0, 8) + b"nonc"
    payloads = nonce + vendor
    return (
        b"INITIATE"
        + responder
        + b"\x0a\x10\x04\0"
        + bytes(4)
        + struct.pack(">I", 28 + len(payloads))
        + payloads
    )


def pgsql(kind, body):
    return kind + struct.pack(">I", len(body) + 4) + body


SERVICE = uuid.UUID("367abb81-9844-35f1-ad32-98f038001003")
STARTUP = b"\0\3\0\0user\0shop\0database\0shop\0\0"

MAIL = (
    b'Subject: order\r\nContent-Type: multipart/mixed; boundary="cut"\r\n\r\n--cut\r\n'
    b'Content-Type: text/plain; name="a.txt"\r\nContent-Transfer-Encoding: base64\r\n\r\nYXR0YWNobWVudA==\r\n'
    b"--cut--\r\n.\r\n"
)

CONVERSATIONS = {
    "http": (TCP, 80, [
        (0, b"POST /a%20b/../c?x=%41 HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 5\r\nCookie: a=b\r\n\r\nhello"),
        (1, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n\r\n"
            + b"%x\r\n%b\r\n0\r\n\r\n" % (len(gzip.compress(b"page", mtime=0)), gzip.compress(b"page", mtime=0))),
        (0, b"GET /second HTTP/1.1\r\nHost: shop.example\r\n\r\n"),
        (1, b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\ngone"),
    ]),
    "tls": (TCP, 443, [
        (0, tls_record(22, client_hello(), 0x0301)),
        (1, tls_record(22, server_hello())),
        (0, tls_record(20, b"\1") + tls_record(22, bytes(40))),
        (1, tls_record(20, b"\1") + tls_record(22, bytes(40))),
        (0, tls_record(23, bytes(100))),
    ]),
    "dns": (UDP, 53, [
        (0, dns_message(7, 0x0100, b"shop.example")),
        (1, dns_message(7, 0x8180, b"shop.example", A_RECORD, 1)),
    ]),
    "dns-tcp": (TCP, 53, [
        (0, dns_framed(dns_message(7, 0x0100, b"shop.example"))),
        (1, dns_framed(dns_message(7, 0x8180, b"shop.example", A_RECORD, 1))),
    ]),
    "ssh": (TCP, 22, [
        (1, b"SSH-2.0-OpenSSH_9.2\r\n"),
        (0, b"SSH-2.0-Go\r\n" + ssh_kexinit(b"curve25519-sha256", b"ssh-ed25519", b"aes128-ctr", b"aes256-ctr")),
        (1, ssh_kexinit(b"curve25519-sha256", b"ssh-ed25519", b"aes128-ctr", b"aes256-ctr") + ssh_packet(b"\x15")),
        (0, ssh_packet(b"\x15")),
    ]),
    "smtp": (TCP, 25, [
        (1, b"220 mail.example ESMTP\r\n"), (0, b"EHLO shop\r\n"), (1, b"250-mail.example\r\n250 OK\r\n"),
        (0, b"MAIL FROM:<a@shop.example>\r\n"), (1, b"250 OK\r\n"),
        (0, b"RCPT TO:<b@shop.example>\r\n"), (1, b"250 OK\r\n"), (0, b"DATA\r\n"), (1, b"354 go on\r\n"),
        (0, MAIL),
        (1, b"250 queued\r\n"), (0, b"QUIT\r\n"), (1, b"221 bye\r\n"),
    ]),
    "ftp": (TCP, 21, [
        (1, b"220 (vsFTPd 3.0)\r\n"), (0, b"USER shop\r\n"), (1, b"331 password\r\n"), (0, b"PASS secret\r\n"),
        (1, b"230 in\r\n"), (0, b"PASV\r\n"), (1, b"227 Entering (10,0,0,2,4,1)\r\n"), (0, b"RETR a.bin\r\n"),
        (1, b"150 sending\r\n226 done\r\n"),
    ]),
    "http2": (TCP, 8443, [
        (0, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + http2_frame(4, 0, 0, b"\0\3\0\0\0\x64")
            + http2_frame(1, 5, 1, b"\x82\x86" + literal(b":path", b"/a") + literal(b":authority", b"Shop.example"))),
        (1, http2_frame(4, 0, 0) + http2_frame(1, 4, 1, b"\x88") + http2_frame(0, 1, 1, b"body")),
        (0, http2_frame(7, 0, 0, bytes(8))),
    ]),
    "mqtt": (TCP, 1883, [
        (0, b"\x10\x14" + mqtt_string(b"MQTT") + b"\4\x82\0\x3c" + mqtt_string(b"id") + mqtt_string(b"user")),
        (1, b"\x20\2\0\0"),
        (0, b"\x30\x0c" + mqtt_string(b"topic") + b"hello"),
        (0, b"\x82\x0a\0\1" + mqtt_string(b"other") + b"\0"),
        (1, b"\x90\3\0\1\0"),
    ]),
    "sip": (UDP, 5060, [
        (0, b"REGISTER sip:shop.example SIP/2.0\r\nVia: x\r\n\r\n"), (1, b"SIP/2.0 200 OK\r\nVia: x\r\n\r\n"),
    ]),
    "smb": (TCP, 445, [
        (0, smb2(3, smb2_tree("\\\\host\\files"), 1)),
        (1, smb2(3, b"\x10\0\1\0" + bytes(12), 1, reply=True)),
        (0, smb2(5, smb2_create("a.exe"), 2)),
        (1, smb2(5, bytes(64) + HANDLE + bytes(8), 2, reply=True)),
        (0, smb2(9, smb2_write(b"MZ content"), 3)),
        (1, smb2(9, bytes(16), 3, reply=True)),
        (0, smb2(6, b"\x18\0\0\0\0\0\0\0" + HANDLE, 4)),
        (1, smb2(6, bytes(60), 4, reply=True)),
    ]),
    "dcerpc": (TCP, 49152, [
        (0, rpc_bind(1, SERVICE)), (1, rpc_bind_ack(1)), (0, rpc_request(2, 4, b"stub")), (1, rpc_response(2, b"answer")),
    ]),
    "nfs": (TCP, 2049, [
        (0, b"\x80\0\0\x28" + struct.pack(">6I", 9, 0, 2, 100003, 3, 6) + bytes(16)),
        (1, b"\x80\0\0\x18" + struct.pack(">3I", 9, 1, 0) + bytes(12)),
    ]),
    "rfb": (TCP, 5900, [
        (1, b"RFB 003.008\n"), (0, b"RFB 003.008\n"), (1, b"\1\1"), (0, b"\1"), (1, bytes(4)), (0, b"\1"),
        (1, bytes(20) + b"\0\0\0\4desk"),
    ]),
    "pgsql": (TCP, 5432, [
        (0, struct.pack(">I", 4 + len(STARTUP)) + STARTUP), (1, pgsql(b"R", bytes(4)) + pgsql(b"Z", b"I")),
        (0, pgsql(b"Q", b"select 1\0")), (1, pgsql(b"C", b"SELECT 1\0") + pgsql(b"Z", b"I")), (0, pgsql(b"X", b"")),
    ]),
    "snmp": (UDP, 161, [(0, snmp(b"public"))]),
    "krb5": (UDP, 88, [(0, krb5_request(b"alice", (b"krbtgt", b"SHOP")))]),
    "dhcp": (UDP, 67, [(0, dhcp(3600))]),
    "tftp": (UDP, 69, [(0, b"\0\1boot.img\0octet\0")]),
    "ntp": (UDP, 123, [(0, b"\x23" + bytes(47)), (1, b"\x24" + bytes(47))]),
    "ike": (UDP, 500, [(0, ike()), (1, ike(b"RESPONSE"))]),
}  # fmt: skip
