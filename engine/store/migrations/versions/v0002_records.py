"""The records of the patterns."""

from __future__ import annotations

from alembic import op
from sqlmodel import SQLModel

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    from engine.store import entities, tables  # noqa: F401

    entities.load()
    SQLModel.metadata.create_all(op.get_bind(), checkfirst=True)
