"""A receiver as Alertmanager is one: a real HTTP(S) server on loopback that keeps what it was sent."""

import http.server
import json
import threading


class Receiver(http.server.ThreadingHTTPServer):
    """`answers` are the statuses to come; then 200. Anything but Alertmanager's path and JSON is refused as there."""

    def __init__(self, context=None):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers, self.requests, self.alerts = [], [], []
        self.arrived = threading.Event()
        if context is not None:
            self.socket = context.wrap_socket(self.socket, server_side=True)
        scheme = "http" if context is None else "https"
        self.url = f"{scheme}://127.0.0.1:{self.server_port}"

    def handle_error(self, request, client_address):
        pass  # a refused TLS handshake is what a test asks for


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        server = self.server
        server.requests.append((self.path, dict(self.headers)))
        status = server.answers.pop(0) if server.answers else 200
        if self.path != "/api/v2/alerts" or self.headers["Content-Type"] != "application/json":
            status = 404
        self.send_response(status)
        if status == 307:
            self.send_header("Location", f"{server.url}/api/v2/alerts")
        self.end_headers()
        if status == 200:
            server.alerts += json.loads(body)
            server.arrived.set()

    def log_message(self, *_):
        pass


def serving(receiver):
    thread = threading.Thread(target=receiver.serve_forever, args=(0.01,))
    thread.start()
    yield receiver
    receiver.shutdown()
    thread.join()
    receiver.server_close()
