"""The book and the vault as one asker has them: everything they write names that asker, and everything they keep gets its
record of evidence.
"""

from __future__ import annotations

import asyncio
import logging
import threading

from engine.capabilities.records import RecordError
from engine.capabilities.vault import Kept, Vault
from engine.hosts.book import Book, Bound
from engine.store.errors import StoreError
from engine.store.records import Actor

log = logging.getLogger("quarterdeck.keeping")


class Keeper:
    """Made once per engine, on its loop."""

    def __init__(self, book: Book, vault: Vault) -> None:
        self._book, self._vault = book, vault
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._tasks: set[asyncio.Task[None]] = set()

    def for_asker(self, actor: Actor, cause: str, *, run: str = "", scope: str = "") -> tuple[Bound, Vault]:
        """The book and the vault for one action or one verb. The vault may be used from threads."""
        bound = self._book.bound(actor=actor, cause=cause, run=run, scope=scope)

        def noted(kept: Kept) -> None:
            if threading.get_ident() == self._thread:
                self._note(bound, kept)
            else:
                self._loop.call_soon_threadsafe(self._note, bound, kept)

        return bound, self._vault.noting(noted)

    async def settle(self) -> None:
        """Waits until everything that was kept has its record."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _note(self, bound: Bound, kept: Kept) -> None:
        task = self._loop.create_task(self._record(bound, kept))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _record(self, bound: Bound, kept: Kept) -> None:
        if self._book.catalogue.get("evidence") is None or await bound.get("evidence", kept.digest) is not None:
            return
        fields = {
            "title": kept.name or kept.media, "name": kept.name, "media": kept.media, "size_b": kept.size,
            "source_system": kept.source,
        }  # fmt: skip
        try:
            await bound.create("evidence", fields, id=kept.digest, key=kept.digest)
        except RecordError as error:
            if error.error != "Exists":
                log.error("%s was kept without a record: %s", kept.digest, error)
        except StoreError as error:  # the step that keeps it is run again when the journal can be written
            log.warning("%s was kept, its record was not written: %s", kept.digest, error)
