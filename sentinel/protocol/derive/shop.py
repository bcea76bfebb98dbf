"""Requests -> shop.action: login, register, search, product, cart, coupon, checkout, pay, review, giftcard, export.

A vocabulary is a list of patterns per action, the site's own first, then a preset's. Rules name actions and so
hold for any shop (OWASP Automated Threats speak of actions, not of addresses). Columns: `shop.action`, absent where
no pattern fits; `shop.item`, the last number or slug of the path (which product, which coupon).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from sentinel.model import Column

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from numpy.typing import NDArray

    from sentinel.model import Columns

    Ints = NDArray[np.int64]

CACHED = 32_768  # different requests remembered; product pages are many, and come again
ANY_METHOD = ""
MOST_PAIRS = 1 << 20  # of methods and targets for which a table is made: clients have a handful of methods
SIGN = 3  # letters by which a part of a path is known
_PARTS = re.compile(rb"[/.]")
# Patterns of common shops, in the order in which they are asked.
GENERIC: dict[str, list[str]] = {
    "register": ["POST **/register*", "POST **/signup*", "POST **/sign-up*", "POST **/sign_up*", "POST **/users", "POST **/customers", "POST **/account/create*", "POST **/accounts"],
    "login": ["POST **/login*", "POST **/signin*", "POST **/sign-in*", "POST **/sign_in*", "POST **/auth/token", "POST **/oauth/token", "POST **/session", "POST **/sessions", "POST **/authenticate"],
    "giftcard": ["**/gift-card*/**", "**/giftcard*/**", "**/gift_card*/**", "**/gift-card*", "**/giftcard*", "**/voucher*/**"],
    "coupon": ["**/coupon*/**", "**/coupon*", "**/promo-code*", "**/promocode*", "**/discount*/**", "**/discount*", "**/redeem*"],
    "pay": ["POST **/pay", "POST **/pay/*", "POST **/payment*", "POST **/payments/**", "POST **/checkout/payment*", "POST **/charge*", "POST **/card*"],
    "checkout": ["POST **/checkout*", "POST **/checkout/**", "POST **/order", "POST **/orders", "POST **/place-order*", "/checkout", "/checkout/**"],
    "cart": ["POST **/cart*", "POST **/cart/**", "PUT **/cart/**", "POST **/basket*", "POST **/basket/**", "POST **/add-to-cart*", "POST **/bag/**"],
    "review": ["POST **/review*", "POST **/reviews/**", "POST **/*/reviews", "POST **/rating*", "POST **/comment*"],
    "search": ["**/search", "**/search/**", "**/suggest*", "**/catalogsearch/**"],
    "export": ["**/export", "**/export/**", "**/export*", "**/download-report*", "**/reports/*.csv", "**/*.xlsx"],
    "product": ["GET **/product/**", "GET **/products/*", "GET **/products/*/**", "GET **/p/*", "GET **/item/*", "GET **/items/*", "GET **/goods/*", "GET **/dp/*", "GET **/sku/*"],
}  # fmt: skip
PRESETS: dict[str, dict[str, list[str]]] = {
    "none": {},
    "generic": GENERIC,
    "magento": {
        "login": ["POST /customer/account/loginPost/**", "POST /rest/**/integration/customer/token", "POST /customer/ajax/login*"],
        "register": ["POST /customer/account/createpost/**", "POST /rest/**/customers"],
        "search": ["/catalogsearch/**", "/search/ajax/suggest/**"],
        "product": ["GET /catalog/product/view/**", "GET /*.html"],
        "cart": ["POST /checkout/cart/add/**", "POST /rest/**/carts/mine/items", "POST /rest/**/guest-carts/*/items"],
        "coupon": ["POST /checkout/cart/couponPost/**", "PUT /rest/**/coupons/*"],
        "giftcard": ["/giftcard/**", "POST /rest/**/carts/*/giftCards"],
        "pay": ["POST /rest/**/payment-information", "POST /rest/**/set-payment-information"],
        "checkout": ["POST /checkout/**", "POST /rest/**/shipping-information"],
        "review": ["POST /review/product/post/**"],
    },
    "woocommerce": {
        "login": ["POST /my-account/", "POST /wp-login.php"],
        "register": ["POST /my-account/register*"],
        "cart": ["**/wc/store/**/cart/add-item", "POST /cart/", "POST /shop/**"],
        "coupon": ["**/wc/store/**/cart/apply-coupon", "**/wc/store/**/cart/coupons**"],
        "pay": ["**/wc/store/**/checkout", "POST /checkout/order-pay/**"],
        "checkout": ["POST /checkout/", "/checkout/**"],
        "product": ["GET /product/**", "GET /shop/**"],
        "review": ["POST /wp-comments-post.php"],
    },
    "shopify": {
        "login": ["POST /account/login", "POST /account/recover"],
        "register": ["POST /account"],
        "cart": ["POST /cart/add*", "POST /cart/update*", "POST /cart/change*"],
        "coupon": ["/discount/**"],
        "checkout": ["/checkouts/**", "/checkout"],
        "pay": ["POST /checkouts/**", "POST **/payments"],
        "search": ["/search", "/search/suggest*"],
        "product": ["GET /products/**", "GET /collections/*/products/**"],
    },
    "prestashop": {
        "login": ["POST /login", "POST /authentication"],
        "register": ["POST /registration"],
        "cart": ["POST /cart", "POST /panier"],
        "coupon": ["POST /cart"],
        "checkout": ["POST /order", "POST /commande"],
        "pay": ["POST /module/*/validation*"],
        "product": ["GET /*/*.html"],
        "review": ["POST /module/productcomments/**"],
    },
    "opencart": {"product": ["GET /product/**"], "cart": ["POST /index.php"], "search": ["/search/**"]},
    "shopware": {
        "login": ["POST /account/login", "POST /store-api/account/login"],
        "register": ["POST /account/register", "POST /store-api/account/register"],
        "cart": ["POST /checkout/line-item/add", "POST /store-api/checkout/cart/line-item"],
        "coupon": ["POST /checkout/promotion/add"],
        "checkout": ["POST /checkout/order", "POST /store-api/checkout/order", "/checkout/**"],
        "pay": ["POST /store-api/handle-payment", "/payment/**"],
        "review": ["POST /product/*/rating"],
        "search": ["/search", "/suggest", "/store-api/search*"],
        "product": ["GET /detail/**", "POST /store-api/product/*"],
    },
}  # fmt: skip


class Vocabulary:
    """Patterns compiled to one expression per method; asks `action(method, path)`."""

    def __init__(self, own: Mapping[str, Iterable[str]] | None = None, preset: str = "generic") -> None:
        patterns = [*_patterns(own or {}), *_patterns(PRESETS[preset])]
        if preset not in {"none", "generic"}:
            patterns += _patterns(GENERIC)
        methods = {method for method, _, _ in patterns} | {ANY_METHOD}
        self._signs = frozenset(_sign(path) for _, path, _ in patterns)
        self._expressions = {method: _compile(patterns, method) for method in methods}
        names = [b"", *dict.fromkeys(action.encode() for _, _, action in patterns)]
        self._names = Column.of(names)  # action n is the n-th of these
        self._numbers = _Numbers(self.action, {name: number for number, name in enumerate(names)})

    def action(self, method: bytes, path: bytes) -> bytes | None:
        signs = self._signs
        if b"" not in signs and not any(part[:SIGN] in signs for part in _PARTS.split(path.lower())):
            return None  # most requests are for pictures and scripts
        expression = self._expressions.get(method.decode("latin-1"), self._expressions[ANY_METHOD])
        found = expression.fullmatch(path)
        return found.lastgroup.partition("_")[0].encode() if found and found.lastgroup else None

    def column(self, columns: Columns) -> Column | None:
        """Worked out once for each different request of the batch."""
        methods, paths = columns.column("http.request.method"), _deciding(columns)
        if paths is None or methods is None:
            return None
        if len(self._numbers) > CACHED:
            self._numbers.clear()
        names, of_method = methods.distinct()
        targets, of_target = paths.distinct()
        each, request = _pairs(of_method, of_target, len(targets))
        numbers = np.zeros(len(each) + 1, np.int64)  # the last one: no request
        pairs = zip((each // len(targets)).tolist(), (each % len(targets)).tolist(), strict=True)
        numbers[:-1] = [
            self._numbers[names[method] + b" " + targets[target].partition(b"?")[0]]
            for method, target in pairs
        ]
        codes, bounds = numbers[request], self._names.offsets
        return Column(self._names.data, bounds[codes], codes > 0, bounds[codes + 1])


def _deciding(columns: Columns) -> Column | None:
    """The target, of which the path is what stands before a question mark; the path where it was logged itself."""
    logged = columns.basis is not None and "url.path" in columns.basis(columns, "url.path")
    return columns.column("url.path" if logged else "url.original")


def _pairs(methods: Ints, targets: Ints, count: int) -> tuple[Ints, Ints]:
    """Each different pair as METHOD * count + TARGET, and which of them each row has (-1: none)."""
    both = (methods >= 0) & (targets >= 0)
    pairs = methods[both] * count + targets[both]
    places = np.full(len(methods), -1, np.int64)
    if len(pairs) and int(pairs.max()) > MOST_PAIRS:
        each, places[both] = np.unique(pairs, return_inverse=True)
    else:
        seen = np.bincount(pairs) > 0
        each = np.flatnonzero(seen)
        places[both] = (np.cumsum(seen) - 1)[pairs]
    return each, places


class _Numbers(dict[bytes, int]):
    """`METHOD path` -> the number of its action, 0 for none; worked out once, as most requests come again."""

    def __init__(self, action: Callable[[bytes, bytes], bytes | None], numbers: dict[bytes, int]) -> None:
        super().__init__()
        self._action, self._numbers = action, numbers

    def __missing__(self, request: bytes) -> int:
        method, _, path = request.partition(b" ")
        found = self._action(method, path) if method and path else None
        number = self[request] = 0 if found is None else self._numbers[found]
        return number


def _sign(path: str) -> bytes:
    """The first letters of some part of every path that fits the pattern; empty where there is no such part."""
    parts = [part for part in re.split(r"[/.]", path.lower()) if part]
    plain = [part for part in parts if "*" not in part[:SIGN]]
    chosen = max(plain, key=lambda part: len(part.partition("*")[0]), default="")
    return chosen.encode()[:SIGN]


def _patterns(actions: Mapping[str, Iterable[str]]) -> list[tuple[str, str, str]]:
    """(method, path, action); a pattern without a method is for any."""
    made = []
    for action, patterns in actions.items():
        for pattern in patterns:
            method, _, path = pattern.strip().rpartition(" ")
            made.append((method.strip().upper(), path, action))
    return made


def _compile(patterns: list[tuple[str, str, str]], method: str) -> re.Pattern[bytes]:
    wanted = [(path, action) for its, path, action in patterns if its in {method, ANY_METHOD}]
    parts = [f"(?P<{action}_{number}>{_expression(path)})" for number, (path, action) in enumerate(wanted)]
    return re.compile(("|".join(parts) or r"(?!)").encode(), re.IGNORECASE | re.DOTALL)


def _expression(path: str) -> str:
    """`**/x` is also `/x`; a trailing slash never matters."""
    marks = {"**/": "/(?:.*/)?", "**": ".*", "*": "[^/]*"}
    parts = re.split(r"(\*\*/|\*\*|\*)", path.rstrip("/") if len(path) > 1 else path)
    return "".join(marks.get(part, re.escape(part)) for part in parts) + "/?"


_ITEM = re.compile(rb"[^/?&=]{1,128}(?=/?$)")


def item(columns: Columns) -> Column | None:
    paths = columns.column("url.path")
    if paths is None:
        return None
    actions = columns.column("shop.action")
    if actions is None:
        return None
    rows = columns.rows
    present = np.ones(rows, np.bool_) if actions.present is None else actions.present
    values: list[bytes | None] = [None] * rows
    for row in np.flatnonzero(present).tolist():
        found = _ITEM.search(paths.get(row) or b"")
        values[row] = found[0] if found else None
    return Column.of(values)
