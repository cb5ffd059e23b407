"""What was typed into forms and not sent, kept beside the settings: a lost terminal or a crash costs no words.

The file is readable by its owner only; it is written when the console ends and read when the first form opens.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from pathlib import Path

MOST = 40
LONGEST = 20_000
"""Drafts kept, and characters of one field: a draft is words, not a store."""


def restore(settings: Path | None) -> None:
    """Gives the forms what an earlier console left. A file that can't be read is nothing."""
    from screens import form

    for key, texts in _read(settings).items():
        form.drafts.setdefault(key, texts)


def keep(settings: Path | None) -> None:
    """Writes all drafts; what stands in an open form is one at every key. No draft: no file."""
    loaded = sys.modules.get("screens.form")
    if settings is None or loaded is None:
        return
    drafts = dict(list(loaded.drafts.items())[-MOST:])
    path = _path(settings)
    with contextlib.suppress(OSError):
        if not drafts:
            path.unlink(missing_ok=True)
            return
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh = path.with_suffix(".new")
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            json.dump(drafts, file)
        os.replace(fresh, path)


def _path(settings: Path) -> Path:
    return settings.with_name("drafts.json")


def _read(settings: Path | None) -> dict[str, dict[str, str]]:
    if settings is None:
        return {}
    try:
        found = json.loads(_path(settings).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {
        str(key): {str(name): str(text)[:LONGEST] for name, text in texts.items()}
        for key, texts in found.items()
        if isinstance(texts, dict)
    }
