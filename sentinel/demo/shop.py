"""A small web shop for the demo: HTTP, an access log in nginx's combined format, orders in SQLite.

Run as `python -m sentinel.demo.shop FOLDER PORT...`. It is deliberately ordinary: products, search, login, checkout.
"""

from __future__ import annotations

import sqlite3
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

ORDERS = 500
PRODUCTS = ("kettle", "lamp", "notebook", "headphones", "tea", "chair", "shirt")
USERS = {"alice": "correct horse", "bob": "battery staple"}


def seed(database: Path) -> None:
    """A schema as a shop has it and ORDERS orders; does nothing where a database already is."""
    with sqlite3.connect(database) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY, customer TEXT NOT NULL, product TEXT NOT NULL, "
            "quantity INTEGER NOT NULL, cents INTEGER NOT NULL, placed TEXT NOT NULL)"
        )
        if connection.execute("SELECT count(*) FROM orders").fetchone()[0] == 0:
            connection.executemany(
                "INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?)", map(_order, range(1, ORDERS + 1))
            )


def _order(number: int) -> tuple[int, str, str, int, int, str]:
    product = PRODUCTS[number % len(PRODUCTS)]
    quantity = number % 3 + 1
    return (
        number,
        f"customer{number % 97}@shop.example",
        product,
        quantity,
        quantity * 1999,
        f"2026-11-{number % 28 + 1:02d}",
    )


class AccessLog:
    """nginx's combined format: one write a line, so that a follower never sees half of one for long."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)
        self._lock = threading.Lock()

    def write(self, address: str, request: str, status: int, size: int, *, referer: str, agent: str) -> None:
        moment = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime())
        line = f'{address} - - [{moment}] "{_escape(request)}" {status} {size} "{_escape(referer)}" "{_escape(agent)}"\n'
        with self._lock:
            self._file.write(line.encode("latin-1", "replace"))


def _escape(text: str) -> str:
    r"""As nginx: quote, backslash and bytes outside printable ASCII become \xHH."""
    return "".join(c if " " <= c <= "~" and c not in '"\\' else f"\\x{ord(c):02X}" for c in text) or "-"


class Shop(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, folder: Path, port: int) -> None:
        self.database = folder / "shop.db"
        seed(self.database)
        self.access_log = AccessLog(folder / "access.log")
        super().__init__(("0.0.0.0", port), Page)  # noqa: S104 - the namespace has no other network

    def handle_error(self, request: object, client_address: object) -> None:
        """A visitor who hangs up, or is cut off by a ban, is no error of the shop."""


class Page(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Shop
    timeout = 10

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path in {"/", "/products", "/search", "/cart"}:
            self._answer(200, f"<h1>shop</h1><p>{', '.join(PRODUCTS)}</p>")
        elif path == "/orders":
            self._answer(200, self._orders())
        else:
            self._answer(404, "not found")

    def do_POST(self) -> None:
        length = min(int(self.headers.get("Content-Length") or 0), 65_536)
        form = parse_qs(self.rfile.read(length).decode("utf-8", "replace"))
        if urlsplit(self.path).path != "/login":
            self._answer(404, "not found")
            return
        user = form.get("user", [""])[0]
        known = user in USERS and form.get("password", [""])[0] == USERS[user]
        self._answer(200 if known else 401, "welcome" if known else "wrong user or password")

    def _orders(self) -> str:
        with sqlite3.connect(f"file:{self.server.database}?mode=ro", uri=True) as connection:
            count = connection.execute("SELECT count(*) FROM orders").fetchone()[0]
        return f"{count} orders"

    def _answer(self, status: int, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        agent, referer = self.headers.get("User-Agent", ""), self.headers.get("Referer", "")
        self.server.access_log.write(
            self.client_address[0], self.requestline, status, len(body), referer=referer, agent=agent
        )

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
        """The access log is ours; http.server's own lines on stderr are not wanted."""


def main(folder: Path, ports: list[int]) -> None:
    """All ports but the last in threads of their own; they share the log and the database."""
    shops = [Shop(folder, port) for port in ports]
    for shop in shops[:-1]:
        threading.Thread(target=shop.serve_forever, daemon=True).start()
    shops[-1].serve_forever()


if __name__ == "__main__":
    main(Path(sys.argv[1]), [int(port) for port in sys.argv[2:]])
