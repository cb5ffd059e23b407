"""The tables: made and migrated at open, as the classes say, and never taken back."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine
from sqlmodel import SQLModel

import engine.store.tables  # noqa: F401
from engine.store import entities, schema
from engine.store.errors import StoreTooNew


def fresh(tmp_path: Path) -> Path:
    path = tmp_path / "quarterdeck.db"
    schema.create_private(path)
    assert schema.migrate(path) == ""
    return path


def test_a_new_file_gets_the_tables_of_the_classes(tmp_path: Path) -> None:
    entities.load()
    path = fresh(tmp_path)
    assert schema.version(sqlite3.connect(path)) == schema.HEAD
    made = create_engine(f"sqlite:///{path}")
    with made.connect() as connection:
        context = MigrationContext.configure(connection)
        differences = [
            difference
            for difference in compare_metadata(context, SQLModel.metadata)
            if not str(difference).count("runs_text")
        ]
    assert differences == []


def test_a_file_of_the_first_version_gets_the_records_and_keeps_what_it_has(tmp_path: Path) -> None:
    path = tmp_path / "quarterdeck.db"
    schema.create_private(path)
    schema._upgrade(path, "0001")
    connection = sqlite3.connect(path)
    connection.execute("insert into commands (id, at, run, answer) values ('kept', 1.0, '', x'7b7d')")
    connection.commit()
    assert schema.migrate(path) == "0001"
    assert connection.execute("select id from commands").fetchall() == [("kept",)]
    tables = {row[0] for row in connection.execute("select name from sqlite_master where type = 'table'")}
    assert {"cases", "incidents", "candidates", "sessions", "record_changes", "event_threads"} <= tables


def test_a_new_file_is_made_as_the_versions_one_by_one_make_it(tmp_path: Path) -> None:
    moved = tmp_path / "moved.db"
    schema.create_private(moved)
    schema._upgrade(moved)

    def made(path: Path) -> list[tuple[str, str, str]]:
        rows = sqlite3.connect(path).execute(
            "select type, name, coalesce(sql, '') from sqlite_master order by type, name"
        )
        return [(type_, name, "".join(sql.split()).lower()) for type_, name, sql in rows]

    assert made(fresh(tmp_path)) == made(moved)
    assert sqlite3.connect(moved).execute("select version_num from alembic_version").fetchall() == [(schema.HEAD,)]


def test_every_version_stands_in_the_order() -> None:
    from engine.store.migrations import versions

    files = sorted(file.stem for file in Path(versions.__file__).parent.glob("v*.py"))
    assert list(versions.ORDER) == files
    assert versions.ORDER[-1].startswith(f"v{schema.HEAD}")


def test_a_new_file_that_could_not_be_made_stays_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "quarterdeck.db"
    schema.create_private(path)
    monkeypatch.setattr(schema, "VERSION_TABLE", "create table anchors (x)")
    with pytest.raises(sqlite3.OperationalError):
        schema.migrate(path)
    assert sqlite3.connect(path).execute("select count(*) from sqlite_master").fetchone()[0] == 0


def test_a_first_start_imports_no_alembic(tmp_path: Path) -> None:
    path = tmp_path / "quarterdeck.db"
    schema.create_private(path)
    code = (
        "import sys; from pathlib import Path; from engine.store import schema\n"
        f"schema.migrate(Path({str(path)!r}))\n"
        "print([m for m in ('sqlalchemy', 'sqlmodel', 'alembic') if m in sys.modules])"
    )
    root = Path(schema.__file__).resolve().parents[2]
    out = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_opening_again_changes_nothing(tmp_path: Path) -> None:
    path = fresh(tmp_path)
    before = sqlite3.connect(path).execute("select sql from sqlite_master order by name").fetchall()
    assert schema.migrate(path) == schema.HEAD
    assert sqlite3.connect(path).execute("select sql from sqlite_master order by name").fetchall() == before


def test_a_newer_file_is_refused(tmp_path: Path) -> None:
    path = fresh(tmp_path)
    connection = sqlite3.connect(path)
    connection.execute("update alembic_version set version_num = '9999'")
    connection.commit()
    with pytest.raises(StoreTooNew, match="9999"):
        schema.migrate(path)


def test_a_migration_that_fails_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from engine.store.migrations.versions import v0001_journal

    path = tmp_path / "quarterdeck.db"
    schema.create_private(path)
    statements = v0001_journal.STATEMENTS
    source = Path(v0001_journal.__file__)
    broken = source.read_text().replace(
        "def upgrade() -> None:",
        'def upgrade() -> None:\n    from alembic import op\n    op.execute("create table half (x)")\n    raise RuntimeError("power cut")\n\n\ndef unused() -> None:',
    )
    versions = tmp_path / "migrations" / "versions"
    versions.mkdir(parents=True)
    (versions / "v0001_journal.py").write_text(broken)
    (versions.parent / "env.py").write_text((Path(schema.__file__).parent / "migrations" / "env.py").read_text())
    monkeypatch.setattr(schema, "__file__", str(tmp_path / "schema.py"))
    with pytest.raises(RuntimeError, match="power cut"):
        schema._upgrade(path)
    assert statements
    assert sqlite3.connect(path).execute("select count(*) from sqlite_master").fetchone()[0] == 0


def test_the_writers_connection_is_durable(tmp_path: Path) -> None:
    connection = schema.connect(fresh(tmp_path))
    assert connection.execute("pragma journal_mode").fetchone()[0] == "wal"
    assert connection.execute("pragma synchronous").fetchone()[0] == 2


def test_the_statements_are_those_the_tables_make() -> None:
    from engine.store import compiled

    written = Path(compiled.__file__).with_name("statements.py").read_text()
    assert written == compiled.rendered(), "run `python -m engine.store.compiled`"
    from engine.store import statements

    for name, text in compiled.made().items():
        assert getattr(statements, name) == " ".join(text.split())


def test_a_start_on_a_current_file_imports_no_sqlalchemy(tmp_path: Path) -> None:
    path = fresh(tmp_path)
    code = (
        "import sys, asyncio; from pathlib import Path\n"
        "from engine.hosts.embedded import Host; from engine.store import queries; from engine.store.journal import Journal\n"
        f"Journal.open(Path({str(path)!r}), owner='x', now=lambda: 0.0, core='1')\n"
        "print([m for m in ('sqlalchemy', 'sqlmodel', 'alembic', 'pydantic') if m in sys.modules])"
    )
    root = Path(schema.__file__).resolve().parents[2]
    out = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
