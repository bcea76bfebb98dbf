"""Every shipped network rule alerts on its hit, stays silent on its near miss, and on ordinary shop traffic."""

import importlib.util
import random
import re
from pathlib import Path

import pytest

from sentinel import yamlfile
from sentinel.pipeline import replay_network

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "rules" / "network").glob("*.rules"))

_spec = importlib.util.spec_from_file_location("traffic", Path(__file__).with_name("traffic.py"))
traffic = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(traffic)


def cases(file):
    path = Path(__file__).parent / "network" / f"{file.stem}.yml"
    return yamlfile.construct(yamlfile.compose(path.read_text(), str(path)), str(path))


def alerts(path, rules):
    """(sid, one of its addresses) of every alert."""
    found = set()
    for alert in replay_network(path, rules):
        found |= {(alert.signature_id, alert.src_ip), (alert.signature_id, alert.dest_ip)}
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_hits_and_near_misses(file, tmp_path):
    capture = traffic.Capture()
    peers = {
        (sid, kind): capture.add(case) for sid, pair in cases(file).items() for kind, case in pair.items()
    }
    capture.write(tmp_path / "t.pcap")
    found = alerts(tmp_path / "t.pcap", [file])
    missed = [sid for (sid, kind), peer in peers.items() if kind == "hit" and (sid, peer) not in found]
    wrong = [sid for (sid, kind), peer in peers.items() if kind == "miss" and (sid, peer) in found]
    assert (missed, wrong) == ([], [])


def test_every_rule_has_a_case_and_a_sid_of_ours():
    sids = []
    for file in FILES:
        own = [int(sid) for sid in re.findall(r"sid:(\d+);", file.read_text())]
        assert set(own) == set(cases(file))
        sids += own
    assert len(sids) == len(set(sids)) >= 150
    assert min(sids) >= 9_000_000


PRODUCTS = (
    "lamp",
    "kettle",
    "usb cable",
    "children's books",
    "tea & coffee",
    "shelf 40x60",
    "black/white chair",
    "café",
)
PAGES = ("/", "/products/{n}", "/search?q={q}&sort=price", "/cart", "/cart/add?id={n}&qty=2", "/static/app.{n}.js", "/img/{n}.jpg",
         "/category/home-garden?page={n}", "/account/orders/{n}", "/checkout/step-2", "/api/v1/products?ids={n},{n}")  # fmt: skip


def test_an_hour_of_ordinary_shop_traffic_raises_nothing(tmp_path):
    """600 visits of browsers and an app: pages, searches, forms, JSON, a password typed into a form, TLS and DNS."""
    rng = random.Random(11)
    capture = traffic.Capture()
    from urllib.parse import quote

    for number in range(600):
        uri = rng.choice(PAGES).format(n=rng.randrange(9999), q=quote(rng.choice(PRODUCTS)))
        case = {
            "uri": uri,
            "response": "<html><body>" + "<p>Fine goods.</p>" * rng.randrange(20) + "</body></html>",
        }
        if number % 5 == 0:
            case |= {"method": "POST", "uri": "/login", "body": "user=bob%40mail.example&password=hunter22"}
        if number % 7 == 0:
            case |= {
                "method": "POST",
                "uri": "/api/cart",
                "body": '{"id": 17, "qty": 2, "note": "for Ann; select wrap"}',
            }
        if number % 11 == 0:
            case = {"tls": {"sni": "shop.example"}}
        if number % 13 == 0:
            case = {"dns": rng.choice(("shop.example", "cdn.shop.example", "payment.example"))}
        capture.add(case)
        capture.clock += 6
    capture.write(tmp_path / "calm.pcap")
    assert alerts(tmp_path / "calm.pcap", FILES) == set()
