"""A real S3 server for tests (SeaweedFS), and a proxy that fails between us and it."""

import json
import random
import socket
import socketserver
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import boto3
import botocore.exceptions
from botocore.config import Config

ACCESS_KEY, SECRET_KEY = "sentinel-test", "sentinel-test-secret"


def free_ports(count):
    """Below 22000, since the server takes port + 10000 as well."""
    found = []
    dice = random.Random()
    while len(found) < count:
        port = dice.randrange(11_000, 22_000)
        try:
            for each in (port, port + 10_000):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", each))
        except OSError:
            continue
        if port not in found:
            found.append(port)
    return found


class S3Server:
    def __init__(self, folder):
        self.folder = Path(folder)
        master, volume, filer, self.port = free_ports(4)
        self.endpoint = f"http://127.0.0.1:{self.port}"
        identity = {
            "name": "test",
            "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        (self.folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
        (self.folder / "data").mkdir()
        self.log = (self.folder / "log").open("wb")
        self.process = subprocess.Popen(
            [
                Path(sys.executable).with_name("weed"),
                "server",
                f"-dir={self.folder / 'data'}",
                "-ip=127.0.0.1",
                f"-master.port={master}",
                f"-volume.port={volume}",
                f"-filer.port={filer}",
                "-s3",
                f"-s3.port={self.port}",
                f"-s3.config={self.folder / 's3.json'}",
                "-master.volumeSizeLimitMB=64",
                "-volume.max=60",
                "-s3.port.iceberg=0",
                "-s3.port.lance=0",  # fixed ports otherwise: two servers could not run side by side
            ],
            stdout=self.log,
            stderr=self.log,
            start_new_session=True,
        )
        self._wait()

    def _wait(self):
        deadline = time.monotonic() + 110  # a loaded machine
        while time.monotonic() < deadline:
            try:
                urllib.request.urlopen(self.endpoint, timeout=2).close()
            except urllib.error.HTTPError:
                if self._can_write():
                    return
            except OSError:
                pass
            if self.process.poll() is not None:
                break
            time.sleep(0.2)
        self.close()
        raise RuntimeError((self.folder / "log").read_text()[-3000:])

    def _can_write(self):
        """The gateway answers before the volumes behind it take data."""
        client = self.client()
        try:
            client.create_bucket(Bucket="ready")
            client.put_object(Bucket="ready", Key="probe", Body=b"x")
        except (botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError):
            return False
        finally:
            client.close()
        return True

    def client(self):
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            region_name="us-east-1",
            config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
        )

    def close(self):
        self.process.kill()  # its data is thrown away; a polite end takes ten seconds
        self.process.wait()
        self.log.close()


class FaultProxy:
    """TCP in front of a server. A fault is chosen for each connection by `dice`: it may answer 500 or 503 itself,
    cut in the middle of the request or of the answer (truncation), or be slow.
    """

    FAULTS = ("500", "503", "cut request", "cut answer", "truncate", "delay")

    def __init__(self, target_port, *, rate=0.3, seed=1, faults=FAULTS):
        self.rate = rate
        self.faults = faults
        self.dice = random.Random(seed)
        self.counts = dict.fromkeys(self.FAULTS, 0)
        self.target_port = target_port
        proxy = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                proxy.handle(self.request)

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True

            def handle_error(self, request, client_address):
                pass  # a broken pipe is what we are for

        self.server = Server(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(
            target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        ).start()

    def handle(self, client):
        """One request a connection: it is closed after the answer, so that each request meets the dice."""
        fault = self.dice.choice(self.faults) if self.dice.random() < self.rate else None
        if fault:
            self.counts[fault] += 1
        client.settimeout(30)
        head, body, length = read_request(client)
        if head is None:
            return
        if fault in {"500", "503"}:
            drain(client, length - len(body))
            reason = b"500 Internal Server Error" if fault == "500" else b"503 Slow Down"
            client.sendall(b"HTTP/1.1 " + reason + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return
        with socket.create_connection(("127.0.0.1", self.target_port), timeout=30) as server:
            server.sendall(without_keep_alive(head))
            if fault == "cut request":
                server.sendall(body[: len(body) // 2])
                return
            server.sendall(body)
            relay(client, server, length - len(body))
            if fault == "delay":
                time.sleep(0.05 + 0.2 * self.dice.random())
            limit = {"cut answer": 10, "truncate": 400}.get(fault)
            sent = 0
            while part := server.recv(65_536):
                if limit is not None and sent + len(part) > limit:
                    client.sendall(part[: limit - sent])
                    return
                client.sendall(part)
                sent += len(part)

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def read_request(client):
    data = b""
    while b"\r\n\r\n" not in data:
        part = client.recv(65_536)
        if not part:
            return None, b"", 0
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
        if name.lower() == b"expect":
            client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    return head + b"\r\n\r\n", body, length


def without_keep_alive(head):
    lines = [
        line for line in head[:-4].split(b"\r\n") if not line.lower().startswith((b"connection:", b"expect:"))
    ]
    return b"\r\n".join([*lines, b"Connection: close"]) + b"\r\n\r\n"


def drain(client, rest):
    while rest > 0 and (part := client.recv(65_536)):
        rest -= len(part)


def relay(client, server, rest):
    while rest > 0 and (part := client.recv(65_536)):
        server.sendall(part)
        rest -= len(part)
