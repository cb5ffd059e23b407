"""The read side's connections: one per thread, read-only, on the same file the writer owns."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine.store import chain
from engine.store.loading import Loader


class Reading:
    """Runs queries on this thread's own connection. Safe beside the writer: WAL gives each query a whole picture."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._local = threading.local()

    @property
    def connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = chain.connect(self.path)
            connection.execute("pragma query_only = on")
            connection.execute("pragma cache_size = -16384")
            self._local.connection = connection
        return connection

    @property
    def loader(self) -> Loader:
        """For states and definitions, on this thread's own connection too."""
        loader: Loader | None = getattr(self._local, "loader", None)
        if loader is None:
            loader = self._local.loader = Loader(self.path)
        return loader

    def all(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        return self.connection.execute(sql, parameters).fetchall()

    def one(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        return self.connection.execute(sql, parameters).fetchone()
