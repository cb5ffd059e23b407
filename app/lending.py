"""The console's terminal, lent: to a session on a gateway, or to an editor. The console waits behind it, painting nothing."""

from __future__ import annotations

import os
from typing import Any

from screens.widgets.clean import clean


class Lending:
    def shell(self, gateway: str, system: str = "") -> None:
        """A session on a gateway in this terminal. The console waits behind it, and is painted anew when it is over."""
        from app import shell

        app: Any = self
        if app.model.only_looks:
            app.tell((app.model.blocked(), "caution"))
            return
        if not _may_be_lent(app):
            app.tell(("this terminal can't be lent: qd access ssh " + clean(gateway, 60), "caution"))
            return
        person = app.client.headers.get("X-Quarterdeck-As", "") if hasattr(app.client, "headers") else ""
        with app.suspend():
            status = shell.lent(app.client.home, gateway, system, person)
        app.refresh(layout=True)
        app.ask_again()
        if status:
            app.tell(f"the session on {clean(gateway, 60)} ended with status {status}")

    async def edit_text(self, initial: str, name: str = "text") -> str | None:
        """The text after editing, or None when nothing changed; why, if anything went wrong, is told."""
        from app import editor

        app: Any = self
        words = editor.command(dict(os.environ))
        if not words:
            app.tell(("no editor is installed: set EDITOR", "caution"))
            return None
        if not _may_be_lent(app):
            app.tell(("this terminal can't be lent to an editor", "caution"))
            return None
        with app.suspend():
            text, why = editor.edited(initial, name, words)
        app.refresh(layout=True)
        app.ask_again()
        if why:
            app.tell((clean(why, 200), "caution"))
        return None if text is None or text == initial else text


def _may_be_lent(app: Any) -> bool:
    return not app.is_headless and app._driver is not None and bool(app._driver.can_suspend)
