"""The shop's vocabulary: a site's ten lines first, then a preset."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sentinel.protocol.derive.attach import Derivation
from sentinel.protocol.derive.settings import DeriveSettings, ShopSettings
from sentinel.protocol.derive.shop import PRESETS, Vocabulary, _patterns
from sentinel.trial import columns_of

OWN = {"coupon": ["POST /kasse/gutschein/*"], "product": ["/ware/**"]}


@pytest.mark.parametrize(
    ("method", "path", "action"),
    [
        ("POST", "/account/login", b"login"),
        ("GET", "/account/login", None),
        ("POST", "/api/v2/auth/login", b"login"),
        ("POST", "/register", b"register"),
        ("GET", "/search", b"search"),
        ("GET", "/api/v1/suggest", b"search"),
        ("GET", "/product/123/shirt", b"product"),
        ("POST", "/cart/add", b"cart"),
        ("POST", "/cart/coupon", b"coupon"),
        ("POST", "/checkout/payment", b"pay"),
        ("POST", "/checkout/address", b"checkout"),
        ("POST", "/product/5/reviews", b"review"),
        ("GET", "/static/js/main.js", None),
        ("GET", "/", None),
    ],
)
def test_the_generic_preset_knows_common_addresses(method, path, action):
    assert Vocabulary().action(method.encode(), path.encode()) == action


def test_a_site_s_own_patterns_come_first():
    vocabulary = Vocabulary(OWN, "magento")
    assert vocabulary.action(b"POST", b"/kasse/gutschein/einloesen") == b"coupon"
    assert vocabulary.action(b"GET", b"/ware/hemd/blau") == b"product"
    assert vocabulary.action(b"POST", b"/customer/account/loginPost/") == b"login"


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_presets_compile(preset):
    assert Vocabulary({}, preset).action(b"GET", b"/no/such/thing.css") is None


@given(
    st.sampled_from([(p, m, path, a) for p in sorted(PRESETS) for m, path, a in _patterns(PRESETS[p])]),
    st.text("abc", min_size=1, max_size=4),
)
def test_every_pattern_is_found_by_its_sign(pattern, word):
    preset, method, path, _ = pattern
    target = path.replace("**/", "/").replace("**", word).replace("*", word)
    target = "/" + target.lstrip("/")
    vocabulary = Vocabulary({}, preset)
    assert vocabulary.action((method or "GET").encode(), target.encode()) is not None


def test_columns():
    line = '192.0.2.1 - - [02/Mar/2026:00:00:37 +0000] "{} HTTP/1.1" 200 5 "-" "x"'
    columns = columns_of([line.format("GET /product/42/"), line.format("GET /about")], "nginx-access")
    assert columns.column("shop.action").values() == [b"product", None]
    assert columns.column("shop.item").values() == [b"42", None]


def test_a_wrong_pattern_is_refused():
    with pytest.raises(ValidationError, match="METHOD"):
        ShopSettings(actions={"cart": ["POST cart add"]})
    assert Derivation.of(DeriveSettings(shop=ShopSettings(preset="none")))
