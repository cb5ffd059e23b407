"""What was typed into forms and not sent, kept beside the settings: a lost terminal or a crash costs no words.

The file is readable by its owner only; it is written a moment after something was typed and when the console ends, and read
when the first form opens. Consoles in several terminals share it: each writes its own drafts and leaves the others'.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any

SOON_S = 0.5
MOST = 40
LONGEST = 20_000
"""Drafts kept, and characters of one field: a draft is words, not a store."""


_written: set[str] = set()
"""Drafts of the file that are ours: read by us, or written by us. Others belong to a console in another terminal."""


class Drafting:
    """What a console does so that no word is lost: it reads drafts when the first form opens, and writes them down while
    somebody types, and when it ends however it ends."""

    _drafts_read = False
    _drafts_due = False

    def ask_form(self, form: Any) -> None:
        """A form on top of where we are, with what was typed into it before."""
        app: Any = self
        if app.model.only_looks:
            app.tell((app.model.blocked(), "caution"))
            return
        if not self._drafts_read:
            self._drafts_read = True
            restore(app._settings_path)
        app.push_screen(form)

    def drafts_soon(self) -> None:
        """Something was typed: it is on disk within `SOON_S`, so that even a killed console costs no more than that."""
        app: Any = self
        if self._drafts_read and not self._drafts_due:
            self._drafts_due = True
            app.set_timer(SOON_S, self._keep_drafts)

    def _keep_drafts(self) -> None:
        """Only what was read before is written again: a console that opened no form touches nobody's drafts."""
        app: Any = self
        self._drafts_due = False
        if self._drafts_read:
            keep(app._settings_path)


def restore(settings: Path | None) -> None:
    """Gives the forms what an earlier console left. A file that can't be read is nothing."""
    from screens import form

    for key, texts in _read(settings).items():
        form.drafts.setdefault(key, texts)
        _written.add(key)


def keep(settings: Path | None) -> None:
    """Writes all drafts; what stands in an open form is one at every key. Those another console wrote meanwhile stay as
    they are. No draft: no file."""
    loaded = sys.modules.get("screens.form")
    if settings is None or loaded is None:
        return
    others = {key: texts for key, texts in _read(settings).items() if key not in _written}
    drafts = dict(list({**others, **loaded.drafts}.items())[-MOST:])
    _written.update(loaded.drafts)
    path = _path(settings)
    with contextlib.suppress(OSError):
        if not drafts:
            path.unlink(missing_ok=True)
            return
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh = path.with_suffix(f".{os.getpid()}")
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
