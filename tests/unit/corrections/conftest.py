"""A ground of the correction loop for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.unit.corrections.ground import Ground


@pytest.fixture
async def ground(tmp_path: Path) -> AsyncIterator[Ground]:
    made = await Ground(tmp_path).open()
    yield made
    await made.host.close()
