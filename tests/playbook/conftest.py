"""The shop on real servers (tests/shop.py)."""

import importlib.util
import sys
from pathlib import Path

if "shop" not in sys.modules:
    _spec = importlib.util.spec_from_file_location("shop", Path(__file__).parents[1] / "shop.py")
    sys.modules["shop"] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules["shop"])

from shop import bench_of, servers  # noqa: F401 - fixtures
