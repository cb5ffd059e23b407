"""A real book, and the shift's own reads over it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from engine.capabilities.oncall.embedded import Shifts
from engine.capabilities.packs import load_pack
from tests.unit.cases.ground import Ground
from tests.unit.decision_screens.conftest import at  # noqa: F401


class Watchroom(Ground):
    """The ground of the cases, with the shift's own reads."""

    def port(self, capability: str) -> Any:
        if capability == "oncall":
            return Shifts(self.host.journal.path, load_pack)
        return super().port(capability)

    async def incident(self, ic: str, sev: int = 2, title: str = "robots stop in aisle 7") -> str:
        made = await self.book(ic or "cy").create(
            "incident",
            {"title": title, "sev": sev, "ic": ic, "ic_since": self.clock.now() if ic else 0.0, "run": "run-9"},
            key="incident",
        )
        return str(made.id)

    def record(self, kind: str, id: str) -> Any:
        return self.host.book.reads.get(kind, id)


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Watchroom]:
    found = await Watchroom.open(tmp_path)
    assert isinstance(found, Watchroom)
    yield found
    await found.host.close()
