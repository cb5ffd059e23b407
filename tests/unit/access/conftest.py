from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.unit.access.site import Site


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    here = await Site(tmp_path).open()
    yield here
    await here.close()
