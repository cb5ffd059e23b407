"""A person's settings of the console, in one file: theme, keys, columns, what rings. A convenience: nothing depends on it."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from app.home import Home, candidates


def file_of(home: Home | None = None) -> Path:
    """Where they stand: beside the configuration of the engine that is used."""
    return (home or candidates()[0]).config / "console.json"


def read(path: Path | None) -> dict[str, Any]:
    """What is there; nothing, when it can't be read."""
    if path is None:
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write(path: Path | None, settings: dict[str, Any]) -> None:
    """All of them at once, or none: a read-only home loses them, nothing else."""
    if path is None:
        return
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(settings, indent=1), encoding="utf-8")
        os.replace(fresh, path)
