"""Consoles over the fake client, and forms opened on them."""

from __future__ import annotations

from tests.unit.decision_screens.conftest import At, Desk, at

__all__ = ["At", "Desk", "at"]
