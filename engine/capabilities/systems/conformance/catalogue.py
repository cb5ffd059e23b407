"""Which modules hold promises. Loaded at the first check: an engine that never checks pays nothing."""

from __future__ import annotations

import importlib
from functools import lru_cache

MODULES = ("every", "updates", "tickets", "people", "alerts", "registry", "labels", "objects", "gateways", "training")


@lru_cache(maxsize=1)
def load() -> None:
    for name in MODULES:
        importlib.import_module(f"engine.capabilities.systems.conformance.{name}")
