"""SMB 1 and 2: shares, pipes, NTLM names, files, DCE/RPC calls."""

import struct
import uuid

import pytest

SERVICE = uuid.UUID("367abb81-9844-35f1-ad32-98f038001003")


def smb1(command, words, data, mid, *, reply=False, tree=9):
    head = b"\xffSMB" + struct.pack(
        "<BIBHH8sHHHHH", command, 0, 0x80 if reply else 0, 0, 0, b"", 0, tree, 4, 0, mid
    )
    body = bytes((len(words) // 2,)) + words + struct.pack("<H", len(data)) + data
    return struct.pack(">I", len(head) + len(body)) + head + body


@pytest.mark.parametrize("size", [1, 50, 4096])
def test_smb2_file(talk, samples, size):
    proto, port, messages = samples.CONVERSATIONS["smb"]
    said = talk(port, proto)
    for direction, data in messages:
        for start in range(0, len(data), size):
            said.say(direction, data[start : start + size])
    assert said.value("smb.share") == b"\\\\host\\files"
    (file,) = [file for t in said.transactions for file in t.files]
    assert (file.name, bytes(file.data), file.closed, file.direction) == (b"a.exe", b"MZ content", True, 0)


def test_smb2_pipe_with_calls(talk, samples):
    ioctl = struct.pack("<HHI16sII24x", 57, 0, 0x0011C017, samples.HANDLE, 120, 0)

    def call(data, message):
        body = ioctl[:28] + struct.pack("<I", len(data)) + ioctl[32:56] + data
        return samples.smb2(11, body, message)

    def answer(data, message):
        return samples.smb2(11, bytes(32) + struct.pack("<II8x", 112, len(data)) + data, message, reply=True)

    said = talk(445).client(samples.smb2(3, samples.smb2_tree("\\\\host\\IPC$"), 1))
    said.server(samples.smb2(3, b"\x10\0\2\0" + bytes(12), 1, reply=True))
    assert said.value("smb.named_pipe") == b"\\\\host\\IPC$"
    said.client(call(samples.rpc_bind(1, SERVICE), 2)).server(answer(samples.rpc_bind_ack(1), 2))
    said.client(call(samples.rpc_request(2, 15, b"stub"), 3))
    last = said.transactions[-1]
    assert last.buffers[0]["dcerpc.opnum"] == 15
    assert last.buffers[0]["dcerpc.iface"] == [(str(SERVICE), 1)]
    assert last.buffers[0]["dcerpc.stub_data"] == b"stub"


def test_smb1_share_and_file(talk):
    said = talk(445).client(smb1(0x75, struct.pack("<IHH", 0xFF, 0, 1), b"\0\\\\h\\docs\0?????\0", 1))
    said.server(smb1(0x75, struct.pack("<IH", 0xFF, 0), b"A:\0NTFS\0", 1, reply=True))
    assert said.value("smb.share") == b"\\\\h\\docs"
    said.client(smb1(0xA2, struct.pack("<IBH41x", 0xFF, 0, 5), b"a.exe\0", 2))
    said.server(smb1(0xA2, struct.pack("<IBH61x", 0xFF, 0, 77), b"", 2, reply=True))
    words = struct.pack("<IHIIHHHHHI", 0xFF, 77, 0, 0, 0, 0, 0, 4, 64, 0)
    said.client(smb1(0x2F, words, b"\0MZMZ"[1:], 3)[:68] + b"")
    said.client(smb1(0x2F, words, b"MZMZ", 3)[68:])
    said.client(smb1(4, struct.pack("<HI", 77, 0), b"", 4))
    (file,) = [file for t in said.transactions for file in t.files]
    assert (file.name, file.closed) == (b"a.exe", True)


def test_ntlm_names(talk, samples):
    def text(word):
        return word.encode("utf-16-le")

    domain, user = text("SHOP"), text("root")
    fields = struct.pack("<HHI", len(domain), len(domain), 64) + struct.pack("<HHI", len(user), len(user), 72)
    blob = b"NTLMSSP\0\3\0\0\0" + bytes(16) + fields + bytes(64 - 28 - 16) + domain + user
    body = struct.pack("<HBBIIHH8x", 25, 0, 0, 0, 0, 88, len(blob)) + blob
    said = talk(445).client(samples.smb2(1, body, 1))
    assert said.value("smb.ntlmssp_domain") == b"SHOP"
    assert said.value("smb.ntlmssp_user") == b"root"
    assert said.eve()["smb"]["ntlmssp"] == {"domain": "SHOP", "user": "root"}


def test_overlapping_writes(talk, samples):
    said = talk(445).play(samples.CONVERSATIONS["smb"][2][:4])
    said.client(samples.smb2(9, samples.smb2_write(b"abc"), 5)).client(
        samples.smb2(9, samples.smb2_write(b"xyz"), 6)
    )
    assert "file_overlap" in said.flags
    assert [bytes(f.data) for t in said.transactions for f in t.files] == [b"abc"]


def test_records_of_any_length_are_skipped(talk, samples):
    said = talk(445).play(samples.CONVERSATIONS["smb"][2][:2])
    said.client(b"\0\xff\xff\xff").client(bytes(0xFFFFFF)).play(samples.CONVERSATIONS["smb"][2][2:])
    assert any(t.files for t in said.transactions)


@pytest.mark.parametrize(("direction", "event"), [(0, "response_to_server"), (1, "request_to_client")])
def test_wrong_direction(talk, samples, direction, event):
    said = talk(445).play(samples.CONVERSATIONS["smb"][2][:2])
    assert event in said.say(direction, samples.smb2(5, bytes(60), 9, reply=direction == 0)).flags
