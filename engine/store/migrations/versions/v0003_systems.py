"""Remote systems: what the mirror keeps of their objects, how far each feed is, and the records about them."""

from __future__ import annotations

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

MIRROR = (
    "ALTER TABLE mirror ADD COLUMN name VARCHAR DEFAULT '' NOT NULL",
    "ALTER TABLE mirror ADD COLUMN state VARCHAR DEFAULT '' NOT NULL",
    "ALTER TABLE mirror ADD COLUMN url VARCHAR DEFAULT '' NOT NULL",
    "ALTER TABLE mirror ADD COLUMN changed_at FLOAT DEFAULT '0' NOT NULL",
    "ALTER TABLE mirror ADD COLUMN deleted_at FLOAT DEFAULT '0' NOT NULL",
    "ALTER TABLE mirror ADD COLUMN digest BLOB DEFAULT '' NOT NULL",
)


def _new() -> tuple[str, ...]:
    """The tables of the classes that the versions before have not."""
    import re

    from sqlalchemy.dialects import sqlite
    from sqlalchemy.schema import CreateIndex, CreateTable
    from sqlmodel import SQLModel

    from engine.store import entities, tables  # noqa: F401
    from engine.store.migrations.versions import v0001_journal, v0002_records

    entities.load()
    before = " ".join((*v0001_journal.STATEMENTS, *v0002_records.STATEMENTS))
    there = set(re.findall(r"CREATE (?:VIRTUAL )?TABLE (\w+)", before))
    made: list[str] = []
    for table in sorted(SQLModel.metadata.tables.values(), key=lambda each: each.name):
        if table.name in there:
            continue
        made.append(str(CreateTable(table).compile(dialect=sqlite.dialect())).strip())
        indexes = sorted(table.indexes, key=lambda each: str(each.name))
        made += [str(CreateIndex(index).compile(dialect=sqlite.dialect())).strip() for index in indexes]
    return tuple(made)


STATEMENTS = (*MIRROR, *_new())


def upgrade() -> None:
    from alembic import op  # here: a new file takes the text alone (`schema.create`)

    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("history is not taken back: restore a copy from before")
