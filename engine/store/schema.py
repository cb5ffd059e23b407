"""Opens a database file at the current version of the tables: creates it, migrates it, or says why not.

Alembic is imported only when a file of an older version has to be moved: it costs 0.5 s that neither an ordinary start
nor the first one need pay.
"""

from __future__ import annotations

import os
import sqlite3
from importlib import import_module
from pathlib import Path

from engine.store.errors import StoreCorrupt, StoreReadOnly, StoreTooNew

HEAD = "0004"
"""The newest version; `migrations/versions/` has one file for each."""

VERSION_TABLE = (
    "create table alembic_version (version_num varchar(32) not null, "
    "constraint alembic_version_pkc primary key (version_num))"
)
"""As Alembic makes it."""

PRAGMAS = (
    "pragma journal_mode = wal",
    "pragma synchronous = full",  # acknowledged means on disk, a power cut included
    "pragma wal_autocheckpoint = 1000",
    "pragma busy_timeout = 5000",
    "pragma cache_size = -65536",
    "pragma temp_store = memory",
    "pragma foreign_keys = on",
)


def create_private(path: Path) -> None:
    """Makes the folder (0700) and an empty file (0600) if there is none."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except PermissionError as refused:
        raise StoreReadOnly(f"{path} can't be written: {refused.strerror}") from refused


def connect(path: Path) -> sqlite3.Connection:
    """The read-write connection (autocommit: transactions are explicit), usable from the writer thread."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=512)
    try:
        for pragma in PRAGMAS:
            connection.execute(pragma)
    except sqlite3.DatabaseError as error:
        connection.close()
        raise explain(error, path) from error
    return connection


def explain(error: sqlite3.Error, path: Path | str) -> StoreReadOnly | StoreCorrupt | sqlite3.Error:
    """SQLite's error as one of ours: what can't be written now, what is damaged, or itself when it is neither."""
    name = getattr(error, "sqlite_errorname", "") or ""
    text = str(error)
    if name.startswith(("SQLITE_FULL", "SQLITE_READONLY", "SQLITE_IOERR", "SQLITE_CANTOPEN", "SQLITE_PERM")):
        return StoreReadOnly(f"{path} can't be written now: {text}")
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        advice = "end the process that holds it (a paused engine, a database shell); the engine goes on by itself"
        return StoreReadOnly(f"{path} is locked by another process", advice)
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")) or "malformed" in text or "not a database" in text:
        return StoreCorrupt(f"{path} is damaged: {text}")
    return error


def version(connection: sqlite3.Connection) -> str:
    """The version of the tables in the file; empty for a new file."""
    has = connection.execute("select 1 from sqlite_master where name = 'alembic_version'").fetchone()
    if not has:
        return ""
    row = connection.execute("select version_num from alembic_version").fetchone()
    return str(row[0]) if row else ""


def migrate(path: Path) -> str:
    """Brings the file to `HEAD`; each version in a transaction of its own. Returns the version it had before."""
    connection = connect(path)
    try:
        if connection.execute("select 1 from sqlite_master").fetchone() is None:
            _create(connection)
            return ""
        before = version(connection)
    except sqlite3.DatabaseError as error:
        raise explain(error, path) from error
    finally:
        connection.close()
    if before == HEAD:
        return before
    if before > HEAD:
        raise StoreTooNew(f"{path} has tables of version {before}; this Quarterdeck knows {HEAD}")
    _upgrade(path)
    return before


def _create(connection: sqlite3.Connection) -> None:
    """Makes the tables of a new file, all or none, from the same text that the versions hold."""
    from engine.store.migrations import versions

    connection.execute("begin immediate")
    try:
        for name in versions.ORDER:
            for statement in import_module(f"{versions.__name__}.{name}").STATEMENTS:
                connection.execute(statement)
        connection.execute(VERSION_TABLE)
        connection.execute("insert into alembic_version (version_num) values (?)", (HEAD,))
        connection.execute("commit")
    except BaseException:
        if connection.in_transaction:
            connection.execute("rollback")
        raise


def _upgrade(path: Path, target: str = "head") -> None:
    from alembic import command
    from alembic.config import Config
    from sqlalchemy import create_engine, event
    from sqlalchemy.pool import NullPool

    engine = create_engine("sqlite://", creator=lambda: connect(path), poolclass=NullPool)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("begin immediate"))
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    try:
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, target)
    finally:
        engine.dispose()
