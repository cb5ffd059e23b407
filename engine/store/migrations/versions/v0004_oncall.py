"""Who is on duty, what one shift hands to the next, what people watch, and which alerts somebody has."""

from __future__ import annotations

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# The text as it was when this version was made: a later change of the classes is a later version.
STATEMENTS = (
    "CREATE TABLE acknowledgements (id VARCHAR NOT NULL, rev INTEGER NOT NULL, state VARCHAR NOT NULL, title "
    "VARCHAR NOT NULL, run VARCHAR NOT NULL, created_at FLOAT NOT NULL, created_by VARCHAR NOT NULL, "
    "updated_at FLOAT NOT NULL, region VARCHAR NOT NULL, source_system VARCHAR NOT NULL, observed_at FLOAT NOT "
    "NULL, seq INTEGER NOT NULL, data BLOB NOT NULL, person VARCHAR NOT NULL, system VARCHAR NOT NULL, alert "
    "VARCHAR NOT NULL, robot VARCHAR NOT NULL, PRIMARY KEY (id))",
    "CREATE INDEX ix_acknowledgements_alert ON acknowledgements (alert)",
    "CREATE INDEX ix_acknowledgements_person ON acknowledgements (person)",
    "CREATE INDEX ix_acknowledgements_run ON acknowledgements (run)",
    "CREATE INDEX ix_acknowledgements_seq ON acknowledgements (seq)",
    "CREATE INDEX ix_acknowledgements_state ON acknowledgements (state)",
    "CREATE TABLE duties (id VARCHAR NOT NULL, rev INTEGER NOT NULL, state VARCHAR NOT NULL, title VARCHAR NOT "
    "NULL, run VARCHAR NOT NULL, created_at FLOAT NOT NULL, created_by VARCHAR NOT NULL, updated_at FLOAT NOT "
    "NULL, region VARCHAR NOT NULL, source_system VARCHAR NOT NULL, observed_at FLOAT NOT NULL, seq INTEGER "
    "NOT NULL, data BLOB NOT NULL, person VARCHAR NOT NULL, scope VARCHAR NOT NULL, since FLOAT NOT NULL, "
    "until FLOAT NOT NULL, ended_at FLOAT NOT NULL, PRIMARY KEY (id))",
    "CREATE INDEX ix_duties_person ON duties (person)",
    "CREATE INDEX ix_duties_run ON duties (run)",
    "CREATE INDEX ix_duties_seq ON duties (seq)",
    "CREATE INDEX ix_duties_state ON duties (state)",
    "CREATE TABLE handovers (id VARCHAR NOT NULL, rev INTEGER NOT NULL, state VARCHAR NOT NULL, title VARCHAR "
    "NOT NULL, run VARCHAR NOT NULL, created_at FLOAT NOT NULL, created_by VARCHAR NOT NULL, updated_at FLOAT "
    "NOT NULL, region VARCHAR NOT NULL, source_system VARCHAR NOT NULL, observed_at FLOAT NOT NULL, seq "
    'INTEGER NOT NULL, data BLOB NOT NULL, giver VARCHAR NOT NULL, "to" VARCHAR NOT NULL, receiver VARCHAR NOT '
    "NULL, offered_at FLOAT NOT NULL, answered_at FLOAT NOT NULL, PRIMARY KEY (id))",
    "CREATE INDEX ix_handovers_giver ON handovers (giver)",
    "CREATE INDEX ix_handovers_receiver ON handovers (receiver)",
    "CREATE INDEX ix_handovers_run ON handovers (run)",
    "CREATE INDEX ix_handovers_seq ON handovers (seq)",
    "CREATE INDEX ix_handovers_state ON handovers (state)",
    "CREATE TABLE watches (id VARCHAR NOT NULL, rev INTEGER NOT NULL, state VARCHAR NOT NULL, title VARCHAR "
    "NOT NULL, run VARCHAR NOT NULL, created_at FLOAT NOT NULL, created_by VARCHAR NOT NULL, updated_at FLOAT "
    "NOT NULL, region VARCHAR NOT NULL, source_system VARCHAR NOT NULL, observed_at FLOAT NOT NULL, seq "
    'INTEGER NOT NULL, data BLOB NOT NULL, person VARCHAR NOT NULL, of_kind VARCHAR NOT NULL, "of" VARCHAR NOT '
    "NULL, PRIMARY KEY (id))",
    'CREATE INDEX ix_watches_of ON watches ("of")',
    "CREATE INDEX ix_watches_person ON watches (person)",
    "CREATE INDEX ix_watches_run ON watches (run)",
    "CREATE INDEX ix_watches_seq ON watches (seq)",
    "CREATE INDEX ix_watches_state ON watches (state)",
)


def upgrade() -> None:
    from alembic import op  # here: a new file takes the text alone (`schema.create`)

    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("history is not taken back: restore a copy from before")
