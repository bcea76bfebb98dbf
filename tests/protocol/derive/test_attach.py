"""Derived columns are made when asked, once, and the log format's own come first."""

from __future__ import annotations

import pytest

from sentinel.errors import InvalidInputError
from sentinel.model import Column
from sentinel.protocol.derive.attach import Derivation
from sentinel.protocol.derive.settings import DeriveSettings
from sentinel.trial import columns_of

LINE = '192.0.2.1 - anna [02/Mar/2026:00:00:37 +0000] "GET /a/b.php?x=%31 HTTP/1.1" 200 5 "-" "x"'


def test_names_aliases_parts_and_forms():
    columns = columns_of([LINE], "nginx-access")
    asked = {
        "cs-method": b"GET", "c-uri": b"/a/b.php?x=%31", "cs-uri-stem": b"/a/b.php", "c-uri-query": b"x=%31", "c-uri-extension": b"php",
        "sc-status": b"200", "c-ip": b"192.0.2.1", "cs-username": b"anna", "cs-uri-query|decoded": b"/a/b.php?x=1", "url.query|decoded": b"x=1",
        "@timestamp": b"1772409637",
    }  # fmt: skip
    assert {name: columns.column(name).get(0) for name in asked} == asked
    assert columns.column("no.such") is None
    assert columns.column("url.original|upside-down") is None
    assert columns.column("cs-method") is columns.column("http.request.method")


def test_what_the_format_has_is_not_derived():
    columns = columns_of([LINE], "nginx-access")
    columns.columns["shop.action"] = Column.of([b"own"])
    assert columns.column("shop.action").get(0) == b"own"


def test_a_missing_key_file_is_a_located_problem(tmp_path):
    with pytest.raises(InvalidInputError, match="No such file"):
        Derivation.of(DeriveSettings(personal_data_key_file=tmp_path / "absent"))
