"""What sentinel.yml may say about derived columns: the shop's vocabulary and the key of personal-data hashes."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import field_validator

from sentinel.yamlfile import Settings

Action = Literal["login", "register", "search", "product", "cart", "coupon", "checkout", "pay", "review", "giftcard", "export"]  # fmt: skip
Preset = Literal["generic", "magento", "woocommerce", "shopify", "prestashop", "opencart", "shopware", "none"]


class ShopSettings(Settings):
    """`logs.shop:` which requests are which action of a shop. A site's own patterns are asked before the preset's.

    A pattern is `[METHOD] PATH`; in a path `*` stands for anything within a segment, `**` for anything.
    """

    preset: Preset = "generic"
    actions: dict[Action, list[str]] = {}

    @field_validator("actions")
    @classmethod
    def _patterns(cls, value: dict[Action, list[str]]) -> dict[Action, list[str]]:
        for action, patterns in value.items():
            for pattern in patterns:
                words = pattern.split()
                if not 1 <= len(words) <= 2 or not words[-1].startswith(("/", "*")):
                    raise ValueError(f"{action}: {pattern!r} is not [METHOD] PATH, such as POST /cart/add/**")
        return value


class DeriveSettings(Settings):
    """`personal_data_key_file` holds the key of hashes of personal data; without it they differ at every start."""

    shop: ShopSettings = ShopSettings()
    personal_data_key_file: Path | None = None
